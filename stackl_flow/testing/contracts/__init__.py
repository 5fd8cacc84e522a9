"""Contract test suites of the ports: a new backend is done when it passes its own."""
