"""The commands: each parses its options, calls a function of `control` and prints the result."""
