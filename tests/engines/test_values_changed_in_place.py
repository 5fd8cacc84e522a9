"""Values that programs change in place: what is stored is what there was when it was stored."""

import contextlib

import pytest

from stackl_flow import Decision, LinearFlow, Retry, Task, engines, exceptions, states
from stackl_flow.persistence import backends
from tests.engines.tasks import Step, states_of

CHANGES = {
    "an object": lambda value: value.append(object()),
    "a surrogate": lambda value: value.append("\ud800"),
    "itself": lambda value: value.append(value),
    "too much": lambda value: value.append("x" * 3_000_000),
    "something else": lambda value: value.append("more"),
}
CHANGED = pytest.mark.parametrize("change", [pytest.param(CHANGES[name], id=name) for name in CHANGES])


class Provide(Task):
    """Provides a list, and keeps it."""

    def __init__(self, value, log, **kwargs):
        super().__init__("provide", **kwargs)
        self.value, self.log = value, log

    def execute(self):
        return self.value

    def revert(self, result, **_):
        self.log.append("-provide")
        return self.value


class Change(Task):
    """Changes its argument in place."""

    def __init__(self, change, *, fails):
        super().__init__("change")
        self.change, self.fails = change, fails

    def execute(self, value):
        self.change(value)
        if self.fails:
            raise ValueError("failed")

    def revert(self, value, **_):
        self.change(value)


class Fail(Task):
    def execute(self):
        raise ValueError("failed")


@pytest.fixture(params=["memory", "sqlite", "directory"])
def store(request, tmp_path):
    """Return each backend, ready for use."""
    urls = {
        "memory": "memory",
        "sqlite": f"sqlite:///{tmp_path / 'f.db'}",
        "directory": f"dir:///{tmp_path}/d",
    }
    with backends.backend(urls[request.param]) as made:
        yield made


def stored(backend, engine):
    with backend.get_connection() as connection:
        return connection.get_flow_details(engine.storage.flow_uuid)


def stored_atom(backend, engine, name):
    return next(detail for detail in stored(backend, engine) if detail.name == name)


@CHANGED
@pytest.mark.parametrize("size", [1, 5000])
@pytest.mark.parametrize("source", ["input", "result"])
@pytest.mark.parametrize("fails", ["change", "later"])
@pytest.mark.parametrize("kind", ["serial", "parallel"])
def test_rollback_after_a_change_in_place(change, size, source, fails, kind, store, log):
    value = ["v" * size]
    flow = LinearFlow("f").add(Step("first", log))
    if source == "result":
        flow.add(Provide(value, log, provides="value"))
    flow.add(Change(change, fails=fails == "change"), Fail("fail"))
    inputs = {"value": value} if source == "input" else {}
    engine = engines.load(flow, engine=kind, backend=store, store=inputs)
    with pytest.raises(ValueError, match="failed"):
        engine.run()
    assert engine.storage.get_flow_state() == states.REVERTED
    assert stored(store, engine).state == states.REVERTED
    assert log[-1] == "-first"
    if source == "result":
        assert log == ["first", "-provide", "-first"]
        # The result of the execution is kept: as it was stored.
        assert stored_atom(store, engine, "provide").results == ["v" * size]
    else:
        assert stored(store, engine).meta["injected"] == {"value": ["v" * size]}


@CHANGED
def test_success_after_a_change_in_place(change, store, log):
    flow = LinearFlow("f").add(Provide(["v"], log, provides="value"), Change(change, fails=False))
    engine = engines.load(flow, backend=store)
    engine.run()
    assert stored(store, engine).state == states.SUCCESS
    assert stored_atom(store, engine, "provide").results == ["v"]


@CHANGED
def test_retries_after_a_change_in_place(change, store, log):
    class Again(Retry):
        def execute(self, history):
            return ["r"]

        def on_failure(self, history):
            for value, _ in history:
                change(value)
            return Decision.RETRY if len(history) < 3 else Decision.REVERT

    flow = LinearFlow("f", retry=Again("again", provides="value"))
    flow.add(Provide(["v"], log, provides="other"), Change(change, fails=True))
    engine = engines.load(flow, backend=store)
    with pytest.raises(ValueError, match="failed"):
        engine.run()
    assert stored(store, engine).state == states.REVERTED
    assert log == ["-provide"] * 3


