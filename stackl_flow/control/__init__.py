"""Operator queries and commands as functions, shared by the command line and the web API.

`flows` queries stored flows and applies retention, `runs` creates and resumes them, `boards` queries and
changes job boards, `diagrams` draws flows, `health` reports on a conductor, and `opening` opens the storage
that all of them work on. Results are frozen dataclasses (`views`); presentation is up to the caller.
"""
