"""A thread pool for slow subprocesses that start before their results are needed.

Most of the processes sleep or wait for each other: three of them keep two processors busy.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

POOL = ThreadPoolExecutor(3, "compat")
