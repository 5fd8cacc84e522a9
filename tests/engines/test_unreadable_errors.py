"""Errors that cannot be read: wherever one is raised, the flow ends as with any other error."""

import contextlib
import itertools
import re
import time

import pytest

from stackl_flow import (
    Decision,
    GraphFlow,
    LinearFlow,
    Retry,
    Task,
    UnorderedFlow,
    codec,
    engines,
    redaction,
    states,
)
from stackl_flow.failure import Failure
from stackl_flow.persistence import backends
from tests.engines.tasks import Step, states_of
from tests.support import unreadable

ERRORS = pytest.mark.parametrize(
    "make", [pytest.param(make, id=name) for name, make in unreadable.ERRORS.items()]
)
#: The largest text of one failure in a store; each store accepts more.
MAX_SIZE = 500_000


class Raise(Task):
    """Raises an error in one of its methods."""

    def __init__(self, name, log, where, make):
        super().__init__(name)
        self.log, self.where, self.make = log, where, make

    def _step(self, where, entry=None):
        if entry:
            self.log.append(entry)
        if where == self.where:
            raise self.make()

    def pre_execute(self):
        self._step("pre_execute")

    def execute(self):
        self._step("execute", self.name)
        if "revert" in self.where:
            raise ValueError("to revert")

    def post_execute(self):
        self._step("post_execute")

    def pre_revert(self):
        self._step("pre_revert")

    def revert(self, **_):
        self._step("revert", f"-{self.name}")

    def post_revert(self):
        self._step("post_revert")


class Policy(Retry):
    """Retries without end, and raises an error in one of its methods."""

    def __init__(self, where, make):
        super().__init__("policy")
        self.where, self.make = where, make

    def _step(self, where):
        if where == self.where:
            raise self.make()

    def execute(self, history):
        self._step("execute")

    def revert(self, history):
        self._step("revert")

    def on_failure(self, history):
        self._step("on_failure")
        return Decision.REVERT


def stored(backend, uuid):
    with backend.get_connection() as connection:
        return connection.get_flow_details(uuid)


def run(engine, kind=BaseException):
    """Run an engine and return what it raised."""
    with pytest.raises(kind) as raised:
        engine.run()
    return raised.value


def has_class_of(error, make):
    """Return whether an error is the one that was raised; pytest cannot show some of their classes."""
    return type(error) is type(make())


@ERRORS
@pytest.mark.parametrize("where", ["pre_execute", "execute", "post_execute"])
@pytest.mark.parametrize("keep", [False, True])
def test_from_execute_it_is_recorded_and_reverted(make, where, keep, log):
    with backends.backend("memory") as backend:
        flow = LinearFlow("f").add(Step("a", log), Raise("b", log, where, make), Step("c", log))
        engine = engines.load(flow, backend=backend if keep else None)
        began = time.monotonic()
        error = run(engine)
        assert time.monotonic() - began < 10
        assert has_class_of(error, make)
        assert engine.storage.get_flow_state() == states.REVERTED
        assert states_of(engine) == dict.fromkeys("ab", states.REVERTED) | {"c": states.PENDING}
        assert log[-2:] == ["-b", "-a"]
        if keep:
            check_stored(backend, engine, "failure")


def check_stored(backend, engine, column):
    """Check that the failure of atom b is stored like the live one, in bounded size."""
    uuid = engine.storage.flow_uuid
    (live,) = [getattr(detail, column) for detail in engine._journal.details if detail.name == "b"]
    (kept,) = [getattr(detail, column) for detail in stored(backend, uuid) if detail.name == "b"]
    assert kept.matches(live)
    assert kept.traceback_str == live.traceback_str
    assert len(codec.encode(kept)) < MAX_SIZE
    assert len(kept.causes) <= 50
    for each in (kept, *kept.causes):
        assert type(each.exception_str) is str
        each.pformat(traceback=True).encode()
    Failure.validate(live.to_dict())


