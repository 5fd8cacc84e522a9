"""Tools for testing what is built on this library: contract suites of its ports, random flows, crashes."""
