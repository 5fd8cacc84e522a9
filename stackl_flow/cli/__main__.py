"""`python -m stackl_flow.cli`, for where the script is not on the path."""

from stackl_flow.cli.app import main

main()
