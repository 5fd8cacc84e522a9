"""Secrets: the values of secret names are redacted in logs, failures and the output of listeners."""

import logging
import re
import sys

from stackl_flow import engines, redaction, task
from stackl_flow.listeners.logging import DynamicLoggingListener
from stackl_flow.patterns import linear_flow


class Login(task.Task):
    """Receives the password as it is, and provides a token, another secret."""

    default_provides = "token"

    def execute(self, user: str, password: str) -> str:
        """Log in."""
        return f"token-of-{user}-{len(password)}"


class Upload(task.Task):
    """Fails, and logs more than it should."""

    def execute(self, token: str, password: str) -> None:
        """Upload."""
        logging.getLogger("shop").info("uploading with %s", token)
        raise PermissionError(f"{token} may not upload (password {password!r})")


class Short(logging.Formatter):
    """Omits uuids, tracebacks and the history of failures."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the first line of the message."""
        return f"{record.name}: {re.sub(r' [(].{36}[)]', '', record.getMessage()).partition(chr(10))[0]}"


handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(Short())
handler.addFilter(redaction.SecretsFilter())  # for records of tasks; the library's own are redacted already
logging.basicConfig(level=logging.INFO, handlers=[handler])

flow = linear_flow.Flow("deploy").add(Login("login"), Upload("upload"))
engine = engines.load(flow, {"user": "ann", "password": "hush-hush"}, secrets=["password", "token"])
with DynamicLoggingListener(engine, log=logging.getLogger("transitions"), level=logging.INFO):
    try:
        engine.run()
    except PermissionError as error:
        print("raised:", redaction.redact(str(error)))
print("stored:", engine.storage.get_failures()["upload"])
print("given: ", engine.storage.fetch("password"))
