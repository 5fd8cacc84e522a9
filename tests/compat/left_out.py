"""Tests of the wheel that are left out, each with its reason.

A line names a module and in it a test, or a class when all its tests are meant. "It fails" is no reason. A
listed test that passes, or that is not there, fails the run.
"""

_COMPILER = "tests TaskFlow's compiler from the inside; ours makes another kind of plan"

LEFT_OUT: dict[tuple[str, str], str] = {}
