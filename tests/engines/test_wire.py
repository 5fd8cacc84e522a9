"""Calls and reports as messages: what is in them, how a receiver finds atoms, and calls in real processes."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stackl_flow import FunctorTask, LinearFlow
from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM
from stackl_flow.engines.engine import ParallelEngine
from stackl_flow.engines.executors import wire
from stackl_flow.engines.executors.base import Executor
from stackl_flow.engines.executors.calls import (
    EXECUTE,
    REVERT,
    CallId,
    Cancelled,
    Completion,
    Interrupted,
    Progress,
    Started,
    WakeUp,
)
from stackl_flow.engines.plan import compile_flow
from stackl_flow.failure import Failure
from stackl_flow.persistence import backends, factory
from stackl_flow.retry import Times
from tests.engines import wire_flows

ROOT = Path(__file__).parents[2]
FACTORY = "tests.engines.wire_flows:greetings"
ARGUMENTS = '{"args":["hi"],"kwargs":{}}'
ID = CallId("7c2a9d3e-1b1f-4d52-9a42-0e2b9d0f7a11", "greet 0", EXECUTE, 2)


def message(who="you", source=None, **fields):
    values = {
        "id": ID,
        "flow_name": "greetings",
        "source": source or wire.FactorySource(FACTORY, ARGUMENTS),
        "arguments": {"who": who},
        "deadline": None,
        **fields,
    }
    return wire.CallMessage(**values)


def performed(receiver, call):
    sent = []
    receiver.perform(wire.encode_call(call), sent.append)
    return [wire.decode_report(text) for text in sent]


# ---------------------------------------------------------------------- messages


@pytest.mark.parametrize("source", [wire.FactorySource(FACTORY, ARGUMENTS), wire.ClassSource("a.b:C")])
@pytest.mark.parametrize("arguments", [{}, {"who": ("a", 1), "when": {1: b"x"}, "é": None}])
@pytest.mark.parametrize("deadline", [None, 1_790_000_000.5])
def test_a_call_is_decoded_as_it_was_encoded(source, arguments, deadline):
    call = message(source=source, arguments=arguments, deadline=deadline)
    text = wire.encode_call(call)
    assert wire.decode_call(text) == call
    assert json.loads(text)["stackl_flow"] == wire.VERSION


@pytest.mark.parametrize(
    "report",
    [
        Completion(ID, {"a": (1, 2)}, 5.5),
        Completion(ID, None),
        Started(ID, 17.25),
        Progress(ID, 0.5, {"seen": {1, 2}}),
        Cancelled(ID),
        Interrupted(ID),
    ],
)
def test_a_report_is_decoded_as_it_was_encoded(report):
    assert wire.decode_report(wire.encode_report(report)) == report


def test_a_failure_has_type_message_causes_and_traceback():
    def fail():
        raise ValueError("high") from KeyError("low")

    try:
        fail()
    except ValueError:
        failure = Failure()
    completion = wire.decode_report(wire.encode_report(Completion(ID, failure, 1.0)))
    found = completion.result
    assert found.check(ValueError)
    assert (found.exception_str, found.exception_args) == ("high", ("high",))
    assert "in fail" in found.traceback_str
    assert [cause.exception_str for cause in found.causes] == ["'low'"]


def test_a_result_without_a_json_form_is_a_failure():
    found = wire.decode_report(wire.encode_report(Completion(ID, object()))).result
    assert found.check(exc.NotSerializable)
    assert "result of atom 'greet 0'" in found.exception_str


def test_an_argument_without_a_json_form_is_named():
    with pytest.raises(exc.NotSerializable, match="argument 'odd' of atom 'greet 0'"):
        wire.encode_call(message(arguments={"who": 1, "odd": object()}))


def test_a_report_for_the_loop_alone_is_not_sent():
    with pytest.raises(exc.NotSupported):
        wire.encode_report(WakeUp())


@pytest.mark.parametrize("decode", [wire.decode_call, wire.decode_report])
@pytest.mark.parametrize(
    "text",
    ["", "no", "7", "null", "[]", "{}", '{"stackl_flow":0}', '{"stackl_flow":"1","type":"call"}',
     '{"stackl_flow":true,"type":"call"}', '{"stackl_flow":1}', '{"stackl_flow":1,"type":"other"}',
     "[" * 100_000],
)  # fmt: skip
def test_what_is_no_message_is_an_error(decode, text):
    with pytest.raises(exc.InvalidFormat):
        decode(text)


@pytest.mark.parametrize("text", [wire.encode_call(message()), wire.encode_report(Progress(ID, 0.5, {}))])
@pytest.mark.parametrize("wrong", [None, 7.5, "x", [], {}, True])
def test_a_message_with_a_wrong_field_is_an_error(text, wrong):
    decode = wire.decode_call if '"type":"call"' in text else wire.decode_report
    data = json.loads(text)
    for name in data.keys() - {"at", "deadline", "stackl_flow"}:
        if type(wrong) is type(data[name]) or (name == "progress" and type(wrong) is float):
            continue
        with pytest.raises(exc.InvalidFormat):
            decode(json.dumps({**data, name: wrong}))


@pytest.mark.parametrize("decode", [wire.decode_call, wire.decode_report])
def test_a_newer_version_is_an_error_and_more_fields_are_none(decode):
    text = wire.encode_call(message()) if decode is wire.decode_call else wire.encode_report(Cancelled(ID))
    data = json.loads(text)
    assert decode(json.dumps({**data, "more": 1})) == decode(text)
    with pytest.raises(exc.IncompatibleVersion, match=f"version {wire.VERSION + 1}"):
        decode(json.dumps({**data, "stackl_flow": wire.VERSION + 1}))


# ---------------------------------------------------------------------- the receiver


def test_a_flow_is_made_once_and_kept_within_bounds():
    receiver = wire.Receiver(max_flows=2)
    wire_flows.made.clear()
    flows = [ID._replace(flow=f"flow {number}") for number in range(3)]
    for flow in (*flows[:2], *flows[:2], flows[2], flows[2], flows[1], flows[0]):
        *_, report = performed(receiver, message(id=flow))
        assert isinstance(report.result, list)
    assert len(wire_flows.made) == 4  # the first one was made again
    assert len(receiver._flows) == 2


def test_threads_share_a_receiver():
    receiver = wire.Receiver()
    wire_flows.made.clear()
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(performed(receiver, message())[-1].result))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert wire_flows.made == ["hi"]


def test_the_task_context_is_that_of_the_call():
    started, report = performed(wire.Receiver(), message())
    assert isinstance(started, Started)
    assert report.started_at == started.at
    assert report.result[:5] == ["hi", "you", ID.flow, "greetings", 2]


def test_a_class_that_needs_no_arguments():
    source = wire.ClassSource("tests.engines.wire_flows:Plain")
    started, progress, report = performed(wire.Receiver(), message(source=source))
    assert isinstance(started, Started)
    assert (progress.progress, progress.details) == (0.5, {"seen": "you"})
    assert report.result == "greet 0: hello you from True"


def test_reverts_have_the_result_and_the_failures():
    failure = Failure.from_exception(RuntimeError("no"))
    arguments = {"result": failure, "flow_failures": {"greet 0": failure}, "who": "you"}
    call = message(id=ID._replace(action=REVERT), arguments=arguments)
    *_, report = performed(wire.Receiver(), call)
    assert report.result == ["Failure: RuntimeError: no", ["greet 0"]]


@pytest.mark.parametrize(
    ("source", "error", "text"),
    [
        (wire.FactorySource("os:system", ARGUMENTS), exc.FactoryNotAllowed, "os:system"),
        (wire.FactorySource("shop.flows:order", ARGUMENTS), exc.FactoryNotAllowed, "tests"),
        (wire.FactorySource("tests.nothing:flow", ARGUMENTS), exc.FactoryNotFound, "tests.nothing"),
        (wire.FactorySource("__main__:flow", ARGUMENTS), exc.FactoryNotAllowed, "script of the sender"),
        (wire.FactorySource(FACTORY, '{"args":["hi",-1],"kwargs":{}}'), exc.NotFound, "no atom 'greet 0'"),
        (wire.FactorySource(FACTORY, '{"args":[],"kwargs":{"odd":1}}'), TypeError, "odd"),
        (
            wire.ClassSource("tests.engines.wire_flows:WithSetting"),
            exc.FactoryNotAllowed,
            "without arguments",
        ),
        (wire.ClassSource("tests.engines.wire_flows:greetings"), exc.FactoryNotAllowed, "no class of tasks"),
        (wire.ClassSource("tests.engines.wire_flows:os._Environ"), exc.FactoryNotAllowed, "wildcards"),
        (wire.ClassSource("subprocess:Popen"), exc.FactoryNotAllowed, "subprocess"),
        (wire.ClassSource("__main__:Plain"), exc.FactoryNotAllowed, "script of the sender"),
    ],
)
def test_what_is_not_found_or_not_allowed_is_a_failure(source, error, text):
    (report,) = performed(wire.Receiver(["tests.*"], is_remote=True), message(source=source))
    assert report.result.check(error), report.result
    assert text in report.result.exception_str


def test_a_call_after_its_deadline_is_not_performed():
    receiver = wire.Receiver()
    wire_flows.made.clear()
    (report,) = performed(receiver, message(deadline=SYSTEM.now() - 1))
    assert report.result.check(exc.RequestTimeout)
    assert wire_flows.made == []
    assert len(performed(receiver, message(deadline=SYSTEM.now() + 60))) == 2


# ---------------------------------------------------------------------- the sender


def _meta(name, *args, **kwargs):
    return {"factory": {"name": name, "args": list(args), "kwargs": kwargs}}


def test_tasks_are_found_by_the_factory_of_their_flow():
    plan = compile_flow(wire_flows.greetings("hi", count=3))
    encoder = wire.Encoder(plan, _meta(FACTORY, "hi", count=3), wire.REMOTE)
    assert {encoder.source_of(name) for name in plan.names} == {
        wire.FactorySource(FACTORY, '{"args":["hi"],"kwargs":{"count":3}}')
    }


def test_tasks_are_found_by_their_class():
    plan = compile_flow(LinearFlow("f", retry=Times(2)).add(wire_flows.Plain("a"), wire_flows.Plain("b")))
    encoder = wire.Encoder(plan, {}, wire.REMOTE)
    assert encoder.source_of("a") == wire.ClassSource("tests.engines.wire_flows:Plain")


class Local(wire_flows.Plain):
    pass


class Needy(wire_flows.Plain):
    def __init__(self, name, rebind):
        super().__init__(name, rebind=rebind)


@pytest.mark.parametrize("target", [wire.PROCESSES, wire.REMOTE])
def test_what_cannot_be_found_is_refused_by_name(target):
    class Inner(wire_flows.Plain):
        pass

    flow = LinearFlow("f").add(
        wire_flows.Plain("fine"),
        Local("fine too"),
        wire_flows.WithSetting("with setting", "hi"),
        FunctorTask(lambda: 1, name="of a function"),
        Inner("inner"),
        Needy("needy", {"who": "who"}),
    )
    with pytest.raises(exc.NotSupported, match="4 task") as caught:
        wire.Encoder(compile_flow(flow), {}, target)
    text = str(caught.value)
    assert "fine" not in text
    for name, reason in (
        ("with setting", "'greeting'"),
        ("of a function", "'execute'"),
        ("inner", "imported"),
    ):
        assert f"task '{name}': its flow has no factory" in text
        assert reason in text


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        (_meta("tests.nothing:flow"), "its factory cannot be used.*tests.nothing"),
        (_meta(FACTORY, "hi", count=0), "does not have it"),
        (_meta("shop.flows:order"), "may not be used here.*tests"),
    ],
)
def test_a_factory_that_does_not_make_the_flow_is_refused(meta, reason):
    plan = compile_flow(wire_flows.greetings("hi"))
    with pytest.raises(exc.NotSupported, match=reason):
        wire.Encoder(plan, meta, wire.REMOTE, factories=["tests.*"])


def test_a_factory_of_a_script_works_for_processes_only():
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "engines" / "wire_script.py")],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)}, timeout=120,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["Started ", "Completion hi", "refused True"]


# ---------------------------------------------------------------------- an engine with another process


class PipeExecutor(Executor):
    """Sends calls to a process, one on each line."""

    target = wire.REMOTE
    slots = 1

    def start(self, mailbox):
        command = [sys.executable, "-m", "tests.engines.wire_process"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1
        )
        self._thread = threading.Thread(target=self._read, args=(mailbox,))
        self._thread.start()

    def _read(self, mailbox):
        for line in self._process.stdout:
            report = self.encoder.decode_report(line)
            (mailbox.put_started if isinstance(report, Started) else mailbox.put)(report)

    def stop(self, wait=True):
        self._process.stdin.close()
        self._thread.join()
        self._process.stdout.close()
        self._process.wait()

    def submit(self, call):
        self._process.stdin.write(self.encoder.encode(call) + "\n")
        self._process.stdin.flush()

    def cancel(self, call):
        """All calls have started."""


class PipeEngine(ParallelEngine):
    def create_executor(self):
        return PipeExecutor()


def pipe_engine(who, backend):
    flow = wire_flows.greetings("hi", count=2)
    detail = factory.create_flow_detail(flow, backend=backend, meta=_meta(FACTORY, "hi", count=2))
    engine = PipeEngine(flow, detail, backend)
    engine.storage.inject({"who": who})
    return engine, detail.uuid


def read(backend, uuid):
    with backend.get_connection() as conn:
        return conn.get_flow_details(uuid)


@pytest.mark.timeout(60)
def test_an_engine_runs_a_flow_in_another_process(tmp_path):
    with backends.backend(f"sqlite:///{tmp_path}/flows.db") as backend:
        engine, uuid = pipe_engine("you", backend)
        engine.run()
        stored = read(backend, uuid)
        assert stored.state == "SUCCESS"
        by_name = {atom.name: atom for atom in stored}
        assert by_name["greet 1"].results[:5] == ["hi", "you", stored.uuid, stored.name, 1]
        assert by_name["made"].results == 1


@pytest.mark.parametrize(
    ("who", "error", "text"),
    [
        ("nobody", "ValueError", "cannot greet"),
        ("odd", exc.NotSerializable, "result of atom 'greet 0'"),
        ("exit", "stackl_flow.exceptions.TaskExit", "SystemExit"),
    ],
)
@pytest.mark.timeout(60)
def test_a_failure_in_another_process_reverts_the_flow(who, error, text, tmp_path):
    with backends.backend(f"sqlite:///{tmp_path}/flows.db") as backend:
        engine, uuid = pipe_engine(who, backend)
        with pytest.raises(exc.WrappedFailure):
            engine.run()
        stored = read(backend, uuid)
        assert stored.state == "REVERTED"
        first = next(atom for atom in stored if atom.name == "greet 0")
        assert first.failure.check(error)
        assert text in first.failure.exception_str
        assert first.revert_results[1] == ["greet 0"]


def test_validate_refuses_what_cannot_be_sent():
    engine = PipeEngine(
        LinearFlow("f").add(FunctorTask(lambda: 1, name="a")), factory.temporary_flow_detail()[1], None
    )
    engine.compile()
    engine.prepare()
    with pytest.raises(exc.NotSupported, match="task 'a'"):
        engine.validate()
