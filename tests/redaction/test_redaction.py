"""Values that are kept as secret are in no text, however they are written; without one nothing changes."""

import ast
import gc
import html
import io
import json
import logging
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.failure import Failure
from stackl_flow.persistence.models import FlowDetail

ROOT = Path(__file__).parents[2]
HUSH = "hush-hush"


@dataclass
class Login:
    user: str
    word: str


class Holder:
    pass


@pytest.mark.parametrize(
    ("value", "text", "shown"),
    [
        (HUSH, f"say {HUSH}, {HUSH}!", "say ***, ***!"),
        (f"{HUSH}\n", f"say {HUSH}.", "say ***."),
        ("pin", "the pin and the pinboard", "the *** and the pinboard"),
        (4711, "4711 14711 2026-4711 4711.5", "*** 14711 2026-4711 4711.5"),
        (-1.5, "-1.5 and 1.5", "*** and 1.5"),
        (b"hush\xff", "b'hush\\xff' 68757368ff aHVzaP8=", "b'***' *** ***"),
        (b"hush-hush", f"{HUSH}", "***"),
        ({"a": [HUSH, {"b": "pin"}]}, f"{HUSH} pin", "*** ***"),
        (("one-one", {"two-two"}), "one-one two-two", "*** ***"),
        (Login("ann0", HUSH), f"ann0 {HUSH}", "*** ***"),
        ("line-one!\nline-two!", "  line-one!\n  line-two!", "  ***\n  ***"),
        ("é-word-é", "\\xe9-word-\\u00e9 %C3%A9-word-%c3%a9", "*** ***"),
        ("\U0001f511key", '"\\ud83d\\udd11key"', '"***"'),
        ("x", "x marks the spot", "x marks the spot"),
        (True, "True", "True"),
        (None, "None", "None"),
        ("", "all", "all"),
    ],
)
def test_what_is_kept_is_taken_out(value, text, shown):
    with redaction.redacting([value]):
        assert redaction.redact(text) == shown
    assert redaction.redact(text) == text


programs = st.sampled_from([repr, json.dumps, lambda text: json.dumps(text, ensure_ascii=False)])
pages = st.sampled_from([html.escape, quote, quote_plus, lambda text: quote(quote(text)), str])


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=4).filter(lambda text: len(text.strip()) >= 4),
    st.lists(programs, max_size=2),
    pages,
    st.sampled_from(["", "'", '"', "'\"", "\\"]),
)
def test_a_text_is_found_however_it_is_written(value, ways, on_a_page, beside):
    text = f"<{beside}{value}{beside}>"
    for write in (*ways, on_a_page):
        text = write(text)
    with redaction.redacting([value]):
        assert "***" in redaction.redact(text)


def test_it_is_kept_as_long_as_somebody_holds_it():
    one, other = Holder(), Holder()
    redaction.register(one, [HUSH])
    redaction.register(other, [HUSH])
    del one
    gc.collect()
    assert redaction.redact(HUSH) == "***"
    del other
    gc.collect()
    assert redaction.redact(HUSH) == HUSH


def test_an_error_that_leaves_the_block_holds_it_on():
    def fail():
        with redaction.redacting([HUSH]):
            raise ValueError(HUSH)

    with pytest.raises(ValueError, match=HUSH) as caught:
        fail()
    assert redaction.redact(str(caught.value)) == "***"
    del caught
    gc.collect()
    assert redaction.redact(HUSH) == HUSH


def test_many_threads_may_come_at_once():
    wrong = []

    def work(number):
        word = f"secret-of-{number}-"
        for _ in range(50):
            with redaction.redacting([word]):
                if redaction.redact(f"({word})") != "(***)":
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert redaction.redact("secret-of-1-") == "secret-of-1-"


def test_data_is_copied_without_it():
    data = {"a": [HUSH, 4711, None, True, 1.5], HUSH: (b"x", {HUSH}), "path": Path(HUSH) / "x", "n": 3}
    with redaction.redacting([HUSH, 4711]):
        shown = redaction.redact_data(data)
    assert shown == {
        "a": ["***", "***", None, True, 1.5],
        "***": (b"x", {"***"}),
        "path": "***/x",
        "n": 3,
    }
    assert data["a"][0] == HUSH
    assert redaction.redact_data(data) is data


