"""The command line `stackl-flow`: parses options, calls the functions of `control`, and prints results."""

from stackl_flow.cli.app import main

__all__ = ["main"]
