"""A terminal without a desk: a command runs in it, and what a person would see can be read."""

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time

import pyte

_PATIENCE = 60.0  # seconds; as long as any other test waits for a process
_CHUNK = 65536
#: Makes the terminal on standard input that of its process, so that Ctrl-C reaches it.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios;fcntl.ioctl(0, termios.TIOCSCTTY, 0);os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """A pseudo terminal with a command in it.

    Args:
        words: the command, after `stackl-flow`.
        cwd: where it runs.
        env: its environment.
        columns: the width in letters.
        lines: the height in lines.
    """

    def __init__(self, words, cwd, env, columns=100, lines=30):
        self.raw = b""
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        # COLUMNS and LINES would hide the size of the terminal.
        kept = {key: value for key, value in env.items() if key not in {"COLUMNS", "LINES"}}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, sys.executable, "-m", "stackl_flow.cli", *map(str, words)],
            cwd=cwd,
            env={"TERM": "xterm-256color", **kept},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    @property
    def rows(self):
        """What stands on the screen, without the blank ends of lines and the empty lines."""
        return [row.rstrip() for row in self._screen.display if row.strip()]

    @property
    def text(self):
        return "\n".join(self.rows)

    @property
    def cursor_is_shown(self):
        return not self._screen.cursor.hidden

    def type(self, keys):
        os.write(self._ours, keys)

    def wait_for(self, *words):
        """Read until all of these stand on the screen at once."""
        end = time.monotonic() + _PATIENCE
        while not all(word in self.text for word in words):
            assert time.monotonic() < end, f"{words} never came:\n{self.text}"
            assert self.read(), f"it ended without {words}:\n{self.text}"

    def finish(self):
        """Read to the end; gives the exit code."""
        while self.read():
            pass
        return self.process.wait(_PATIENCE)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)

    def read(self):
        """Read what there is, waiting for some; gives False at the end."""
        ready, _, _ = select.select([self._ours], [], [], _PATIENCE)
        assert ready, f"nothing came for {_PATIENCE} s:\n{self.text}"
        try:
            chunk = os.read(self._ours, _CHUNK)
        except OSError:  # Linux says so when the other side is closed
            return False
        self.raw += chunk
        self._stream.feed(chunk)
        return bool(chunk)
