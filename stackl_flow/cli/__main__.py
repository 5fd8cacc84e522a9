"""Runs the command line as `python -m stackl_flow.cli`."""

from stackl_flow.cli.app import main

main()
