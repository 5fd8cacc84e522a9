"""States and intentions as small numbers, for the decision core's byte arrays."""

from __future__ import annotations

from typing import Final

from stackl_flow import states as st

STATES: Final = (
    st.PENDING, st.RUNNING, st.SUCCESS, st.FAILURE, st.REVERTING, st.REVERTED, st.REVERT_FAILURE,
    st.IGNORE, st.RETRYING,
)  # fmt: skip
(
    PENDING, RUNNING, SUCCEEDED, FAILED, REVERTING, REVERTED, REVERT_FAILED, IGNORED, RETRYING,
) = range(len(STATES))  # fmt: skip

INTENTIONS: Final = (st.EXECUTE, st.IGNORE, st.REVERT, st.RETRY)
EXECUTE, IGNORE, REVERT, RETRY = range(len(INTENTIONS))

STATE_OF: Final = {word: mark for mark, word in enumerate(STATES)}
INTENTION_OF: Final = {word: mark for mark, word in enumerate(INTENTIONS)}

DONE: Final = 2
CLEAR: Final = 1


def _flags(state: int, intention: int) -> int:
    done = state in (SUCCEEDED, IGNORED) and intention in (EXECUTE, IGNORE)
    clear = state in (PENDING, REVERTED, IGNORED)
    return DONE * done + CLEAR * clear


#: For each state and intention (``state * 4 + intention``): whether what follows may execute (DONE)
#: and whether what comes before may revert (CLEAR).
FLAGS: Final = tuple(
    _flags(state, intention) for state in range(len(STATES)) for intention in range(len(INTENTIONS))
)
