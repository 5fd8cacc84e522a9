"""Registered secrets are masked in text, in every encoding; without secrets, nothing changes."""

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
VALUE = "hush-hush"


@dataclass
class Login:
    user: str
    password: str


class Owner:
    pass


@pytest.mark.parametrize(
    ("value", "text", "redacted"),
    [
        (VALUE, f"say {VALUE}, {VALUE}!", "say ***, ***!"),
        (f"{VALUE}\n", f"say {VALUE}.", "say ***."),
        ("pin", "the pin and the pinboard", "the *** and the pinboard"),
        (4711, "4711 14711 2026-4711 4711.5", "*** 14711 2026-4711 4711.5"),
        (-1.5, "-1.5 and 1.5", "*** and 1.5"),
        (b"hush\xff", "b'hush\\xff' 68757368ff aHVzaP8=", "b'***' *** ***"),
        (b"hush-hush", f"{VALUE}", "***"),
        ({"a": [VALUE, {"b": "pin"}]}, f"{VALUE} pin", "*** ***"),
        (("one-one", {"two-two"}), "one-one two-two", "*** ***"),
        (Login("ann0", VALUE), f"ann0 {VALUE}", "*** ***"),
        ("line-one!\nline-two!", "  line-one!\n  line-two!", "  ***\n  ***"),
        ("é-word-é", "\\xe9-word-\\u00e9 %C3%A9-word-%c3%a9", "*** ***"),
        ("\U0001f511key", '"\\ud83d\\udd11key"', '"***"'),
        ("x", "x is in the text", "x is in the text"),
        (True, "True", "True"),
        (None, "None", "None"),
        ("", "all", "all"),
    ],
)
def test_redact(value, text, redacted):
    with redaction.redacting([value]):
        assert redaction.redact(text) == redacted
    assert redaction.redact(text) == text


escapes = st.sampled_from([repr, json.dumps, lambda text: json.dumps(text, ensure_ascii=False)])
page_escapes = st.sampled_from([html.escape, quote, quote_plus, lambda text: quote(quote(text)), str])


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=4).filter(lambda text: len(text.strip()) >= 4),
    st.lists(escapes, max_size=2),
    page_escapes,
    st.sampled_from(["", "'", '"', "'\"", "\\"]),
)
def test_escaped_text_is_redacted(value, steps, last_step, context):
    text = f"<{context}{value}{context}>"
    for escape in (*steps, last_step):
        text = escape(text)
    with redaction.redacting([value]):
        assert "***" in redaction.redact(text)


def test_a_value_is_redacted_until_its_last_owner_is_collected():
    one, other = Owner(), Owner()
    redaction.register(one, [VALUE])
    redaction.register(other, [VALUE])
    del one
    gc.collect()
    assert redaction.redact(VALUE) == "***"
    del other
    gc.collect()
    assert redaction.redact(VALUE) == VALUE


def test_a_value_is_redacted_as_long_as_an_exception_that_left_the_block_lives():
    def fail():
        with redaction.redacting([VALUE]):
            raise ValueError(VALUE)

    with pytest.raises(ValueError, match=VALUE) as caught:
        fail()
    assert redaction.redact(str(caught.value)) == "***"
    del caught
    gc.collect()
    assert redaction.redact(VALUE) == VALUE


def test_redacting_is_thread_safe():
    failed = []

    def work(number):
        secret = f"secret-of-{number}-"
        for _ in range(50):
            with redaction.redacting([secret]):
                if redaction.redact(f"({secret})") != "(***)":
                    failed.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert redaction.redact("secret-of-1-") == "secret-of-1-"


def test_redact_data_returns_a_masked_copy():
    data = {
        "a": [VALUE, 4711, None, True, 1.5],
        VALUE: (b"x", {VALUE}),
        "path": Path(VALUE) / "x",
        "n": 3,
    }
    with redaction.redacting([VALUE, 4711]):
        redacted = redaction.redact_data(data)
    assert redacted == {
        "a": ["***", "***", None, True, 1.5],
        "***": (b"x", {"***"}),
        "path": "***/x",
        "n": 3,
    }
    assert data["a"][0] == VALUE
    assert redaction.redact_data(data) is data


