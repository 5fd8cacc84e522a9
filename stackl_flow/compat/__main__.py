"""`python -m stackl_flow.compat PROGRAM [ARGS...]` runs a program that was written for TaskFlow."""

from __future__ import annotations

import argparse
import os
import runpy
import sys

from stackl_flow.compat.import_hook import install

_ABOUT = """\
Run a Python program that was written for OpenStack TaskFlow, unchanged, on stackl_flow: every
"import taskflow..." is served by stackl_flow. TaskFlow itself need not be installed."""

_MORE = """\
examples:
  python -m stackl_flow.compat deploy.py --hosts 3
  python -m stackl_flow.compat -m mycompany.service
  python -m stackl_flow.compat -m pytest tests/

To do the same inside a program, put this before its first "import taskflow":
  from stackl_flow import compat
  compat.install()

Names that are not available raise ImportError with a pointer to the alternative."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stackl_flow.compat",
        usage="%(prog)s PROGRAM [ARGS...]\n       %(prog)s -m MODULE [ARGS...]",
        description=_ABOUT,
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-m",
        dest="is_module",
        action="store_true",
        help="run a module, as with python -m",
    )
    parser.add_argument("program", metavar="PROGRAM", help="Python file, or name of a module with -m")
    parser.add_argument("args", metavar="ARGS", nargs=argparse.REMAINDER, help="arguments of the program")
    return parser


def main() -> None:
    """Parse the command line, install the import hook, and run the program as Python would."""
    parser = _parser()
    options = parser.parse_args()
    program: str = options.program
    if not options.is_module and not os.path.exists(program):  # noqa: PTH110  the path as entered
        parser.error(f"file '{program}' does not exist (to run a module, use -m)")
    install()
    sys.argv = [program, *options.args]
    if options.is_module:
        # sys.path[0] is the current directory already, as for "python -m".
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        # For a file, it is the directory of the file.
        sys.path[0] = os.path.dirname(os.path.abspath(program))  # noqa: PTH100, PTH120  sys.path contains text
        runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
