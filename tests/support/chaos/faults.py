"""Does to conductors, servers and links what a plan says, and writes down when it was really done."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends as places
from stackl_flow.kv.items import Lease, quote
from tests.support.chaos.plan import CONDUCTORS, SERVERS, Deed, What
from tests.support.chaos.proxies import Link
from tests.support.chaos.settings import BOARD
from tests.support.chaos.workers import Crew

#: Seconds that each message takes on a link that was made slow.
_SLOW: Final = 0.05
_SIGNS: Final = {
    What.KILL: signal.SIGKILL,
    What.DRAIN: signal.SIGTERM,
    What.STOP: signal.SIGSTOP,
    What.FREEZE: signal.SIGSTOP,
}


class Server(Protocol):
    """A server of one's own on this machine."""

    @property
    def port(self) -> int:
        """Where it listens; the same all its life."""

    def start(self) -> None:
        """Start it with the data that it has, and wait until it is ready."""

    def stop(self) -> None:
        """Stop it in order."""

    def kill(self) -> None:
        """Kill it."""

    def freeze(self) -> None:
        """Stop the process where it is."""

    def thaw(self) -> None:
        """Let a frozen one go on."""


class Host:
    """A server, with a thread of its own that does to it one thing after the other.

    Args:
        server: the server; it runs.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._up, self._frozen = True, False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="chaos-server")
        self._done: list[Future[None]] = []

    def begin(self, what: What) -> None:
        """Take it down, or have it stand still; one that is down stays so.

        Args:
            what: how.
        """
        self._done.append(self._thread.submit(self._begin, what))

    def end(self) -> None:
        """Have it there again."""
        self._done.append(self._thread.submit(self._end))

    def close(self) -> None:
        """Have it there again, and wait until it is.

        Raises:
            Exception: what went wrong with it.
        """
        self.end()
        self._thread.shutdown()
        for done in self._done:
            done.result()

    def _begin(self, what: What) -> None:
        if not self._up:
            return
        if what is What.STALL:
            self._server.freeze()
            self._frozen = True
            return
        self._thaw()
        self._up = False
        if what is What.CRASH:
            self._server.kill()
        else:
            self._server.stop()

    def _end(self) -> None:
        self._thaw()
        if not self._up:
            self._server.start()
            self._up = True

    def _thaw(self) -> None:
        if self._frozen:
            self._server.thaw()
            self._frozen = False


class Doer:
    """Disturbs one round.

    Args:
        crew: its conductors.
        links: the links of each.
        hosts: the servers.
        board: where an onlooker finds the board, to have leases end.
        say: is told what is done.
    """

    def __init__(
        self,
        crew: Crew,
        links: Sequence[Sequence[Link]],
        hosts: Sequence[Host],
        board: str,
        say: Callable[[str], None],
    ) -> None:
        self._crew = crew
        self._links = links
        self._hosts = hosts
        self._board = board
        self._say = say
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="chaos-aside")
        self._done: list[Future[None]] = []

    def begin(self, deed: Deed) -> None:
        """Do it.

        Args:
            deed: what.
        """
        self._say(f"{deed.what.value} {self._whom(deed)}" + (f" for {deed.lasts} s" if deed.lasts else ""))
        if deed.what in SERVERS:
            self._hosts[deed.whom].begin(deed.what)
        elif deed.what in CONDUCTORS:
            self._to_conductor(deed)
        else:
            self._to_links(deed, on=True)

    def end(self, deed: Deed) -> None:
        """Have it be over.

        Args:
            deed: what.
        """
        if deed.what in SERVERS:
            self._hosts[deed.whom].end()
        elif deed.what in {What.STOP, What.FREEZE}:
            hand = self._crew[deed.whom]
            hand.send(signal.SIGCONT)
            hand.signal_heart(signal.SIGCONT)
        else:
            self._to_links(deed, on=False)
        self._say(f"no more {deed.what.value} {self._whom(deed)}")

    def close(self) -> None:
        """Wait for what is still being done, and have all servers there again."""
        for host in self._hosts:
            host.close()
        self._aside.shutdown()
        for done in self._done:
            done.result()

    def _whom(self, deed: Deed) -> str:
        if deed.what in SERVERS:
            return f"server {deed.whom}"
        return self._crew[deed.whom].name + ("" if deed.way is None else f" with server {deed.way}")

    def _to_conductor(self, deed: Deed) -> None:
        hand = self._crew[deed.whom]
        if deed.what is What.EXPIRE:
            self._done.append(self._aside.submit(self._expire, hand.name))
        elif deed.what is What.UNHEART:
            hand.signal_heart(signal.SIGKILL)
        else:
            if deed.what is What.FREEZE:
                hand.signal_heart(signal.SIGSTOP)
            hand.send(_SIGNS[deed.what])

    def _to_links(self, deed: Deed, *, on: bool) -> None:
        links = self._links[deed.whom]
        for link in links if deed.way is None else [links[deed.way]]:
            if deed.what is What.CUT:
                link.cut()
            elif deed.what is What.REFUSE:
                link.refuse(on)
            elif deed.what is What.HOLD:
                link.hold(on)
            elif deed.what is What.MUTE:
                link.mute(on)
            else:
                link.slow(_SLOW if on else 0.0)

    def _expire(self, name: str) -> None:
        """End every lease on which a conductor of that name stands."""
        try:
            with places.fetch(self._board) as kv:
                items = kv.list(f"{quote(BOARD)}/entity/")
                leases = {item.lease for item in items if item.key.endswith(f"/{quote(name)}")}
                for lease in filter(None, leases):
                    kv.revoke(Lease(lease, 0.0))
        except exc.StorageFailure as error:
            self._say(f"no lease of {name} could be ended: {error}")
