"""Values that must not be seen, hidden where texts are made.

A program marks names as secret. Whoever holds the values that go by these names has them kept here for as
long as it lives, and whatever passes through ``redact`` meanwhile, in this whole process, loses them:
messages of our errors, texts of failures, records of our loggers, what listeners and commands show. The
values themselves are not touched: tasks get them as they are. (That known values are taken out of every text
is the idea of Airflow's secrets masker and of the masks of GitHub's runners.)
"""

from stackl_flow.secrecy.known import MASK, keep, keeping, redact
from stackl_flow.secrecy.logs import SecretsFilter, logger, shows, traceback_of
from stackl_flow.secrecy.named import (
    NAMES,
    RESULTS,
    find,
    hide,
    mask,
    mask_marked,
    mask_places,
    names_in,
    names_of,
    parts_of,
)

__all__ = [
    "MASK",
    "NAMES",
    "RESULTS",
    "SecretsFilter",
    "find",
    "hide",
    "keep",
    "keeping",
    "logger",
    "mask",
    "mask_marked",
    "mask_places",
    "names_in",
    "names_of",
    "parts_of",
    "redact",
    "shows",
    "traceback_of",
]
