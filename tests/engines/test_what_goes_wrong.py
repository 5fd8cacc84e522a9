"""What goes wrong in an atom ends in the rollback of its flow; everything else leaves the flow resumable."""

import asyncio
import sys

import pytest

from stackl_flow import Decision, GraphFlow, LinearFlow, Retry, Task, engines, retry, states
from stackl_flow.persistence import backends
from tests.engines.tasks import Step

# ---------------------------------------------------------------------- values that cannot be asked


class BadItems(dict):
    """Raises when it is asked for an item."""

    def __getitem__(self, key):
        raise ZeroDivisionError("no items")

    def get(self, key, default=None):
        raise ZeroDivisionError("no items")


class BadLength:
    """Raises when it is asked for its length, whether it is true, or anything else."""

    def __len__(self):
        raise ZeroDivisionError("no length")

    def __bool__(self):
        raise ZeroDivisionError("neither true nor false")

    def __eq__(self, other):
        raise ZeroDivisionError("not comparable")

    def __iter__(self):
        raise ZeroDivisionError("not iterable")

    def __repr__(self):
        raise ZeroDivisionError("not shown")

    __hash__ = None


class BadKeys(dict):
    """Raises when it is iterated."""

    def __iter__(self):
        raise ZeroDivisionError("no keys")

    def items(self):
        raise ZeroDivisionError("no items")

    keys = values = items


class BadText(str):
    __slots__ = ()

    def __str__(self):
        raise ZeroDivisionError("no text")

    __repr__ = __str__


def generator():
    yield 1
    raise ZeroDivisionError("no more")


def endless_generator():
    while True:
        yield 1


def recursion():
    return recursion()


def deep():
    value = []
    for _ in range(sys.getrecursionlimit() * 3):
        value = [value]
    return value


async def coroutine():
    pass


def raises(kind, *args):
    def work():
        raise kind(*args)

    work.__name__ = kind.__name__
    return work


def too_many_handles():
    raise OSError(24, "Too many open files")


#: What the body of a task may do wrong.
ERRORS = {
    "RecursionError": recursion,
    **{
        kind.__name__: raises(kind)
        for kind in (
            MemoryError, StopIteration, StopAsyncIteration, GeneratorExit, SystemExit, asyncio.CancelledError,
            BaseException,
        )
    },
    "SystemExit-0": raises(SystemExit, 0),
    "SystemExit-text": raises(SystemExit, "text"),
    "group": raises(BaseExceptionGroup, "many", [ValueError("a"), SystemExit(1), KeyboardInterrupt()]),
    "UnicodeDecodeError": raises(UnicodeDecodeError, "utf-8", b"\xff", 0, 1, "bad"),
    "OSError": too_many_handles,
    "deep": deep,
}  # fmt: skip
#: Results that a flow cannot use.
RESULTS = {
    "generator": generator,
    "endless generator": endless_generator,
    "bad items": lambda: BadItems(a=1, b=2),
    "bad keys": lambda: BadKeys(a=1, b=2),
    "bad length": BadLength,
    "in a list": lambda: [BadLength()],
    "bad text": lambda: BadText("text"),
    "lambda": lambda: lambda: None,
    "class": lambda: BadLength,
    "coroutine": coroutine,
    "module": lambda: sys,
    "number": lambda: 5,
    "text": lambda: "text",
    "bytes": lambda: b"ab",
    "nan": lambda: {"a": float("nan"), "b": float("inf")},
    "set": lambda: {"a", "b"},
    "none": lambda: None,
}


def params(answers):
    return [pytest.param(answer, id=name) for name, answer in answers.items() if answer is not deep]


KINDS = pytest.mark.parametrize("kind", ["serial", "parallel"])
RESULT = pytest.mark.parametrize("work", [pytest.param(work, id=name) for name, work in RESULTS.items()])


class Do(Task):
    """Does something in one of its methods, and fails otherwise if it is to be reverted."""

    def __init__(self, work, where="execute", **kwargs):
        super().__init__("do", **kwargs)
        self.work, self.where = work, where

    def _step(self, where):
        return self.work() if where == self.where else None

    def pre_execute(self):
        self._step("pre_execute")

    def execute(self):
        if "revert" in self.where:
            raise ValueError("to revert")
        return self._step("execute")

    def post_execute(self):
        self._step("post_execute")

    def pre_revert(self):
        self._step("pre_revert")

    def revert(self, **_):
        return self._step("revert")

    def post_revert(self):
        self._step("post_revert")


class Use(Task):
    """Uses what another task provides, and fails."""

    def execute(self, a, b):
        raise ValueError("used")


