"""One round: a plan is carried out by the clock, then peace is made, and the stories are gathered."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from stackl_flow.jobboards import backends as boards
from stackl_flow.jobboards.base import JobBoard
from stackl_flow.persistence import backends as stores
from tests.support.chaos.checker import check, wrong
from tests.support.chaos.faults import Doer, Host, Server
from tests.support.chaos.plan import AT_ONCE, Plan
from tests.support.chaos.poster import Poster
from tests.support.chaos.proxies import Link, Links
from tests.support.chaos.settings import BOARD, Settings
from tests.support.chaos.traces import Story, gather, told
from tests.support.chaos.workers import Crew, Hand

#: Seconds within which conductors ought to have started; a round begins without those that have not.
_READY_WITHIN: Final = 30.0
#: Seconds within which, after the last disturbance, all jobs have to have ended; far more than it takes.
_PEACE_WITHIN: Final = 90.0
#: Seconds between two looks at whether a conductor has ended and wants another in its place.
_LOOK: Final = 0.05


class Site(NamedTuple):
    """Where a round is held.

    ``board`` and ``flows`` are addresses; what is at a port of one of ``servers`` is disturbed on its way.
    """

    board: str
    flows: str
    servers: Sequence[Server] = ()


class Report(NamedTuple):
    """What came of a round: what was done when (seconds from its beginning), and what is wrong."""

    plan: Plan
    done: Sequence[tuple[float, str]]
    stories: Sequence[Story]
    wrong: Sequence[str]

    def __str__(self) -> str:
        """Tell all that is needed to look for a cause."""
        lines = [f"seed {self.plan.seed}: {len(self.wrong)} wrong", *self.wrong, "what was done:"]
        lines += [f"  {at:6.2f}  {text}" for at, text in self.done]
        for story in self.stories:
            if any(wrong(story, self.plan.workers)):
                lines += told(story)
        return "\n".join(lines)


class Round:
    """Holds one round.

    Args:
        plan: what is to happen.
        site: where.
        directory: where conductors and tasks write; the round's own.
    """

    def __init__(self, plan: Plan, site: Site, directory: Path) -> None:
        self._plan = plan
        self._site = site
        self._ledger, self._told = directory / "ledger", directory / "told"
        self._directory = directory
        self._done: list[tuple[float, str]] = []
        self._begun = time.monotonic()

    def run(self) -> Report:
        """Hold it.

        Returns:
            What came of it.
        """
        with contextlib.ExitStack() as stack:
            store = stack.enter_context(stores.backend(self._site.flows))
            board = stack.enter_context(boards.backend(BOARD, self._site.board, persistence=store))
            links = stack.enter_context(Links())
            ways = [
                [links.make(s.port) for s in self._site.servers] for _ in range(self._plan.means.conductors)
            ]
            crew = Crew([self._hand(index, own) for index, own in enumerate(ways)])
            stack.callback(crew.close)
            hosts = [Host(server) for server in self._site.servers]
            doer = Doer(crew, ways, hosts, self._site.board, self._say)
            crew.start()
            self._await_crew(board)
            self._begun = time.monotonic()
            poster = Poster(self._plan.jobs, board, store, self._ledger)
            posting = stack.enter_context(ThreadPoolExecutor(1)).submit(poster.run)
            stack.callback(poster.stop)
            self._disturb(doer, crew)
            doer.close()
            self._say("peace")
            posting.result()
            late = self._await_peace(poster, crew)
            crew.dismiss()
            self._say("all gone")
            stories = gather(poster.posted, board, store, self._ledger, self._told)
        found = [*late, *crew.oddities, *check(stories, self._plan.workers)]
        return Report(self._plan, tuple(self._done), stories, found)

    def _hand(self, index: int, links: Sequence[Link]) -> Hand:
        means = self._plan.means
        board, flows = self._site.board, self._site.flows
        for server, link in zip(self._site.servers, links, strict=True):
            board, flows = (_through(address, server.port, link.port) for address in (board, flows))
        return Hand(
            Settings(f"c{index}", board, flows, str(self._told), means.ttl, means.slots, self._plan.workers),
            self._directory,
        )

    def _say(self, text: str) -> None:
        self._done.append((time.monotonic() - self._begun, text))

    def _await_crew(self, board: JobBoard) -> None:
        """Wait until all conductors are there: before that there is little to disturb."""
        until = time.monotonic() + _READY_WITHIN
        while len(board.presence.here()) < self._plan.means.conductors and time.monotonic() < until:
            time.sleep(_LOOK)  # nobody says that he has come

    def _disturb(self, doer: Doer, crew: Crew) -> None:
        """Go through the plan; a deed that lasts is two moments in time."""
        deeds = self._plan.deeds
        moments = [(deed.at, doer.begin, deed) for deed in deeds]
        moments += [(deed.at + deed.lasts, doer.end, deed) for deed in deeds if deed.what not in AT_ONCE]
        for due, act, deed in sorted(moments, key=lambda moment: moment[0]):
            while (left := self._begun + due - time.monotonic()) > 0:
                crew.mind()
                time.sleep(min(left, _LOOK))  # a plan goes by the clock
            act(deed)

    def _await_peace(self, poster: Poster, crew: Crew) -> list[str]:
        """Wait until all jobs have ended."""
        with ThreadPoolExecutor(1) as aside:
            waiting = aside.submit(poster.await_ends, time.monotonic() + _PEACE_WITHIN)
            while not waiting.done():
                crew.mind()
                time.sleep(_LOOK)  # processes do not say when they end
            left = waiting.result()
        return [f"job {spec.number} has not ended in {_PEACE_WITHIN} s of peace" for spec in left]


def _through(address: str, port: int, link: int) -> str:
    """Have an address lead over a link, if it is one of that server."""
    parts = urlsplit(address)
    if parts.port != port:
        return address
    return urlunsplit(parts._replace(netloc=parts.netloc.removesuffix(f":{port}") + f":{link}"))
