"""How fast stackl_flow is, always beside a peer measured in the same run.

One module a benchmark, all of the same shape: a ``NAME`` and ``rows(quick)``, which yields the lines of the
table. What needs a process of its own (memory, growth, resume, import) has a ``probe_*`` function beside it,
called through ``benchmarks.probe``.
"""
