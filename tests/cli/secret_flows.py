"""Flows that put secrets wherever a task can, and a conductor with all listeners."""

import contextlib
import logging
import sys

from stackl_flow import retry, task
from stackl_flow.conductors import Conductor
from stackl_flow.jobboards import backends as boards
from stackl_flow.listeners import capturing, claims, printing, timing
from stackl_flow.listeners import logging as listeners
from stackl_flow.patterns import linear_flow
from stackl_flow.persistence import backends as stores

# Invented for these tests.
PASSWORD = "tr0ub4dor &\"3'/\u00e9"  # noqa: S105  see above
PIN = 739102
KEY = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA7bq\nc2VjcmV0IGxpbmUgdHdv\n-----END KEY-----\n"
TOKEN = "token-5e1f0a77"  # noqa: S105  see above
STORE = {"password": PASSWORD, "account": {"pin": PIN, "name": "ann"}, "key": KEY}
SECRETS = ["password", "pin", "key", "token"]
#: No output may contain any of these.
PARTS = ["tr0ub4dor", "739102", "MIIEpAIBAAKCAQEA7bq", "c2VjcmV0IGxpbmUgdHdv", "5e1f0a77"]


class Login(task.Task):
    """Receives all secrets and provides a token."""

    default_provides = ("token", "user")

    def execute(self, password, account, key):
        assert (password, account["pin"], key) == (PASSWORD, PIN, KEY)
        self.update_progress(0.5, message=f"logging in with {password}")
        return TOKEN, f"{account['name']}:{password}"


class Use(task.Task):
    default_provides = "page"

    def __init__(self, name, fail=False, block=False):
        super().__init__(name)
        self._fail, self._block = fail, block

    def execute(self, token, password, account, key):
        if self._fail:
            try:
                account[password]
            except KeyError as error:
                raise ValueError(f"cannot log in with {password!r} and {token}: {key}", account) from error
        return {"url": f"https://ann:{password}@example", "size": 3}

    def revert(self, token, password, **_):
        if self._block:
            raise RuntimeError(f"cannot log out: {token} {password}")


class PrintedError(Exception):
    """An error whose text is not in its arguments."""

    def __init__(self, value):
        super().__init__()
        self._value = value

    def __str__(self):
        return f"printed {self._value}"


def good():
    return linear_flow.Flow("good").add(Login("login"), Use("use"))


def bad(block=False):
    again = retry.Times(2, name="twice")
    return linear_flow.Flow("bad", retry=again).add(
        Login("login"), Use("use", block=block), Use("fail", fail=True)
    )


def broken(password):
    raise PrintedError(password)


class ListeningConductor(Conductor):
    def _listeners_from_job(self, job, engine):
        captured = capturing.CaptureListener(engine)
        yield listeners.LoggingListener(engine)
        yield listeners.DynamicLoggingListener(engine)
        yield printing.PrintingListener(engine)
        yield timing.PrintingDurationListener(engine)
        yield timing.EventTimeListener(engine)
        yield claims.CheckingClaimListener(engine, job, job.board, self.name)
        yield captured
        yield _at_the_end(lambda: print(captured.values, engine, job, engine.storage.get_failures()))  # noqa: T201


@contextlib.contextmanager
def _at_the_end(do):
    yield
    do()


def _raise(_state, details):
    """Raise an error that contains a result, as a listener."""
    raise ValueError(f"listener received {details.get('result')}")


def main(db, board, dispatches, max_claims=10):
    """Run a conductor, with everything logged."""
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    with (
        stores.backend(db) as backend,
        boards.backend(
            "default", {"connection": board, "max_claims": int(max_claims)}, persistence=backend
        ) as jobs,
    ):
        conductor = ListeningConductor("watched", jobs, backend)
        conductor.notifier.register("preparation_end", _add_failing_listener)
        conductor.run(int(dispatches))


def _add_failing_listener(_event, details):
    details["engine"].atom_notifier.register("*", _raise)


if __name__ == "__main__":
    main(*sys.argv[1:])
