"""Logging listeners: messages, levels, and masking."""

import logging

import pytest

from stackl_flow import FunctorTask, LinearFlow, retry
from stackl_flow.listeners import logging as listeners
from stackl_flow.listeners.logging import DynamicLoggingListener, LoggingListener
from tests.engines.tasks import Step, final_state

OURS = "stackl_flow.listeners.logging"


@pytest.fixture
def hear(caplog):
    """Capture all levels; returns a function that returns (logger, level, message)."""
    caplog.set_level(logging.DEBUG)

    def captured(name=OURS):
        return [record for record in caplog.records if record.name == name]

    return captured


def short(records):
    """Remove the uuids."""
    return [(r.levelname, r.getMessage().split(" (")[0], r.getMessage().split(") ", 1)[1]) for r in records]


def login(name="login"):
    return FunctorTask(lambda user, password: {"user": user, "password": password}, name=name, provides=name)


def test_each_transition_is_logged_at_one_level(load, log, hear):
    engine = load(LinearFlow("f").add(Step("a", log)))
    with LoggingListener(engine):
        engine.run()
    records = hear()
    assert {record.levelname for record in records} == {"DEBUG"}
    assert [record.getMessage().split(" into state ")[1] for record in records] == [
        "'RUNNING' from state 'PENDING'",
        "'RUNNING' from state 'PENDING'",
        "'SUCCESS' from state 'RUNNING' with result 'A' (failure=False)",
        "'SUCCESS' from state 'RUNNING'",
    ]


@pytest.mark.parametrize("kind", [LoggingListener, DynamicLoggingListener])
def test_logger_and_level(load, log, hear, kind):
    engine = load(LinearFlow("f").add(Step("a", log)))
    with kind(engine, log=logging.getLogger("mine"), level=logging.INFO):
        engine.run()
    assert [record.levelname for record in hear("mine")] == ["INFO"] * 4
    assert hear() == []


@pytest.mark.parametrize("kind", [LoggingListener, DynamicLoggingListener])
def test_subclass_with_its_own_logger(load, log, hear, kind):
    class Mine(kind):
        _LOGGER = logging.getLogger("mine")

    engine = load(Step("a", log))
    with Mine(engine):
        engine.run()
    assert len(hear("mine")) == 4
    with Mine(load(Step("a", log)), log=logging.getLogger("given")) as given:
        given._engine.run()
    assert len(hear("given")) == 4


def test_failure_is_logged_with_its_exception_at_the_same_level(load, log, hear):
    engine = load(LinearFlow("f").add(Step("a", log, fails=1)))
    with LoggingListener(engine, level=logging.INFO):
        final_state(engine, ValueError)
    (record,) = [record for record in hear() if record.exc_info]
    assert record.levelname == "INFO"
    assert record.exc_info[0] is ValueError


def test_failures_are_logged_at_a_higher_level(load, log, hear):
    flow = LinearFlow("f", retry=retry.Times(1, "r")).add(Step("a", log), Step("b", log, fails=1))
    engine = load(flow)
    with DynamicLoggingListener(engine):
        assert final_state(engine, ValueError) == "REVERTED"
    messages = [
        (level, who, message.removeprefix("transitioned into state ").splitlines()[0])
        for level, who, message in short(hear())
    ]
    assert messages == [
        ("DEBUG", "Flow 'f'", "'RUNNING' from state 'PENDING'"),
        ("DEBUG", "Task 'a'", "'RUNNING' from state 'PENDING'"),
        ("DEBUG", "Task 'a'", "'SUCCESS' from state 'RUNNING' with result 'A'"),
        ("DEBUG", "Task 'b'", "'RUNNING' from state 'PENDING'"),
        ("WARNING", "Task 'b'", "'FAILURE' from state 'RUNNING'"),
        ("DEBUG", "Task 'b'", "'REVERTING' from state 'FAILURE'"),
        ("WARNING", "Task 'b'", "'REVERTED' from state 'REVERTING' with result 'None'"),
        ("DEBUG", "Task 'a'", "'REVERTING' from state 'SUCCESS'"),
        ("WARNING", "Task 'a'", "'REVERTED' from state 'REVERTING' with result 'None'"),
        ("WARNING", "Flow 'f'", "'REVERTED' from state 'RUNNING'"),
    ]
    (failed,) = [record for record in hear() if record.exc_info]
    assert failed.exc_info[0] is ValueError
    lines = failed.getMessage().splitlines()
    assert lines[1] == "3 predecessors (most recent first):"
    assert lines[2].startswith("  Atom 'a' {'intention': 'EXECUTE', 'state': 'SUCCESS'")


