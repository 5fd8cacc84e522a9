"""Identity of calls, context of tasks, recall, start times, exits, Ctrl-C and forks."""

import contextvars
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent import futures

import futurist
import pytest

from stackl_flow import LinearFlow, UnorderedFlow, current_task, engines, retry, states, task
from stackl_flow import exceptions as exc
from stackl_flow.control import flows
from stackl_flow.engines.executors.calls import Completion
from stackl_flow.engines.executors.threads import ThreadsExecutor
from stackl_flow.failure import Failure
from stackl_flow.listeners.timing import DurationListener
from stackl_flow.persistence import backends
from tests.engines.tasks import Step, final_state

VARIABLE = contextvars.ContextVar("span", default=None)


def raiser(error):
    def work():
        raise error

    return work


# ------------------------------------------------------------------ identity


def test_a_late_completion_is_not_taken_for_the_next_attempt(log):
    ended, second_began = threading.Event(), threading.Event()
    attempts = []

    class GivesUp(ThreadsExecutor):
        """Reports the first attempt as failed while it runs."""

        def submit(self, call):
            super().submit(call)
            if call.attempt == 1 and call.action == "execute":
                self._mailbox.put(Completion(call.id, Failure.from_exception(TimeoutError("late"))))

    def slow():
        attempts.append(current_task().attempt)
        if attempts[-1] == 1:
            second_began.wait(30)
            ended.set()
        else:
            second_began.set()
            ended.wait(30)
            time.sleep(0.05)  # the first one's completion arrives
        return f"result of attempt {current_task().attempt}"

    flow = LinearFlow("f", retry=retry.Times(2, name="r")).add(
        task.FunctorTask(slow, name="slow", provides="x")
    )
    engine = engines.load(flow, engine="parallel", executor=GivesUp(max_workers=2))
    engine.run()
    assert engine.storage.fetch("x") == "result of attempt 2"
    assert sorted(attempts) == [1, 2]
    assert engine.statistics["late_reports"] == 1


def test_an_executor_of_an_entry_point(monkeypatch):
    from stackl_flow.engines.executors import threads

    monkeypatch.setitem(threads.BUILT_IN, "mine", "stackl_flow.engines.executors.threads:threads")
    engine = engines.load(Step("a", []), engine="parallel", executor="mine", max_workers=3)
    assert engine.executor.slots == 48
    engine.run()


# ------------------------------------------------------------------ context


def test_tasks_and_retries_know_what_they_work_for(load):
    seen = []

    def note():
        here = current_task()
        seen.append((here.name, here.action, here.attempt, here.flow_name, here.idempotency_key))

    class Work(task.Task):
        def execute(self):
            assert self.context.name == "work"
            note()
            raise ValueError

        def revert(self, **kwargs):
            note()

    class Again(retry.Times):
        def execute(self, history, **kwargs):
            note()

        def revert(self, history, **kwargs):
            note()

        def on_failure(self, history, **kwargs):
            note()
            return super().on_failure(history, **kwargs)

    engine = load(LinearFlow("f", retry=Again(2, name="r")).add(Work("work")))
    assert final_state(engine, ValueError) == states.REVERTED
    assert [entry[:3] for entry in seen] == [
        ("r", "execute", 1),
        ("work", "execute", 1),
        ("r", "on_failure", 1),
        ("work", "revert", 1),
        ("r", "execute", 2),
        ("work", "execute", 2),
        ("r", "on_failure", 2),
        ("work", "revert", 2),
        ("r", "revert", 2),
    ]
    assert {entry[3] for entry in seen} == {"f"}
    assert len({entry[4] for entry in seen}) == len(seen)
    with pytest.raises(exc.InvalidState, match="no current task"):
        current_task()


def test_context_is_an_ordinary_name(load):
    class FromStore(task.Task):
        default_provides = "seen"

        def execute(self, context):
            return context

    class Own(task.Task):
        def __init__(self, context):
            super().__init__("own")
            self.context = context

        def execute(self):
            return self.context

    engine = load(LinearFlow("f").add(FromStore("a"), Own("mine")), store={"context": "stored"})
    engine.run()
    assert engine.storage.fetch("seen") == "stored"
    assert engine.storage.get("own") == "mine"