def test_names_are_read_and_values_are_not_taken_for_names():
    assert redaction.parse_names(None) == frozenset()
    assert redaction.parse_names("one") == {"one"}
    assert redaction.parse_names(["one", "two"]) == {"one", "two"}
    for wrong in ({"password": HUSH}, [1], 3, [[HUSH]]):
        with pytest.raises(TypeError, match="names of the values") as caught:
            redaction.parse_names(wrong)
        assert HUSH not in str(caught.value)


def test_parts_of_a_result_are_masked_by_their_place():
    assert redaction.mask_parts([1, 2], [1]) == [1, "***"]
    assert redaction.mask_parts((1, 2), [0]) == ("***", 2)
    assert redaction.mask_parts({"a": 1, "b": 2}, ["a"]) == {"a": "***", "b": 2}
    assert redaction.mask_parts({"$tuple": [1, 2]}, [0]) == {"$tuple": ["***", 2]}
    assert redaction.mask_parts(Login("ann", HUSH), ["word"]) == "***"
    assert redaction.mask_parts(7, [None]) == "***"
    assert redaction.mask_parts(7, []) == 7
    assert redaction.mask_parts(None, [0]) is None


def test_our_errors_and_failures_do_not_tell():
    with redaction.redacting([HUSH]):
        cause = KeyError(HUSH)
        error = exc.StorageFailure(f"cannot write {HUSH}", cause=cause)
        raised = ValueError(HUSH, {"word": HUSH})
        raised.__cause__ = cause
        failure = Failure.from_exception(raised)
        told = [str(error), repr(error), error.pformat(), str(failure), repr(failure)]
        told += [failure.pformat(traceback=True), repr(failure.to_dict()), repr(failure.causes)]
        again = Failure.from_dict({**failure.to_dict(), "exception_str": HUSH})
        told += [str(again), str(exc.WrappedFailure([failure]))]
    assert not [text for text in told if HUSH in text]
    assert failure.exception.args[0] == HUSH  # what was raised is left as it was


def test_a_flow_detail_is_written_out_without_its_secrets():
    detail = FlowDetail("one", "uuid")
    detail.meta = {"injected": {"word": HUSH, "size": 7}, "secrets": ["word", "size"], "said": f"<{HUSH}>"}
    text = detail.pformat()
    assert HUSH not in text
    assert "+ said = <***>" in text


@pytest.fixture
def logged():
    """A logger of ours, and a plain one, with a handler that writes to a text."""
    ours, theirs = redaction.get_logger("stackl_flow.of_this_test"), logging.getLogger("theirs.of_this_test")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    for logger in (ours, theirs):
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield ours, theirs, handler, stream
    for logger in (ours, theirs):
        logger.removeHandler(handler)


def test_a_record_of_ours_does_not_tell(logged):
    ours, _, _, stream = logged
    with redaction.redacting([HUSH]):
        ours.debug("say %s", HUSH, stack_info=True)
        ours.info(HUSH)
        ours.warning("it raised", exc_info=ValueError(HUSH))
        ours.warning("no error", exc_info=True)
        ours.error("size %d", 3)
    text = stream.getvalue()
    assert HUSH not in text
    assert "say ***" in text
    assert "ValueError: ***" in text
    assert "size 3" in text
    ours.info("now %s", HUSH)
    assert stream.getvalue().endswith(f"now {HUSH}\n")


def test_a_program_may_put_the_filter_on_its_own_handlers(logged):
    _, theirs, handler, stream = logged
    handler.addFilter(redaction.SecretsFilter())
    with redaction.redacting([HUSH]):
        theirs.info("say %s", HUSH)
    assert stream.getvalue() == "say ***\n"


def test_every_logger_of_ours_has_the_filter():
    """Whoever writes a module that logs takes its logger from here."""
    rooms = ROOT / "stackl_flow"
    paths = [
        path
        for path in sorted(rooms.rglob("*.py"))
        if not {"redaction.py", "testing", "compat"} & set(path.relative_to(rooms).parts)
    ]
    wrong = [
        f"{path.relative_to(rooms)}:{node.lineno}"
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "logging.getLogger"
    ]
    assert len(paths) > 100
    assert not wrong, "take redaction.get_logger(__name__)"


def test_it_costs_next_to_nothing_where_nothing_is_secret():
    text = "a text"
    assert redaction.redact(text) is text
    assert redaction.contains_secret(sys.exc_info()) is False
