"""Everything public in TaskFlow is served under its name, or stands in a list with the reason why not."""

import subprocess
import sys

from tests.compat.left_out import NAMES
from tests.compat.suite import ROOT


def test_all_names_are_served_or_listed():
    done = subprocess.run(
        [sys.executable, "-m", "tests.compat.surface"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    missing = done.stdout.splitlines()
    reasons = {
        line: [name for name in NAMES if line.startswith((f"{name}:", f"{name}."))] for line in missing
    }

    assert [line for line, found in reasons.items() if not found] == [], "neither served nor listed"
    used = {name for found in reasons.values() for name in found}
    assert NAMES.keys() - used == set(), "listed, and served all the same"
