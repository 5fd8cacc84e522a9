"""Listeners: a log of failures with their history and without secrets; durations; captured transitions."""

import logging
import sys

from stackl_flow import engines, task
from stackl_flow.listeners.capturing import CaptureListener
from stackl_flow.listeners.logging import DynamicLoggingListener
from stackl_flow.listeners.timing import DurationListener
from stackl_flow.patterns import linear_flow


class Login(task.Task):
    """Provides a value that no log should show."""

    default_provides = "session"

    def execute(self, user: str, password: str) -> dict[str, str]:
        """Log in."""
        return {"user": user, "token": f"token-for-{password}"}


class Transfer(task.Task):
    """Fails."""

    def execute(self, session: dict[str, str]) -> None:
        """Refuse."""
        raise PermissionError(f"{session['user']} may not do that")


class Short(logging.Formatter):
    """Omits the traceback and the uuids, which differ between runs."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the level and the end of the message."""
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
    CaptureListener(engine, flow_listen_for=(), task_listen_for=["REVERTED"]) as reverted,
):
    try:
        engine.run()
    except PermissionError as error:
        print(f"raised: {error}")

print(f"reverted: {[details['task_name'] for _, _, details in reverted.values]}")
print(f"its duration is stored with the flow: {'duration' in engine.storage.flow_meta}")
