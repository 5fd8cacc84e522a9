"""Secrets of a flow are redacted in the output of all listeners."""

import io
import logging

import pytest

from stackl_flow import engines, redaction, retry, task
from stackl_flow.listeners import base, capturing, printing
from stackl_flow.listeners import logging as listeners
from stackl_flow.patterns import linear_flow
from stackl_flow.persistence import backends, models

SECRET = "hush-hush-one"  # noqa: S105  not a password
LATER = "later-word-two"


def give(word):
    return word, 7


def give_by_key(word):
    return {"token": LATER, "size": 7}


def give_whole(word):
    return 739


def fail(word, **_):
    raise ValueError(f"no {word}")


def fail_with_token(token):
    raise ValueError(f"no {token}")


def functor(function, **kwargs):
    return task.FunctorTask(function, name=kwargs.pop("name", function.__name__), **kwargs)


class Lines(base.DumpingListener):
    """A custom listener."""

    def __init__(self, engine):
        super().__init__(engine)
        self.lines = []

    def _dump(self, message, *args, **kwargs):
        self.lines.append((message % args, kwargs.get("exc_info")))


@pytest.fixture
def output_of(capsys):
    """Run a flow with all listeners, and return their output."""
    stream = io.StringIO()
    log, handler = logging.getLogger("theirs.of_secrets"), logging.StreamHandler(stream)
    log.setLevel(logging.DEBUG)
    log.addHandler(handler)

    def output_of(engine, **options):
        lines, captured = Lines(engine), capturing.CaptureListener(engine)
        with (
            listeners.LoggingListener(engine, log=log),
            listeners.DynamicLoggingListener(engine, log=log, **options),
            printing.PrintingListener(engine),
            lines,
            captured,
        ):
            try:
                engine.run()
            except Exception as error:  # noqa: BLE001  what it raised is not what is looked at
                del error
        assert lines.lines
        return "\n".join(
            [stream.getvalue(), capsys.readouterr().out, repr(lines.lines), repr(captured.values)]
        )

    return output_of


@pytest.mark.parametrize("kind", [None, "memory", "sqlite"])
def test_injected_value_is_redacted(output_of, kind, tmp_path):
    flow = linear_flow.Flow("f").add(functor(give, provides=("one", "two")), functor(fail))
    with backends.backend(f"sqlite:///{tmp_path}/f.db" if kind == "sqlite" else "memory") as backend:
        engine = engines.load(flow, {"word": SECRET}, secrets=["word"], backend=backend if kind else None)
        text = output_of(engine)
        assert SECRET not in text
        assert "ValueError: no ***" in text
        assert "('***', 7)" in text
        assert engine.storage.fetch("word") == SECRET


def test_provided_values_are_redacted(output_of):
    flow = linear_flow.Flow("f").add(
        functor(give, provides=("pair", "two")),
        functor(give_by_key, provides={"token", "size"}),
        functor(give_whole, provides="pin"),
        functor(fail_with_token),
    )
    secrets = ["two", "token", "pin"]
    text = output_of(engines.load(flow, {"word": "open-word"}, secrets=secrets))
    assert LATER not in text
    assert "no ***" in text
    assert "('open-word', '***')" in text  # not secret; the number beside it is, by its position
    assert "'size': 7" in text
    assert "result '739'" not in text


def test_values_injected_into_an_atom_are_redacted(output_of):
    flow = linear_flow.Flow("f", retry=retry.ForEach([LATER], provides="token")).add(
        functor(fail, inject={"word": SECRET}), functor(fail_with_token)
    )
    text = output_of(engines.load(flow, secrets=["word", "token"]))
    assert SECRET not in text
    assert LATER not in text


def test_custom_formatter_cannot_leak_secrets(output_of):
    class Formatter:
        def format(self, fail, atom_matcher):
            return fail.exc_info, f"by hand: {fail.exception}"

    flow = linear_flow.Flow("f").add(functor(fail))
    text = output_of(engines.load(flow, {"word": SECRET}, secrets="word"), fail_formatter=Formatter())
    assert "by hand: no ***" in text
    assert SECRET not in text


def test_secret_names_are_stored_with_the_flow(tmp_path):
    """Another process that resumes the flow redacts them, too."""
    flow = linear_flow.Flow("f").add(functor(give, provides=("one", "two")), functor(fail))
    with backends.backend(f"sqlite:///{tmp_path}/f.db") as backend:
        book = models.LogBook("b")
        with pytest.raises(ValueError, match="no hush"):
            engines.run(flow, {"word": SECRET}, book=book, backend=backend, secrets=["word", "one"])
        with backend.get_connection() as connection:
            detail = next(iter(connection.get_logbook(book.uuid)))
        again = engines.load(flow, flow_detail=detail, backend=backend)
        assert redaction.redact(SECRET) == "***"
        assert again.storage.flow_meta["secrets"] == ["one", "word"]
        assert SECRET not in detail.pformat()


def test_secret_names_can_be_added_later(tmp_path):
    """A flow that was stored without secret names gets them when it is loaded."""
    flow = linear_flow.Flow("f").add(functor(give, provides=("one", "two")))
    with backends.backend(f"sqlite:///{tmp_path}/f.db") as backend:
        book = models.LogBook("b")
        engines.load(flow, {"word": SECRET}, book=book, backend=backend)
        with backend.get_connection() as connection:
            detail = next(iter(connection.get_logbook(book.uuid)))
        engine = engines.load(flow, flow_detail=detail, backend=backend, secrets=["word"])
        assert redaction.redact(SECRET) == "***"
        engine.run()
        with backend.get_connection() as connection:
            stored = connection.get_flow_details(detail.uuid)
        assert stored.meta["secrets"] == ["word"]


def test_values_instead_of_names_are_rejected():
    flow = linear_flow.Flow("f").add(functor(give))
    with pytest.raises(TypeError, match="pass the values in store=") as caught:
        engines.load(flow, secrets={"word": SECRET})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("transient", [True, False])
def test_value_injected_after_the_engine_was_created_is_redacted(output_of, transient):
    flow = linear_flow.Flow("f").add(functor(fail))
    engine = engines.load(flow, secrets=["word"])
    engine.storage.inject({"word": SECRET}, transient=transient)
    text = output_of(engine)
    assert SECRET not in text
    assert "no ***" in text


def test_unused_secret_name_logs_a_warning(caplog):
    flow = linear_flow.Flow("f").add(functor(give, provides=("one", "two"), inject={"made": 1}))
    store = {"word": SECRET, "inner": [{"deep": 1}]}
    engines.load(flow, store, secrets=["word", "one", "made", "deep"])
    assert not caplog.messages
    engines.load(flow, store, secrets=["wrod", "elsewhere"])
    assert [message.partition(" has no value with ")[2] for message in caplog.messages] == [
        "the secret name 'elsewhere': only a key inside a result can have this name",
        "the secret name 'wrod': did you mean 'word'?",
    ]