def test_parse_names_rejects_values():
    assert redaction.parse_names(None) == frozenset()
    assert redaction.parse_names("one") == {"one"}
    assert redaction.parse_names(["one", "two"]) == {"one", "two"}
    for wrong in ({"password": VALUE}, [1], 3, [[VALUE]]):
        with pytest.raises(TypeError, match="names of secret values") as caught:
            redaction.parse_names(wrong)
        assert VALUE not in str(caught.value)


def test_mask_parts():
    assert redaction.mask_parts([1, 2], [1]) == [1, "***"]
    assert redaction.mask_parts((1, 2), [0]) == ("***", 2)
    assert redaction.mask_parts({"a": 1, "b": 2}, ["a"]) == {"a": "***", "b": 2}
    assert redaction.mask_parts({"$tuple": [1, 2]}, [0]) == {"$tuple": ["***", 2]}
    assert redaction.mask_parts(Login("ann", VALUE), ["password"]) == "***"
    assert redaction.mask_parts(7, [None]) == "***"
    assert redaction.mask_parts(7, []) == 7
    assert redaction.mask_parts(None, [0]) is None


def test_errors_and_failures_are_redacted():
    with redaction.redacting([VALUE]):
        cause = KeyError(VALUE)
        error = exc.StorageFailure(f"cannot write {VALUE}", cause=cause)
        raised = ValueError(VALUE, {"password": VALUE})
        raised.__cause__ = cause
        failure = Failure.from_exception(raised)
        texts = [str(error), repr(error), error.pformat(), str(failure), repr(failure)]
        texts += [failure.pformat(traceback=True), repr(failure.to_dict()), repr(failure.causes)]
        restored = Failure.from_dict({**failure.to_dict(), "exception_str": VALUE})
        texts += [str(restored), str(exc.WrappedFailure([failure]))]
    assert not [text for text in texts if VALUE in text]
    assert failure.exception.args[0] == VALUE  # the exception itself does not change


def test_the_text_of_a_flow_detail_is_redacted():
    detail = FlowDetail("one", "uuid")
    detail.meta = {
        "injected": {"word": VALUE, "size": 7},
        "secrets": ["word", "size"],
        "note": f"<{VALUE}>",
    }
    text = detail.pformat()
    assert VALUE not in text
    assert "+ note = <***>" in text


@pytest.fixture
def logged():
    """A redacted logger and a plain one, with a handler that writes to a string."""
    ours, other = redaction.get_logger("stackl_flow.of_this_test"), logging.getLogger("other.of_this_test")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    for logger in (ours, other):
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield ours, other, handler, stream
    for logger in (ours, other):
        logger.removeHandler(handler)


def test_records_of_library_loggers_are_redacted(logged):
    ours, _, _, stream = logged
    with redaction.redacting([VALUE]):
        ours.debug("say %s", VALUE, stack_info=True)
        ours.info(VALUE)
        ours.warning("it raised", exc_info=ValueError(VALUE))
        ours.warning("no error", exc_info=True)
        ours.error("size %d", 3)
    text = stream.getvalue()
    assert VALUE not in text
    assert "say ***" in text
    assert "ValueError: ***" in text
    assert "size 3" in text
    ours.info("now %s", VALUE)
    assert stream.getvalue().endswith(f"now {VALUE}\n")


def test_the_filter_works_on_handlers_of_the_program(logged):
    _, other, handler, stream = logged
    handler.addFilter(redaction.SecretsFilter())
    with redaction.redacting([VALUE]):
        other.info("say %s", VALUE)
    assert stream.getvalue() == "say ***\n"


def test_every_module_uses_get_logger():
    package = ROOT / "stackl_flow"
    paths = [
        path
        for path in sorted(package.rglob("*.py"))
        if not {"redaction.py", "testing", "compat"} & set(path.relative_to(package).parts)
    ]
    wrong = [
        f"{path.relative_to(package)}:{node.lineno}"
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "logging.getLogger"
    ]
    assert len(paths) > 100
    assert not wrong, "use redaction.get_logger(__name__)"


def test_without_secrets_text_is_returned_as_it_is():
    text = "a text"
    assert redaction.redact(text) is text
    assert redaction.contains_secret(sys.exc_info()) is False


@pytest.mark.parametrize("message", ["lone \udcff", "text"])
def test_an_exception_is_logged_as_text_that_a_file_accepts(logged, message):
    ours, _, _, stream = logged
    error = ValueError(message)
    error.add_note("note \ud800")
    ours.warning("failed", exc_info=error)
    assert "note \\ud800" in stream.getvalue()
    stream.getvalue().encode()
