"""Keeps the standard output for the answer, whatever tasks print meanwhile, so that a machine can read it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO


@contextmanager
def standard_output_kept() -> Iterator[TextIO]:
    """Send to the standard error output what tasks, and programs that they start, print.

    Yields:
        The standard output, for the answer.
    """
    own = sys.stdout
    with redirect_stdout(sys.stderr):
        try:
            number = own.fileno()
        except OSError:
            # A stand-in without a file, as in tests: programs that are started do not write to it anyway.
            yield own
            return
        own.flush()
        with os.fdopen(os.dup(number), "w", encoding=own.encoding) as kept:
            os.dup2(sys.stderr.fileno(), number)
            try:
                yield kept
                kept.flush()
            finally:
                os.dup2(kept.fileno(), number)
