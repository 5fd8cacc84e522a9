"""`python -m stackl_flow.compat PROGRAM [ARGS...]`: runs a program that was written for TaskFlow."""

from __future__ import annotations

import argparse
import os
import runpy
import sys

from stackl_flow.compat.import_hook import install

_ABOUT = """\
Run a Python program that was written for OpenStack TaskFlow, unchanged, on stackl_flow: every
"import taskflow..." in it is served by stackl_flow. TaskFlow itself need not be installed."""

_MORE = """\
examples:
  python -m stackl_flow.compat deploy.py --hosts 3
  python -m stackl_flow.compat -m mycompany.service
  python -m stackl_flow.compat -m pytest tests/

To do the same inside a program, put this before its first "import taskflow":
  from stackl_flow import compat
  compat.install()

A name that is not served raises ImportError, which says where to look."""


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
        help="what follows is the name of a module, as for python -m",
    )
    parser.add_argument("program", metavar="PROGRAM", help="a Python file, or with -m the name of a module")
    parser.add_argument(
        "args", metavar="ARGS", nargs=argparse.REMAINDER, help="handed to the program as they are"
    )
    return parser


def main() -> None:
    """Read the command line, install, and run the program as Python would."""
    parser = _parser()
    told = parser.parse_args()
    program: str = told.program
    if not told.is_module and not os.path.exists(program):  # noqa: PTH110  a path as the user wrote it
        parser.error(f"there is no file '{program}' (for a module, put -m before it)")
    install()
    sys.argv = [program, *told.args]
    if told.is_module:
        # Python itself put the present folder first in sys.path, as it does for "python -m".
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        # And for a file it is the file's own folder.
        sys.path[0] = os.path.dirname(os.path.abspath(program))  # noqa: PTH100, PTH120  sys.path holds words
        runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
