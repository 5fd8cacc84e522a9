"""Output of listeners, compared with that of TaskFlow's for the same flow."""

import contextlib
import importlib
import logging
import re

import pytest

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Representations of engines and failures; ours include the failure's text.
OBJECT = re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>|<Failure: [^>]+>")
SECONDS = re.compile(r"\d+\.\d\d seconds")


class Library:
    """One of the two libraries, by the names of its modules."""

    def __init__(self, root):
        self.root = root

    def __getattr__(self, name):
        return importlib.import_module(f"{self.root}.{name.replace('__', '.')}")


def give(**kwargs):
    return {"user": "ann", "password": "s3cret"}


def fail(**kwargs):
    raise ValueError("no")


def plain(lib):
    flow = lib.patterns__linear_flow.Flow("plain")
    task = lib.task.FunctorTask
    return flow.add(task(give, name="a", provides="x"), task(give, name="b", requires=["x"]))


def failing(lib):
    return plain(lib).add(lib.task.FunctorTask(fail, name="c", requires=["x"]))


def nested(lib):
    inner = lib.patterns__linear_flow.Flow("inner", retry=lib.retry.Times(2, "r", provides="attempt"))
    inner.add(
        lib.task.FunctorTask(give, name="d", requires=["attempt"]),
        lib.task.FunctorTask(fail, name="e"),
    )
    return plain(lib).add(inner)


def lone(lib):
    return lib.patterns__unordered_flow.Flow("lone").add(lib.task.FunctorTask(fail, name="a"))


def output_of(lib, make, listener, **kwargs):
    """Run a flow with a listener, and return its output without what differs from run to run."""
    module, _, kind = listener.rpartition(".")
    log = logging.getLogger(f"output_of.{lib.root}.{make.__name__}.{listener}")
    log.setLevel(logging.DEBUG)
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append((record.levelname, record.getMessage(), bool(record.exc_info)))
    log.addHandler(handler)
    engine = lib.engines.load(make(lib))
    kind = getattr(getattr(lib, f"listeners__{module}"), kind)
    kwargs = kwargs or ({"log": log} if module == "logging" else {})
    with kind(engine, **kwargs), contextlib.suppress(ValueError):
        engine.run()
    log.removeHandler(handler)
    return lines


def alike(text):
    return SECONDS.sub("SECONDS", OBJECT.sub("OBJECT", UUID.sub("UUID", text)))


@pytest.mark.parametrize("make", [plain, failing, nested, lone])
@pytest.mark.parametrize("listener", ["logging.LoggingListener", "logging.DynamicLoggingListener"])
def test_log_messages_match_taskflow(make, listener):
    ours, theirs = (output_of(Library(root), make, listener) for root in ("stackl_flow", "taskflow"))
    assert [(level, alike(text), error) for level, text, error in ours] == [
        (level, alike(text), error) for level, text, error in theirs
    ]


@pytest.mark.parametrize("make", [plain, failing, nested, lone])
@pytest.mark.parametrize("listener", ["printing.PrintingListener", "timing.PrintingDurationListener"])
def test_printed_lines_match_taskflow(make, listener, capsys):
    printed = []
    for root in ("stackl_flow", "taskflow"):
        output_of(Library(root), make, listener)
        text = capsys.readouterr().out
        printed.append([line for line in map(alike, text.splitlines()) if not line.startswith(" ")])
    assert printed[0] == printed[1]
