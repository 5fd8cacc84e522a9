"""A virtual terminal: runs a command and shows what a user would see on the screen."""

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time

import pyte

_TIMEOUT = 60.0  # seconds
_CHUNK = 65536
#: Makes the terminal on standard input the controlling terminal, so that Ctrl-C reaches the process.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios;fcntl.ioctl(0, termios.TIOCSCTTY, 0);os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """A command in a pseudo terminal.

    Args:
        arguments: the command, after `stackl-flow`.
        cwd: where it runs.
        env: its environment.
        columns: the width in characters.
        lines: the height in lines.
    """

    def __init__(self, arguments, cwd, env, columns=100, lines=30):
        self.raw = b""
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        # COLUMNS and LINES would hide the size of the terminal.
        variables = {key: value for key, value in env.items() if key not in {"COLUMNS", "LINES"}}
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _TAKE_TERMINAL,
                sys.executable,
                "-m",
                "stackl_flow.cli",
                *map(str, arguments),
            ],
            cwd=cwd,
            env={"TERM": "xterm-256color", **variables},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    @property
    def rows(self):
        """The lines of the screen, without trailing blanks and empty lines."""
        return [row.rstrip() for row in self._screen.display if row.strip()]

    @property
    def text(self):
        return "\n".join(self.rows)

    @property
    def cursor_is_shown(self):
        return not self._screen.cursor.hidden

    def type(self, keys):
        os.write(self._ours, keys)

    def wait_for(self, *texts):
        """Read until all of these are on the screen at once."""
        end = time.monotonic() + _TIMEOUT
        while not all(text in self.text for text in texts):
            assert time.monotonic() < end, f"{texts} did not appear:\n{self.text}"
            assert self.read(), f"the process ended without {texts}:\n{self.text}"

    def finish(self):
        """Read to the end and return the exit code."""
        while self.read():
            pass
        return self.process.wait(_TIMEOUT)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)

    def read(self):
        """Read some output, waiting if there is none; return False at the end."""
        ready, _, _ = select.select([self._ours], [], [], _TIMEOUT)
        assert ready, f"no output for {_TIMEOUT} s:\n{self.text}"
        try:
            chunk = os.read(self._ours, _CHUNK)
        except OSError:  # on Linux: the other side is closed
            return False
        self.raw += chunk
        self._stream.feed(chunk)
        return bool(chunk)
