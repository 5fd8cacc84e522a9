"""Runs a scenario in a fresh interpreter: `python -m tests.crash.child SCENARIO DIRECTORY`.

The environment variable of `stackl_flow.testing.crash` selects the write point at which it is killed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.crash.driver import Run, drive
from tests.crash.scenarios import BY_NAME

if __name__ == "__main__":
    drive(BY_NAME[sys.argv[1]], Run(Path(sys.argv[2])), at=None)
