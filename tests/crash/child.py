"""A scenario run in a fresh interpreter: `python -m tests.crash.child SCENARIO DIRECTORY`.

The write point to die at comes by the environment variable that the shipped tool reads.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.crash.driver import Place, drive
from tests.crash.scenarios import BY_NAME

if __name__ == "__main__":
    drive(BY_NAME[sys.argv[1]], Place(Path(sys.argv[2])), at=None)