def test_context_variables_reach_tasks(load):
    seen = {}

    def work(name):
        seen[name] = VARIABLE.get()
        VARIABLE.set("leaked")

    def started(state, details):
        if details["task_name"] != "b":
            VARIABLE.set(f"span of {details['task_name']}")

    flow = UnorderedFlow("f").add(*(task.FunctorTask(work, name=n, inject={"name": n}) for n in "abc"))
    engine = load(flow)
    engine.atom_notifier.register(states.RUNNING, started)

    def caller():
        VARIABLE.set("caller's")
        engine.run()

    contextvars.copy_context().run(caller)
    assert seen == {"a": "span of a", "b": "caller's", "c": "span of c"}
    assert VARIABLE.get() is None


def test_wrappers_are_called_around_the_work(load):
    seen = []

    def outer(call, perform):
        seen.append(("outer", call.id.atom, call.id.action, threading.get_ident()))
        result = perform()
        seen.append(result)
        return result

    def inner(call, perform):
        seen.append(("inner", current_task().name))
        return perform() + 1

    engine = load(task.FunctorTask(lambda: seen.append(threading.get_ident()) or 1, name="a"), wrap=outer)
    engine.add_wrapper(inner)
    engine.run()
    assert engine.storage.get("a") == 2
    assert seen == [("outer", "a", "execute", seen[2]), ("inner", "a"), seen[2], 2]


# ------------------------------------------------------------------ recall and start times


@pytest.mark.parametrize(
    "make", [lambda: None, lambda: futurist.ThreadPoolExecutor(2), lambda: futures.ThreadPoolExecutor(2)]
)
def test_queued_calls_are_recalled_after_a_failure(make, tmp_path):
    ran, history = [], []

    def work(number):
        ran.append(number)
        time.sleep(0.02)
        if number == 0:
            raise ValueError("first")

    flow = UnorderedFlow("f").add(
        *(task.FunctorTask(work, name=f"t{n}", inject={"number": n}) for n in range(40))
    )
    with backends.backend(f"sqlite:///{tmp_path}/x.db") as backend:
        engine = engines.load(flow, engine="parallel", max_workers=2, executor=make(), backend=backend)
        engine.atom_notifier.register(
            "*", lambda state, details: history.append((details["old_state"], state))
        )
        assert final_state(engine, ValueError) == states.REVERTED
        view = flows.get_flow(backend, engine.storage.flow_uuid)
    assert len(ran) < 10
    assert (states.RUNNING, states.PENDING) in history
    by_state = {atom.name: atom.state for atom in view.atoms}
    assert {n for n, state in by_state.items() if state == states.REVERTED} == {f"t{n}" for n in ran}
    assert all(atom.started is None and atom.attempts == 0 for atom in view.atoms if atom.state == "PENDING")


def test_waiting_in_a_pool_is_not_running(tmp_path):
    began, gate = threading.Semaphore(0), threading.Event()

    def work():
        began.release()
        gate.wait(30)

    flow = UnorderedFlow("f").add(*(task.FunctorTask(work, name=f"t{n}") for n in range(8)))
    with backends.backend(f"sqlite:///{tmp_path}/x.db") as backend:
        engine = engines.load(flow, engine="parallel", max_workers=2, backend=backend)
        with DurationListener(engine):
            thread = threading.Thread(target=engine.run)
            thread.start()
            for _ in range(2):
                assert began.acquire(timeout=30)
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                counts = flows.get_flow(backend, engine.storage.flow_uuid).counts()
                if counts.get("RUNNING"):
                    break
                time.sleep(0.02)
            assert counts == {"RUNNING": 2, "QUEUED": 6}
            assert (engine.statistics["incomplete"], engine.statistics["awaiting"]) == (2, 6)
            time.sleep(0.3)
            gate.set()
            thread.join(30)
        view = flows.get_flow(backend, engine.storage.flow_uuid)
    late = sorted(atom.seconds for atom in view.atoms)[:6]
    assert late[-1] < 0.2
    durations = sorted(atom.meta["duration"] for atom in engine._flow_detail)
    assert durations[5] < 0.2
    assert durations[6] > 0.2