def test_failed_revert_and_revert_failure_are_logged_at_the_failure_level(load, log, hear):
    engine = load(LinearFlow("f").add(Step("a", log, revert_fails=1), Step("b", log, fails=1)))
    with DynamicLoggingListener(engine, failure_level=logging.ERROR):
        assert final_state(engine, RuntimeError) == "REVERT_FAILURE"
    loud = [(who, message.splitlines()[0]) for level, who, message in short(hear()) if level == "ERROR"]
    assert loud == [
        ("Task 'b'", "transitioned into state 'FAILURE' from state 'RUNNING'"),
        ("Task 'b'", "transitioned into state 'REVERTED' from state 'REVERTING' with result 'None'"),
        ("Task 'a'", "transitioned into state 'REVERT_FAILURE' from state 'REVERTING'"),
        ("Flow 'f'", "transitioned into state 'REVERT_FAILURE' from state 'RUNNING'"),
    ]
    assert [r.exc_info[0] for r in hear() if r.exc_info] == [ValueError, RuntimeError]


def run_with_secrets(load, **kwargs):
    """Run a flow that uses a password and fails at its end."""

    def fail(login):
        raise ValueError("no")

    flow = LinearFlow("f").add(login(), FunctorTask(fail, name="fails"))
    engine = load(flow, store={"user": "ann", "password": "s3cret"})
    with DynamicLoggingListener(engine, **kwargs):
        final_state(engine, ValueError)


def test_nothing_is_masked_by_default(load, hear):
    run_with_secrets(load)
    text = "\n".join(record.getMessage() for record in hear())
    assert (
        text.count("s3cret") == 3
    )  # the result, and the input and the result among the predecessors of the failure


def test_secrets_are_masked_in_results_and_predecessors(load, hear):
    run_with_secrets(load, mask_inputs_keys=["password"], mask_outputs_keys=["password"])
    text = "\n".join(record.getMessage() for record in hear())
    assert "s3cret" not in text
    assert "with result '{'user': 'ann', 'password': '***'}'" in text
    assert "'requires': {'user': 'ann', 'password': '***'}" in text
    assert "'provides': {'user': 'ann', 'password': '***'}" in text


def test_result_is_masked_by_the_name_it_provides(load, hear):
    engine = load(LinearFlow("f").add(FunctorTask(lambda: "s3cret", name="a", provides="token")))
    with DynamicLoggingListener(engine, mask_outputs_keys=["token"]):
        engine.run()
    text = "\n".join(record.getMessage() for record in hear())
    assert "with result '***'" in text
    assert "s3cret" not in text


def test_inputs_and_outputs_are_hidden(load, hear):
    run_with_secrets(load, hide_inputs_outputs_of=["login"])
    text = "\n".join(record.getMessage() for record in hear())
    assert "s3cret" not in text
    assert "ann" not in text
    assert "Atom 'login' {'intention': 'EXECUTE', 'state': 'SUCCESS'}" in text


def test_results_are_shown_only_if_the_level_is_enabled(load, log, caplog):
    caplog.set_level(logging.INFO)
    engine = load(LinearFlow("f").add(Step("a", log), Step("b", log, fails=1)))
    with DynamicLoggingListener(engine):
        final_state(engine, ValueError)
    undone = [line for line in caplog.messages if "into state 'REVERTED'" in line and "Task" in line]
    assert len(undone) == 2
    assert all("with result" not in line for line in undone)


def test_custom_formatter_of_failures(load, log, hear):
    class Brief:
        """Formats a short text."""

        def __init__(self, message):
            self.message = message

        def format(self, fail, atom_matcher):
            return None, self.message

    for message, end in (("it was so", "\nit was so"), (None, "'RUNNING'"), ("", "'RUNNING'")):
        engine = load(Step("a", log, fails=1))
        with DynamicLoggingListener(engine, fail_formatter=Brief(message)):
            final_state(engine, ValueError)
        failed = [record for record in hear() if "into state 'FAILURE'" in record.getMessage()]
        assert failed[-1].getMessage().endswith(end)
        assert failed[-1].exc_info is None


def test_percent_signs_in_predecessors(load, hear):
    engine = load(
        LinearFlow("f").add(FunctorTask(lambda: "100%s", name="a"), Step("b", [], fails=1)),
    )
    with DynamicLoggingListener(engine):
        final_state(engine, ValueError)
    (failed,) = [record for record in hear() if record.exc_info]
    assert "'provides': '100%s'" in failed.getMessage()


def test_logger_of_the_module_is_the_default(load, log, hear):
    with LoggingListener(load(Step("a", log))) as listener:
        listener._engine.run()
    assert {record.name for record in hear()} == {listeners.__name__}
