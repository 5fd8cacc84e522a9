"""Children that a task forks do not handle the signals of the command line's process."""

import os
import signal
import time

from stackl_flow.cli.signals import stop_on_signal


def test_a_forked_child_is_ended_by_sigterm():
    stops = []
    ready, begun = os.pipe()
    with stop_on_signal(lambda: stops.append(1), lambda _text: None, "aborted"):
        child = os.fork()
        if child == 0:
            os.write(begun, b"1")
            while True:
                time.sleep(0.1)
        os.read(ready, 1)  # Python drops signals that arrive while it forks
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM
    assert stops == []
