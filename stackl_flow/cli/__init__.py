"""The command line: `stackl-flow`, one command a question or order of the desk."""

from stackl_flow.cli.app import main

__all__ = ["main"]
