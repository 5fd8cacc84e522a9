"""Children that a task forks do not handle the signals of the command line's process."""

import os
import signal

from stackl_flow.cli.signals import stop_on_signal


def test_a_forked_child_is_ended_by_sigterm():
    stops = []
    with stop_on_signal(lambda: stops.append(1), lambda _text: None, "aborted"):
        child = os.fork()
        if child == 0:
            while True:
                signal.pause()
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM
    assert stops == []
