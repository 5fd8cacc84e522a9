"""Tools for tests: contract suites of the ports, crashes at write points, a stepped clock."""
