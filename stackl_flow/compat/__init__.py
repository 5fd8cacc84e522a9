"""Programs written for TaskFlow, run unchanged.

    from stackl_flow import compat
    compat.install()            # before the first "import taskflow"

or, without touching the program at all, `python -m stackl_flow.compat PROGRAM [ARGS...]`. Nothing is ever
installed on its own, and nothing else in the house knows that this room exists.
"""

from stackl_flow.compat.import_hook import install, is_installed

__all__ = ["install", "is_installed"]