@CHANGED
def test_a_resumed_flow_keeps_what_was_stored(change, store, log):
    def flow(*, fails):
        last = Fail("last") if fails else Step("last", log)
        return LinearFlow("f").add(Provide(["v"], log, provides="value"), Change(change, fails=fails), last)

    engine = engines.load(flow(fails=False), backend=store)
    for _ in engine.run_iter():
        if states_of(engine).get("provide") == states.SUCCESS:
            engine.suspend()
    assert engine.storage.get_flow_state() == states.SUSPENDED
    engine = engines.load(flow(fails=True), backend=store, flow_detail=stored(store, engine))
    with pytest.raises(ValueError, match="failed"):
        engine.run()
    assert stored(store, engine).state == states.REVERTED
    assert stored_atom(store, engine, "provide").results == ["v"]


@CHANGED
@pytest.mark.parametrize("kind", ["serial", "parallel"])
def test_progress_details_that_change_in_place(change, kind, store, log):
    class Report(Task):
        def execute(self):
            value = ["v"]
            self.update_progress(0.5, value=value)
            change(value)
            self.update_progress(0.6)
            raise ValueError("failed")

    engine = engines.load(
        LinearFlow("f").add(Step("first", log), Report("report")), engine=kind, backend=store
    )
    with pytest.raises(ValueError, match="failed"):
        engine.run()
    assert stored(store, engine).state == states.REVERTED


# Metadata that grows in place is stored, up to the limit of the store.
@pytest.mark.parametrize(
    "change", [pytest.param(CHANGES[name], id=name) for name in CHANGES if name != "too much"]
)
def test_metadata_that_changes_in_place(change, store, log):
    value = ["v"]
    engine = engines.load(LinearFlow("f").add(Step("a", log), Step("b", log, fails=1)), backend=store)

    def listen(state, details):
        if details["task_name"] == "a" and state == states.RUNNING:
            engine.storage.update_atom_metadata("a", {"value": value})
        elif details["task_name"] == "b" and state == states.RUNNING:
            change(value)

    engine.atom_notifier.register("*", listen)
    with pytest.raises(ValueError, match="failed"):
        engine.run()
    assert stored(store, engine).state == states.REVERTED
    assert stored_atom(store, engine, "a").meta["value"][0] == "v"


@pytest.mark.parametrize("update", ["atom", "flow", "inject"])
def test_a_value_that_cannot_be_stored_is_refused_at_once(update, store, log):
    engine = engines.load(LinearFlow("f").add(Step("a", log), Step("b", log)), backend=store)
    refused = []

    def listen(state, details):
        try:
            if update == "atom":
                engine.storage.update_atom_metadata("a", {"bad": object()})
            elif update == "flow":
                engine.storage.update_flow_metadata({"bad": object()})
            else:
                engine.storage.inject({"bad": object()})
        except exceptions.NotSerializable as error:
            refused.append(error)

    engine.atom_notifier.register(states.RUNNING, listen)
    engine.run()
    assert len(refused) == 2
    assert all("'bad'" in str(error) for error in refused)
    assert stored(store, engine).state == states.SUCCESS


@CHANGED
def test_an_input_that_changed_in_place_can_be_replaced(change, store, log):
    value = ["v"]
    engine = engines.load(
        LinearFlow("f").add(Change(change, fails=False), Step("b", log)),
        backend=store,
        store={"value": value},
    )

    def listen(state, details):
        if details["task_name"] == "b":
            engine.storage.inject({"value": ["new"], "other": 1})

    engine.atom_notifier.register(states.RUNNING, listen)
    engine.run()
    assert stored(store, engine).meta["injected"] == {"value": ["new"], "other": 1}


@CHANGED
def test_arguments_of_failures_that_change_in_place(change, store, log):
    class Raise(Task):
        def execute(self):
            raise ValueError(["v"])

    engine = engines.load(LinearFlow("f").add(Step("first", log), Raise("raise")), backend=store)

    def listen(state, details):
        failure = details.get("result")
        with contextlib.suppress(AttributeError, IndexError, TypeError):
            change(failure.exception.args[0])

    engine.atom_notifier.register("*", listen)
    with pytest.raises(ValueError, match="v"):
        engine.run()
    assert stored(store, engine).state == states.REVERTED
    assert stored_atom(store, engine, "raise").failure.to_dict()["exc_args"] == (["v"],)
