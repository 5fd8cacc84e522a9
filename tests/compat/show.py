"""Shows how far the wheel's tests pass: one line a module, or the failures of the modules that are named.

python -m tests.compat.show [MODULE...]
"""

# ruff: noqa: T201  this is a command: it prints

from __future__ import annotations

import sys

from tests.compat import suite


def main() -> None:
    named = sys.argv[1:]
    for module in named or suite.modules():
        done = suite.run(
            [module], loader="unittest" if suite.group_of(module) in suite.UNITTEST else "pytest"
        )
        verdicts = done.modules.get(module, {})
        counts: dict[str, int] = {}
        for test, verdict in verdicts.items():
            counts[verdict["outcome"]] = counts.get(verdict["outcome"], 0) + 1
            if named and verdict["outcome"] == "failed":
                print(f"--- {test}\n{verdict['text'][-1200:]}")
        print(f"{module:45} {counts} {done.seconds:.1f} s {'' if verdicts else done.said[-300:]}", flush=True)
        for path in done.foreign:
            print(f"    from the wheel: {path}")


if __name__ == "__main__":
    main()
