"""Run programs written for OpenStack TaskFlow unchanged.

    from stackl_flow import compat
    compat.install()            # before the first "import taskflow"

or, without changing the program, `python -m stackl_flow.compat PROGRAM [ARGS...]`. Nothing is installed
automatically, and no other package of this library imports this one.
"""

from stackl_flow.compat.import_hook import install, is_installed

__all__ = ["install", "is_installed"]