@ERRORS
@pytest.mark.parametrize("where", ["pre_revert", "revert", "post_revert"])
def test_from_revert_it_is_recorded(make, where, backend, log):
    flow = LinearFlow("f").add(Step("a", log), Raise("b", log, where, make))
    engine = engines.load(flow, backend=backend)
    assert has_class_of(run(engine), make)
    assert engine.storage.get_flow_state() == states.REVERT_FAILURE
    assert states_of(engine) == {"a": states.SUCCESS, "b": states.REVERT_FAILURE}
    check_stored(backend, engine, "revert_failure")
    # The rollback resumes in another process.
    flow = LinearFlow("f").add(Step("a", log), Step("b", log))
    engine = engines.load(flow, backend=backend, flow_detail=stored(backend, engine.storage.flow_uuid))
    run(engine)
    assert engine.storage.get_flow_state() == states.REVERTED
    assert log[-2:] == ["-b", "-a"]


@ERRORS
def test_from_a_retry_it_is_recorded_and_reverted(make, backend, log):
    inner = LinearFlow("inner", retry=Policy("execute", make)).add(Step("b", log))
    engine = engines.load(LinearFlow("f").add(Step("a", log), inner), backend=backend)
    assert has_class_of(run(engine), make)
    assert engine.storage.get_flow_state() == states.REVERTED
    assert log == ["a", "-a"]


@ERRORS
def test_from_the_revert_of_a_retry_it_is_recorded(make, backend, log):
    inner = LinearFlow("inner", retry=Policy("revert", make)).add(Step("b", log, fails=1))
    engine = engines.load(LinearFlow("f").add(Step("a", log), inner), backend=backend)
    run(engine)
    assert engine.storage.get_flow_state() == states.REVERT_FAILURE
    assert engine.storage.get_atom_state("policy") == states.REVERT_FAILURE


@ERRORS
def test_from_on_failure_it_is_raised_and_the_rollback_can_go_on(make, backend, log):
    engine = engines.load(
        LinearFlow("f", retry=Policy("on_failure", make)).add(Step("a", log), Step("b", log, fails=1)),
        backend=backend,
    )
    assert has_class_of(run(engine), make)
    flow = LinearFlow("f", retry=Policy(None, make)).add(Step("a", log), Step("b", log))
    engine = engines.load(flow, backend=backend, flow_detail=stored(backend, engine.storage.flow_uuid))
    run(engine)
    assert engine.storage.get_flow_state() == states.REVERTED
    assert log[-2:] == ["-b", "-a"]


@ERRORS
def test_from_a_decider_it_is_raised_and_the_flow_can_go_on(make, backend, log):
    def flow(decide):
        a, b = Step("a", log), Step("b", log)
        return GraphFlow("f").add(a, b).link(a, b, decider=decide)

    def refuse(history):
        raise make()

    engine = engines.load(flow(refuse), backend=backend)
    assert has_class_of(run(engine), make)
    kept = stored(backend, engine.storage.flow_uuid)
    engine = engines.load(flow(lambda history: True), backend=backend, flow_detail=kept)
    engine.run()
    assert log == ["a", "b"]


@ERRORS
@pytest.mark.parametrize("secrets", [None, ["password"]])
def test_from_an_observer_it_changes_nothing(make, secrets, backend, log):
    def refuse(state, details):
        raise make()

    flow = LinearFlow("f").add(Step("a", log))
    engine = engines.load(flow, backend=backend, store={"password": "hunter22"}, secrets=secrets)
    engine.atom_notifier.register("*", refuse)
    engine.notifier.register("*", refuse)
    engine.run()
    assert engine.storage.get_flow_state() == states.SUCCESS


@ERRORS
def test_it_fails_like_any_other_while_secrets_are_masked(make, backend, log):
    flow = LinearFlow("f").add(Step("a", log), Raise("b", log, "execute", make))
    engine = engines.load(flow, backend=backend, store={"password": "hunter22"}, secrets=["password"])
    run(engine)
    assert engine.storage.get_flow_state() == states.REVERTED
    error = make()
    assert redaction.format_traceback((type(error), error, None))
    assert not redaction.contains_secret((type(error), error, None))


@ERRORS
def test_all_atoms_of_a_parallel_flow_that_raise_it_are_reverted(make, backend, log):
    tasks = [Raise(name, log, "execute", make) for name in "bcd"]
    engine = engines.load(UnorderedFlow("f").add(*tasks), backend=backend, engine="parallel")
    run(engine)
    assert engine.storage.get_flow_state() == states.REVERTED
    assert sorted(log[-3:]) == ["-b", "-c", "-d"]


