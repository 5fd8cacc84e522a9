"""Benchmarks of stackl_flow, each compared with a peer in the same run.

A benchmark is a module with a ``NAME`` and a function ``rows(quick)``, which yields rows of the table of
results; ``quick`` selects sizes that show that it works and are too small for figures. Measurements that need
a fresh process (memory, growth, resume, import) call a function of the module through ``benchmarks.probe``.
"""