# ------------------------------------------------------------------ exits, Ctrl-C, forks


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit()])
@pytest.mark.parametrize("where", ["execute", "revert"])
def test_an_exit_is_the_failure_of_its_task(load, log, error, where):
    class Leaves(Step):
        def execute(self, **kwargs):
            super().execute()
            raise error if where == "execute" else ValueError

        def revert(self, **kwargs):
            super().revert()
            if where == "revert":
                raise error

    engine = load(LinearFlow("f").add(Step("a", log), Leaves("b", log)))
    with pytest.raises(RuntimeError, match=type(error).__name__):
        engine.run()
    done = states.REVERTED if where == "execute" else states.REVERT_FAILURE
    assert engine.storage.get_flow_state() == done


@pytest.mark.parametrize("kind", ["serial", "parallel"])
def test_keyboard_interrupt_in_another_thread_is_a_failure(kind, log):
    flow = LinearFlow("f").add(Step("a", log), task.FunctorTask(raiser(KeyboardInterrupt()), name="b"))
    engine = engines.load(flow, engine=kind)
    thread = threading.Thread(target=lambda: final_state(engine, RuntimeError))
    thread.start()
    thread.join(30)
    assert engine.storage.get_flow_state() == states.REVERTED
    assert log == ["a", "-a"]


@pytest.mark.parametrize(("kind", "presses"), [("serial", 1), ("parallel", 1), ("parallel", 2)])
def test_ctrl_c_suspends_the_flow(kind, presses, tmp_path):
    program = textwrap.dedent(f"""
        import sys, time
        from stackl_flow import LinearFlow, task, engines
        from stackl_flow.persistence import backends
        def work():
            print("working", flush=True)
            end = time.monotonic() + 3
            while time.monotonic() < end:
                time.sleep(0.05)
        with backends.backend("sqlite:///{tmp_path}/x.db") as backend:
            rest = task.FunctorTask(lambda: print("rest", flush=True), name="c")
            first = task.FunctorTask(lambda: 1, name="a")
            flow = LinearFlow("f").add(first, task.FunctorTask(work, name="b"), rest)
            engine = engines.load(flow, engine="{kind}", backend=backend)
            try:
                engine.run()
            except KeyboardInterrupt:
                print("interrupted", engine.storage.get_flow_state(), flush=True)
            with backend.get_connection() as connection:
                stored = connection.get_flow_details(engine.storage.flow_uuid)
            print(stored.state, {{a.name: a.state for a in stored}}, flush=True)
            engine.run()
            print(engine.storage.get_flow_state(), flush=True)
    """)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "working\n"
    for _ in range(presses):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    output = process.communicate(timeout=60)[0].splitlines()
    assert output[0] == "interrupted SUSPENDED"
    assert output[1].startswith("SUSPENDED {'a': 'SUCCESS'")
    assert output[-1] == "SUCCESS"


@pytest.mark.parametrize("kind", ["serial", "parallel"])
def test_a_forked_child_does_not_store_the_flow(kind, tmp_path):
    program = textwrap.dedent(f"""
        import os
        from stackl_flow import LinearFlow, task, engines
        from stackl_flow.persistence import backends
        parent = os.getpid()
        def work():
            child = os.fork()
            if child:
                print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        with backends.backend("sqlite:///{tmp_path}/x.db") as backend:
            second = task.FunctorTask(lambda: print("b", flush=True), name="b")
            flow = LinearFlow("f").add(task.FunctorTask(work, name="a"), second)
            engine = engines.load(flow, engine="{kind}", backend=backend)
            try:
                engine.run()
            except BaseException as error:
                print(os.getpid() != parent, type(error).__name__, flush=True)
                os._exit(70)
            print(engine.storage.get_flow_state(), flush=True)
    """)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    lines = done.stdout.splitlines()
    assert lines[-3:] == ["child 70", "b", "SUCCESS"], (done.stdout, done.stderr)
    assert lines[:-3] == (["True ForkedProcess"] if kind == "serial" else [])
    assert kind == "serial" or "was forked by a task" in done.stderr
    assert os.getpid()


def test_an_exit_of_on_failure_is_reported_with_the_name_of_the_retry(load):
    class Leaves(retry.Times):
        def on_failure(self, history, *args, **kwargs):
            raise SystemExit("bye")

    flow = LinearFlow("f", retry=Leaves(1, name="r")).add(task.FunctorTask(raiser(ValueError()), name="t"))
    with pytest.raises(RuntimeError, match="'on_failure' of retry 'r' raised SystemExit: bye"):
        load(flow).run()
