"""The leases of those who claim: one for each name, kept up from a thread, or from a process of its own.

A claim stands on its claimer's lease. While this process lives the lease is extended three times in its life;
when the process dies the server lets it run out, and the jobs are free. A thread costs nothing and is starved
by a task that holds the interpreter; a process (see ``heartbeat``) is not. While that one starts, the thread
does it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Final

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.coordination.heartbeat import Heart
from stackl_flow.jobboards.keys import Places
from stackl_flow.kv.items import Lease, Put
from stackl_flow.kv.store import KV

_LOG = redaction.get_logger(__name__)


#: How often a lease is extended in its life.
_BEATS: Final = 3


class Leases:
    """Keeps leases by name.

    Args:
        kv: who grants them.
        places: makes keys.
        ttl: how many seconds one lasts when it is not extended.
        on_lost: called with a name whose lease ran out, from any thread.
    """

    def __init__(self, kv: KV, places: Places, ttl: float, on_lost: Callable[[str], None]) -> None:
        self._kv = kv
        self._places = places
        self._ttl = ttl
        self._on_lost = on_lost
        self._leases: dict[str, Lease] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._keeper: threading.Thread | None = None
        self._heart: Heart | None = None

    @property
    def margin(self) -> float:
        """How many seconds a lease lasts at least, at any moment, if all is well with who keeps it up."""
        return self._ttl / _BEATS

    def keep_apart(self) -> None:
        """Keep the leases from a process of its own from now on, where that can reach the place."""
        with self._lock:
            if self._heart is None and self._kv.is_shared:
                self._heart = Heart(self._kv.conf, self._ran_out)
                for lease in self._leases.values():
                    self._heart.keep(lease)

    def of(self, who: str) -> Lease:
        """Return somebody's lease; it is asked for when there is none, and says whose it is.

        Args:
            who: his name.
        """
        with self._lock:
            lease = self._leases.get(who)
            if lease is None:
                lease = self._kv.grant(self._ttl)
                self._kv.commit(puts=[Put(self._places.owner(lease.id), json.dumps(who), lease.id)])
                self._leases[who] = lease
                if self._heart is not None:
                    self._heart.keep(lease)
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="jobboard-leases", daemon=True)
                self._keeper.start()
            return lease

    def current(self, who: str) -> str:
        """Return the identity of the lease that somebody has, empty if none.

        Args:
            who: his name.
        """
        with self._lock:
            lease = self._leases.get(who)
            return "" if lease is None else lease.id

    def extend(self, who: str) -> None:
        """Extend somebody's lease now.

        Args:
            who: his name.

        Raises:
            LeaseLost: it ran out.
        """
        try:
            self._kv.extend(self.of(who))
        except exc.LeaseLost:
            self.drop(who)
            raise

    def check(self, who: str) -> None:
        """Forget somebody's lease if it ran out unnoticed.

        Args:
            who: his name.
        """
        if self._kv.get(self._places.owner(self.of(who).id)) is None:
            self.drop(who)

    def drop(self, who: str) -> None:
        """Forget a lease that ran out, and say so; the next claim asks for another.

        Args:
            who: whose.
        """
        with self._lock:
            lease = self._leases.pop(who, None)
            if lease is not None and self._heart is not None:
                self._heart.leave(lease)
        if lease is not None:
            self._on_lost(who)

    def close(self) -> None:
        """Give all leases up, and with them every claim that stands on them."""
        self._stop.set()
        keeper, self._keeper = self._keeper, None
        if keeper is not None and keeper is not threading.current_thread():
            keeper.join()
        with self._lock:
            leases, self._leases = self._leases, {}
            heart, self._heart = self._heart, None
        if heart is not None:
            heart.stop()
        for lease in leases.values():
            self._kv.revoke(lease)
        self._stop.clear()

    def _ran_out(self, lease: str) -> None:
        """Hear from the heart that a lease is lost."""
        with self._lock:
            lost = [who for who, each in self._leases.items() if each.id == lease]
            for who in lost:
                del self._leases[who]
        for who in lost:
            self._on_lost(who)

    def _keep(self) -> None:
        while not self._stop.wait(self._pause()):
            with self._lock:
                is_kept = self._heart is not None and self._heart.is_beating
                names = [] if is_kept else list(self._leases)
            for who in names:
                self._keep_one(who)

    def _pause(self) -> float:
        with self._lock:
            return min((lease.ttl for lease in self._leases.values()), default=self._ttl) / _BEATS

    def _keep_one(self, who: str) -> None:
        try:
            self.extend(who)
        except exc.LeaseLost:
            return  # whom it concerns has been told
        except exc.StorageFailure as error:
            # The lease may yet outlive the trouble: the next round tries again.
            _LOG.warning("the lease of '%s' could not be extended: %s", who, error)
