"""A signal asks for a stop, whatever becomes of the words about it."""

from __future__ import annotations

import os
import signal

import pytest

from stackl_flow.cli.signals import interruptible


@pytest.mark.parametrize(
    "trouble", [BrokenPipeError("nobody reads"), RuntimeError("reentrant call inside a buffered writer")]
)
def test_words_that_cannot_be_said_do_not_keep_it_from_stopping(trouble):
    asked = []

    def tell(_words: str) -> None:
        raise trouble

    with interruptible(lambda: asked.append(True), tell, "aborted"):
        os.kill(os.getpid(), signal.SIGTERM)
    assert asked == [True]
