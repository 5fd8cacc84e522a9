"""Base class of listeners: registration, states, deregistration."""

import logging

import pytest

from stackl_flow import LinearFlow, Notifier, UnorderedFlow, retry
from stackl_flow.listeners import base
from stackl_flow.notifier import RestrictedNotifier
from tests.engines.tasks import Step, final_state, steps


class Recorder(base.Listener):
    """Records notifications."""

    def __init__(self, engine, **kwargs):
        super().__init__(engine, **kwargs)
        self.received = []

    def _flow_receiver(self, state, details):
        self.received.append(("flow", details["flow_name"], state))

    def _task_receiver(self, state, details):
        self.received.append(("task", details["task_name"], state))

    def _retry_receiver(self, state, details):
        self.received.append(("retry", details["retry_name"], state))


def flow(log, **kwargs):
    return LinearFlow("f", retry=retry.Times(1, "r")).add(Step("a", log, **kwargs))


def test_listens_for_all_states_by_default(load, log):
    engine = load(flow(log))
    with Recorder(engine) as listener:
        engine.run()
    assert listener.received == [
        ("flow", "f", "RUNNING"),
        ("retry", "r", "RUNNING"), ("retry", "r", "SUCCESS"),
        ("task", "a", "RUNNING"), ("task", "a", "SUCCESS"),
        ("flow", "f", "SUCCESS"),
    ]  # fmt: skip


@pytest.mark.parametrize("nothing", [None, (), []])
def test_listens_for_the_given_states_only(load, log, nothing):
    engine = load(flow(log))
    listen = {"task_listen_for": ["SUCCESS", "FAILURE"], "retry_listen_for": nothing}
    with Recorder(engine, flow_listen_for=["RUNNING"], **listen) as listener:
        engine.run()
    assert listener.received == [("flow", "f", "RUNNING"), ("task", "a", "SUCCESS")]


def test_deregisters_after_the_block_and_can_register_again(load, log):
    engine = load(flow(log))
    listener = Recorder(engine)
    with listener:
        pass
    assert (len(engine.notifier), len(engine.atom_notifier)) == (0, 0)
    engine.run()
    assert listener.received == []
    engine.reset()
    with listener:
        engine.run()
    assert ("flow", "f", "SUCCESS") in listener.received


def test_registering_twice_has_no_effect(load, log):
    engine = load(flow(log))
    listener = Recorder(engine)
    listener.register()
    listener.register()
    assert (len(engine.notifier), len(engine.atom_notifier)) == (1, 2)
    listener.deregister()
    listener.deregister()
    assert (len(engine.notifier), len(engine.atom_notifier)) == (0, 0)


def test_two_listeners_of_a_class_are_independent(load, log):
    engine = load(flow(log))
    with Recorder(engine) as one:
        with Recorder(engine) as two:
            pass
        engine.run()
    assert len(one.received) == 6
    assert two.received == []


def test_deregisters_when_the_block_raises(load, log):
    engine = load(flow(log, fails=1))
    with pytest.raises(ValueError, match="a failed"), Recorder(engine) as listener:
        engine.run()
    assert listener.received[-1] == ("flow", "f", "REVERTED")
    assert not engine.notifier


class PartialNotifications:
    """Another engine that notifies about some states only."""

    def __init__(self):
        self.notifier = Notifier()
        self.atom_notifier = RestrictedNotifier(["RUNNING"], allow_any=False)


def test_failed_registration_registers_nothing():
    partial = PartialNotifications()
    with pytest.raises(ValueError, match="cannot register for event 'SUCCESS'"):
        Recorder(partial, task_listen_for=["RUNNING", "SUCCESS"], retry_listen_for=()).register()
    assert len(partial.atom_notifier) == 0


def test_receiver_that_raises_is_logged_and_does_not_affect_the_run(load, log, caplog):
    class Broken(base.Listener):
        def _task_receiver(self, state, details):
            raise LookupError("oh")

    engine = load(LinearFlow("f").add(*steps("abc", log)))
    with Broken(engine):
        engine.run()
    assert log == ["a", "b", "c"]
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "Broken._task_receiver raised LookupError for event RUNNING" in record.message


class Lines(base.DumpingListener):
    """Records the lines."""

    def __init__(self, engine):
        super().__init__(engine)
        self.lines = []
        self.errors = []

    def _dump(self, message, *args, **kwargs):
        self.lines.append(message % args)
        self.errors.append(kwargs.get("exc_info"))


def test_dumping_listener_writes_a_line_per_transition(load, log):
    engine = load(LinearFlow("f").add(Step("a", log, result=7)))
    with Lines(engine) as dump:
        engine.run()
    task, of_flow = engine.storage.get_atom_uuid("a"), engine.storage.flow_uuid
    outcome = "with result '7' (failure=False)"
    assert dump.lines == [
        f"{engine} has moved flow 'f' ({of_flow}) into state 'RUNNING' from state 'PENDING'",
        f"{engine} has moved task 'a' ({task}) into state 'RUNNING' from state 'PENDING'",
        f"{engine} has moved task 'a' ({task}) into state 'SUCCESS' from state 'RUNNING' {outcome}",
        f"{engine} has moved flow 'f' ({of_flow}) into state 'SUCCESS' from state 'RUNNING'",
    ]
    assert dump.errors == [None] * 4


def test_dumping_listener_passes_the_exception_of_a_failure(load, log):
    engine = load(UnorderedFlow("f").add(Step("a", log, fails=1)))
    with Lines(engine) as dump:
        final_state(engine, ValueError)
    (error,) = [error for error in dump.errors if error is not None]
    assert error[0] is ValueError
    (line,) = [line for line in dump.lines if "failure=True" in line]
    assert "into state 'FAILURE'" in line
    assert "Failure: ValueError: a failed" in line


def test_dumping_listener_is_abstract():
    with pytest.raises(TypeError, match="_dump"):
        base.DumpingListener(PartialNotifications())
