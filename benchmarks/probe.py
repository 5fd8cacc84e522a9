"""Entry point of fresh processes: ``python -m benchmarks.probe MODULE:FUNCTION JSON``, which prints JSON."""

from __future__ import annotations

import importlib
import json
import sys


def main() -> None:
    """Call the probe named on the command line and print what it returns."""
    module, _, function = sys.argv[1].partition(":")
    probe = getattr(importlib.import_module(f"benchmarks.{module}"), function)
    print(json.dumps(probe(**json.loads(sys.argv[2]))))


if __name__ == "__main__":
    main()