@pytest.mark.parametrize("length", [15, 50, 51, 1000])
def test_chain_of_causes_is_written_once(length):
    failure = Failure.from_exception(unreadable.chain(length))
    data = failure.to_dict()
    causes = [cause["exception_str"] for cause in data["causes"]]
    assert len(causes) == min(length, 50)
    assert causes[0] == f"attempt {length - 2} failed"
    assert causes[-1] == "first"
    assert all(cause["causes"] == [] for cause in data["causes"])
    notes = [cause["traceback_str"] for cause in data["causes"] if "left out" in cause["traceback_str"]]
    assert len(notes) == (length > 50)
    assert all(f"{length - 50} causes left out" in note for note in notes)
    again = Failure.from_dict(data)
    assert again.matches(failure)
    assert [each.exception_str for each in again.causes[0].causes] == causes[1:]
    assert [each.exception_str for each in failure.causes[0].causes] == causes[1:]


def test_causes_as_earlier_releases_wrote_them():
    def nested(errors):
        """Repeat in each cause all causes after it."""
        data = [error.to_dict() for error in errors]
        for number, each in enumerate(data):
            each["causes"] = nested(errors[number + 1 :])
        return data

    plain = [Failure.from_exception(ValueError(str(number))) for number in range(6)]
    failure = Failure.from_dict({**plain[0].to_dict(), "causes": nested(plain[1:])})
    assert [each.exception_str for each in failure.causes] == list("12345")
    assert [each.exception_str for each in failure.causes[1].causes] == list("345")


def test_causes_nested_one_in_the_other():
    plain = [Failure.from_exception(ValueError(str(number))).to_dict() for number in range(4)]
    for outer, inner in itertools.pairwise(plain):
        outer["causes"] = [inner]
    assert [each.exception_str for each in Failure.from_dict(plain[0]).causes] == list("123")


def test_what_is_said_of_an_unreadable_message():
    def text(error):
        return Failure.from_exception(error).exception_str

    assert text(unreadable.NoText("but an argument")) == (
        "but an argument (the message of tests.support.unreadable.NoText cannot be read: ValueError)"
    )
    assert (
        text(unreadable.NoText())
        == "the message of tests.support.unreadable.NoText cannot be read: ValueError"
    )
    assert text(unreadable.LazyError(unreadable.LazyText("lazy"))) == "lazy"
    assert text(ValueError("\udcff")) == r"\udcff"
    long = text(ValueError("x" * 10_000_000))
    assert len(long) < 33_000
    assert re.search(r"\[\.\.\. 99\d{5} characters left out \.\.\.\]", long)


def test_notes_and_members_of_a_group_are_kept():
    error = ExceptionGroup("several", [ValueError("a"), ExceptionGroup("inner", [unreadable.NoText("b")])])
    error.add_note("while paying")
    text = Failure.from_exception(error).traceback_str
    assert "Note: while paying\n" in text
    assert "Error 1 of the group: ValueError: a\n" in text
    assert "Error 2.1 of the group: tests.support.unreadable.NoText: b" in text


def test_base_exceptions_are_kept_as_causes():
    error = ValueError("stopped")
    error.__cause__ = SystemExit(3)
    failure = Failure.from_exception(error)
    (cause,) = failure.causes
    assert cause.exc_type_names == ("SystemExit", "BaseException")
    Failure.validate(failure.to_dict())
    assert Failure.from_dict(failure.to_dict()).matches(failure)


def test_lazy_text_as_a_result_fails_its_task(backend, log):
    flow = LinearFlow("f").add(Step("a", log), Step("b", log, result=unreadable.LazyText("done")))
    engine = engines.load(flow, backend=backend)
    run(engine)
    assert engine.storage.get_flow_state() == states.REVERTED
    assert log == ["a", "b", "-b", "-a"]


@pytest.mark.parametrize("keep", [False, True])
def test_result_that_does_not_say_what_it_is(keep, log):
    with backends.backend("memory") as backend:
        flow = LinearFlow("f").add(Step("a", log), Step("b", log, result=unreadable.Unprintable()))
        engine = engines.load(flow, backend=backend if keep else None)
        with contextlib.suppress(Exception):
            engine.run()
        assert engine.storage.get_flow_state() == (states.REVERTED if keep else states.SUCCESS)
