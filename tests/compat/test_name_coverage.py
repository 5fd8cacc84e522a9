"""Every public name of TaskFlow is available, or excluded with a reason."""

import subprocess
import sys

from tests.compat.exclusions import EXCLUDED_NAMES
from tests.compat.upstream_suite import ROOT


def test_all_names_are_available_or_excluded():
    process = subprocess.run(
        [sys.executable, "-m", "tests.compat.name_coverage"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    missing = process.stdout.splitlines()
    reasons = {
        line: [name for name in EXCLUDED_NAMES if line.startswith((f"{name}:", f"{name}."))]
        for line in missing
    }

    assert [line for line, matches in reasons.items() if not matches] == [], "neither available nor excluded"
    used = {name for matches in reasons.values() for name in matches}
    assert EXCLUDED_NAMES.keys() - used == set(), "excluded but available"
