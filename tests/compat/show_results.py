"""Prints the results of TaskFlow's tests: one line per module, or the failures of given modules.

python -m tests.compat.show_results [MODULE...]
"""

# ruff: noqa: T201  this is a command: it prints

from __future__ import annotations

import sys

from tests.compat import upstream_suite


def main() -> None:
    names = sys.argv[1:]
    for module in names or upstream_suite.modules():
        outcome = upstream_suite.run(
            [module],
            loader="unittest" if upstream_suite.group_of(module) in upstream_suite.UNITTEST else "pytest",
        )
        results = outcome.modules.get(module, {})
        counts: dict[str, int] = {}
        for test, result in results.items():
            counts[result["outcome"]] = counts.get(result["outcome"], 0) + 1
            if names and result["outcome"] == "failed":
                print(f"--- {test}\n{result['text'][-1200:]}")
        print(
            f"{module:45} {counts} {outcome.seconds:.1f} s {'' if results else outcome.output[-300:]}",
            flush=True,
        )
        for path in outcome.opened:
            print(f"    opened in the wheel: {path}")


if __name__ == "__main__":
    main()
