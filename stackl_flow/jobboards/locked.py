"""Claims in one transaction, where the place can lock what is read: nobody who claims beside it is refused.

Who looks for jobs and then claims them, one commit that checks another's listing, is often too late when many
do so at once. In a database the jobs that were seen waiting are locked first, as they are now; those that
somebody else is claiming at this moment are passed over (PostgreSQL: SKIP LOCKED), and only what was had is
claimed, in the same transaction.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

from stackl_flow.jobboards import moves as m
from stackl_flow.jobboards.places import Places, spot_of
from stackl_flow.jobboards.posting import Posting
from stackl_flow.jobboards.reading import Found
from stackl_flow.jobboards.turns import Jobs, Plan, Taking
from stackl_flow.kv.base import KV, Take
from stackl_flow.kv.items import ABSENT


class LockedTaking(Taking):
    """Claims jobs that are locked first.

    Args:
        kv: the place; one that ``takes``.
        places: makes keys.
    """

    def __init__(self, kv: KV, places: Places) -> None:
        super().__init__(kv)
        self._places = places

    def take(self, free: Jobs, want: int, can: Collection[str] | None, plan: Plan) -> int:
        """Claim the first of the jobs that are free and that nobody else is claiming.

        Args:
            free: the jobs that were seen waiting a moment ago, in their order.
            want: how many at most.
            can: not asked: ``free`` has no others.
            plan: says for the jobs that are to be claimed what is to be committed; None for nothing.

        Returns:
            The version of the commit.

        Raises:
            Conflict: a claim that was to be ended is lost, or the claimer's lease; nothing was written.
        """
        del can
        # What was read stays read, should the transaction be done again.
        seen, again = itertools.tee(free)

        def work(take: Take) -> int:
            nonlocal again
            jobs, again = itertools.tee(again)
            writes = plan(self._had(jobs, want, take))
            return ABSENT if writes is None else self._kv.commit(*writes)

        first = next(seen, None)
        if first is None:
            writes = plan(())
            return ABSENT if writes is None else self._kv.commit(*writes)
        return self._kv.taking(work)

    def _had(self, jobs: Jobs, want: int, take: Take) -> Sequence[Found]:
        """Take jobs until there are enough, or no more."""
        had: list[Found] = []
        while len(had) < want:
            asked = [found.posting for found in itertools.islice(jobs, want - len(had))]
            if not asked:
                break
            keys = [self._places.at(m.WAITING, spot_of(posting)) for posting in asked if posting is not None]
            there = {item.key: item for item in take(keys)}
            had += [
                Found(m.WAITING, Posting.from_text(there[key].value), there[key].version)
                for key in keys
                if key in there
            ]
        return had


def taking(kv: KV, places: Places) -> Taking:
    """Choose how jobs are claimed in a place.

    Args:
        kv: the place.
        places: makes keys.

    Returns:
        What claims them.
    """
    return LockedTaking(kv, places) if kv.takes else Taking(kv)
