"""Where work that takes long waits for its turn: begun before it is asked for, some of it at a time.

All of it runs in processes of their own, which mostly sleep or wait for each other: three of them keep two
processors busy.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

POOL = ThreadPoolExecutor(3, "compat")
