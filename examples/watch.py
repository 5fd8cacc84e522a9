"""Listeners: a log that says what led to a failure but shows no secrets; durations; moves kept for later."""

import logging
import sys

from stackl_flow import engines, task
from stackl_flow.listeners.capturing import CaptureListener
from stackl_flow.listeners.logging import DynamicLoggingListener
from stackl_flow.listeners.timing import DurationListener
from stackl_flow.patterns import linear_flow


class Login(task.Task):
    """Gives something that no log should show."""

    default_provides = "session"

    def execute(self, user: str, password: str) -> dict[str, str]:
        """Log in."""
        return {"user": user, "token": f"token-for-{password}"}


class Transfer(task.Task):
    """Fails."""

    def execute(self, session: dict[str, str]) -> None:
        """Say no."""
        raise PermissionError(f"{session['user']} may not do that")


class Short(logging.Formatter):
    """Leaves out the traceback, and the uuids, which differ from run to run."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the level, and the message from where it begins to differ."""
        return f"{record.levelname}: {record.getMessage().split(') ', 1)[1]}"


shown = logging.StreamHandler(sys.stdout)
shown.setFormatter(Short())
log = logging.getLogger("bank")
log.addHandler(shown)
secrets = ["password", "token"]

engine = engines.load(
    linear_flow.Flow("pay").add(Login("login"), Transfer("transfer")),
    store={"user": "ann", "password": "1234"},
)
with (
    DynamicLoggingListener(engine, log=log, mask_inputs_keys=secrets, mask_outputs_keys=secrets),
    DurationListener(engine),
    CaptureListener(engine, flow_listen_for=(), task_listen_for=["REVERTED"]) as undone,
):
    try:
        engine.run()
    except PermissionError as error:
        print(f"raised: {error}")

print(f"undone: {[details['task_name'] for _, _, details in undone.values]}")
print(f"its duration is kept with the flow: {'duration' in engine.storage.flow_meta}")