@pytest.fixture(params=[None, "memory", "sqlite"])
def keep(request, tmp_path):
    """Return where a flow is stored, or None."""
    if request.param is None:
        yield None
        return
    url = "memory" if request.param == "memory" else f"sqlite:///{tmp_path / 'flows.db'}"
    with backends.backend(url) as made:
        yield made


def stored(backend, engine):
    with backend.get_connection() as connection:
        return connection.get_flow_details(engine.storage.flow_uuid)


def run(engine):
    """Run an engine that raises something."""
    with pytest.raises(BaseException) as raised:  # noqa: PT011  of any kind
        engine.run()
    return raised.value


def check_end(engine, backend, state=states.REVERTED):
    assert engine.storage.get_flow_state() == state
    if backend is not None:
        assert stored(backend, engine).state == state


# ---------------------------------------------------------------------- of an atom: the flow is reverted


@pytest.mark.parametrize(
    ("work", "where"),
    [
        pytest.param(work, where, id=f"{name}-{where}")
        for name, work in ERRORS.items()
        for where in ("pre_execute", "execute", "post_execute")
        if work is not deep or where == "execute"
    ],
)
@KINDS
def test_an_error_of_a_task_reverts_its_flow(work, kind, where, backend, log):
    flow = LinearFlow("f").add(Step("first", log), Do(work, where))
    engine = engines.load(flow, engine=kind, backend=backend)
    run(engine)
    check_end(engine, backend)
    assert log == ["first", "-first"]


@pytest.mark.parametrize("work", params(ERRORS))
@KINDS
@pytest.mark.parametrize("where", ["pre_revert", "revert", "post_revert"])
def test_an_error_of_a_revert_ends_the_rollback(work, kind, where, backend, log):
    engine = engines.load(
        LinearFlow("f").add(Step("first", log), Do(work, where)), engine=kind, backend=backend
    )
    run(engine)
    check_end(engine, backend, states.REVERT_FAILURE)
    flow = LinearFlow("f").add(Step("first", log), Step("do", log))
    engine = engines.load(flow, backend=backend, flow_detail=stored(backend, engine))
    run(engine)
    check_end(engine, backend)
    assert log == ["first", "-do", "-first"]


@RESULT
@KINDS
@pytest.mark.parametrize("provides", [("a", "b"), {"a", "b"}], ids=["tuple", "set"])
def test_an_odd_result_reverts_its_flow(work, kind, provides, keep, log):
    flow = LinearFlow("f").add(Step("first", log), Do(work, provides=provides))
    flow.add(Use())
    engine = engines.load(flow, engine=kind, backend=keep)
    run(engine)
    check_end(engine, keep)
    assert log == ["first", "-first"]


@RESULT
@KINDS
def test_an_odd_result_of_a_revert_is_not_in_the_way(work, kind, backend, log):
    engine = engines.load(
        LinearFlow("f").add(Step("first", log), Do(work, "revert")), engine=kind, backend=backend
    )
    run(engine)
    if work is coroutine:  # it did not run
        check_end(engine, backend, states.REVERT_FAILURE)
        return
    check_end(engine, backend)
    assert log == ["first", "-first"]


@pytest.mark.parametrize(
    "revert",
    [
        lambda: None,
        lambda self, *, missing: None,
        lambda self, result, more: None,
        staticmethod(lambda: None),
    ],
    ids=["no self", "keyword", "argument", "static"],
)
@KINDS
def test_a_revert_that_cannot_be_called_fails_or_is_refused(revert, kind, backend, log):
    body = type("Body", (Task,), {"execute": lambda self: None, "revert": revert})
    try:
        flow = LinearFlow("f").add(Step("first", log), body("body"), Step("last", log, fails=1))
        engine = engines.load(flow, engine=kind, backend=backend)
        engine.prepare()
        engine.validate()
    except Exception:  # noqa: BLE001  refused before anything ran
        assert log == []
        return
    run(engine)
    assert engine.storage.get_flow_state() in (states.REVERTED, states.REVERT_FAILURE)


VALUES = {
    "number": lambda: 5,
    "none": lambda: None,
    "generator": generator,
    "bad length": BadLength,
    "text": lambda: "abc",
    "dict": lambda: {"a": 1},
    "bad keys": lambda: BadKeys(a=1),
}


@pytest.mark.parametrize("make", params(VALUES))
@pytest.mark.parametrize("policy", [retry.ForEach, retry.ParameterizedForEach])
@KINDS
def test_odd_values_of_a_retry(make, policy, kind, keep, log):
    inputs, values = {}, make()
    try:
        if policy is retry.ForEach:
            policy = retry.ForEach(values, name="each", provides="value")
        else:
            policy, inputs = retry.ParameterizedForEach("each", provides="value"), {"values": values}
        inner = LinearFlow("inner", retry=policy).add(Step("inner", log, fails=100))
        engine = engines.load(
            LinearFlow("f").add(Step("first", log), inner), engine=kind, backend=keep, store=inputs
        )
        engine.prepare()
    except Exception:  # noqa: BLE001  refused before anything ran
        assert log == []
        return
    run(engine)
    check_end(engine, keep)
    assert log[-1] == "-first"


