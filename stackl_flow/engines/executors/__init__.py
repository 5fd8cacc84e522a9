"""Executors: perform the calls of an engine."""
