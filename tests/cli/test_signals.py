"""A signal requests a stop even if the message about it cannot be written."""

from __future__ import annotations

import os
import signal

import pytest

from stackl_flow.cli.signals import stop_on_signal


@pytest.mark.parametrize(
    "error", [BrokenPipeError("closed pipe"), RuntimeError("reentrant call inside a buffered writer")]
)
def test_a_message_that_cannot_be_written_does_not_prevent_the_stop(error):
    requests = []

    def show_message(_message: str) -> None:
        raise error

    with stop_on_signal(lambda: requests.append(True), show_message, "aborted"):
        os.kill(os.getpid(), signal.SIGTERM)
    assert requests == [True]