@KINDS
def test_a_task_whose_argument_no_longer_exists(kind, backend, log):
    flow = LinearFlow("f").add(Step("first", log), Do(dict, provides={"a", "b"}), Use())
    engine = engines.load(flow, engine=kind, backend=backend)
    run(engine)
    check_end(engine, backend)


# ---------------------------------------------------------------------- not an atom's own: it can be resumed

ANSWERS = {
    "none": lambda: None,
    "text": lambda: "AGAIN",
    "number": lambda: 5,
    "bad length": BadLength,
    "generator": generator,
    "coroutine": coroutine,
}


def check_resumable(load, backend):
    """Run a flow that is broken off by what is odd in it, then resume it without that."""
    engine = load(odd=True)
    run(engine)
    assert stored(backend, engine).state not in (states.SUCCESS, states.REVERTED)
    engine = load(odd=False, flow_detail=stored(backend, engine))
    run(engine)
    check_end(engine, backend)


@pytest.mark.parametrize("answer", params(ANSWERS | ERRORS))
@KINDS
def test_an_odd_decision_of_a_retry_leaves_the_flow_resumable(answer, kind, backend, log):
    def load(odd, **kwargs):
        class Policy(Retry):
            def execute(self, history):
                return None

            def on_failure(self, history):
                return answer() if odd else Decision.REVERT_ALL

        inner = LinearFlow("inner", retry=Policy("policy")).add(Step("inner", log, fails=1))
        flow = LinearFlow("f").add(Step("first", log), inner)
        return engines.load(flow, engine=kind, backend=backend, **kwargs)

    check_resumable(load, backend)
    assert log == ["first", "inner", "-inner", "-first"]


@pytest.mark.parametrize(
    "answer", params({**ERRORS, **{name: ANSWERS[name] for name in ("bad length", "generator", "coroutine")}})
)
@KINDS
def test_an_odd_answer_of_a_decider_leaves_the_flow_resumable(answer, kind, backend, log):
    def load(odd, **kwargs):
        first, last = Step("first", log), Step("last", log, fails=1)
        flow = GraphFlow("f").add(first, last)
        flow.link(first, last, decider=lambda history: answer() if odd else True)
        return engines.load(flow, engine=kind, backend=backend, **kwargs)

    check_resumable(load, backend)
    assert log == ["first", "last", "-last", "-first"]


def test_a_pool_that_is_shut_down_leaves_the_flow_resumable(backend, log):
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(2)

    class ShutDown(Task):
        def execute(self):
            pool.shutdown(wait=False)

    flow = LinearFlow("f").add(Step("first", log), ShutDown("shut down"), Step("last", log, fails=1))
    engine = engines.load(flow, engine="parallel", executor=pool, backend=backend)
    run(engine)
    assert stored(backend, engine).state not in (states.SUCCESS, states.REVERTED)
    engine = engines.load(flow, backend=backend, flow_detail=stored(backend, engine))
    run(engine)
    check_end(engine, backend)
    assert log == ["first", "last", "-last", "-first"]


def test_a_commit_that_cannot_be_encoded_leaves_the_flow_resumable(backend, log):
    """A program may put anything into what belongs to the engine."""
    odd = True

    def listen(state, details):
        if odd and details["task_name"] == "first":
            detail = next(d for d in engine.storage._journal.flow if d.name == "first")
            detail.meta = {"bad": object()}

    def load(**kwargs):
        flow = LinearFlow("f").add(Step("first", log), Step("last", log, fails=1))
        engine = engines.load(flow, backend=backend, **kwargs)
        engine.atom_notifier.register("*", listen)
        return engine

    engine = load()
    run(engine)
    again = engine
    odd = False
    run(again)  # by the same engine
    check_end(again, backend)


NAMES = ["", " ", "\n", "a/b", "a\0b", "\ud800", "x" * 5000, "'; --", "ü" * 300, BadText("n")]


@pytest.mark.parametrize("number", range(len(NAMES)))
@KINDS
def test_an_odd_name_is_refused_or_the_flow_ends(number, kind, backend, log):
    try:
        flow = LinearFlow("f").add(Step("first", log), Step(NAMES[number], log, fails=1))
        engine = engines.load(flow, engine=kind, backend=backend)
        engine.prepare()
    except Exception:  # noqa: BLE001  refused before anything ran
        assert log == []
        return
    run(engine)
    check_end(engine, backend)
    assert log[-1] == "-first"
