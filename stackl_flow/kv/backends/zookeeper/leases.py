"""Leases as sessions: each has a node of its own that goes with it, and says how others can speak for it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kazoo import exceptions as kazoo
from kazoo.protocol.serialization import CloseInstance, Exists, GetData, Sync, Transaction

from stackl_flow.kv.backends.zookeeper.connection import Ask, Link
from stackl_flow.kv.backends.zookeeper.encoding import Paths, create
from stackl_flow.kv.backends.zookeeper.session import Expired, Session
from stackl_flow.kv.items import Lease


class Leases:
    """Makes sessions, and finds those that others have made.

    Args:
        link: the ensemble.
        ask: asks it, so that nothing is missed that another server knows.
        paths: names nodes.
        dial: opens a socket to one of the servers.
    """

    def __init__(self, link: Link, ask: Ask, paths: Paths, dial: Callable[[], socket.socket]) -> None:
        self._link = link
        self._ask = ask
        self._paths = paths
        self._dial = dial
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections; the leases run on."""
        with self._lock:
            sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.close()

    def grant(self, lease: Lease) -> Lease:
        """Make a lease.

        Args:
            lease: its name, and how long it is to last.

        Returns:
            The lease as the server granted it.
        """
        session = Session(self._dial, max(round(lease.ttl * 1000), 1))
        self._link.again(session.open)  # one whose answer is lost runs out by itself: nothing stands on it
        told = {
            "number": session.number,
            "password": session.password.hex(),
            "ttl": session.milliseconds,
        }
        node = create(self._paths.lease(lease.id), json.dumps(told).encode(), ephemeral=True)
        with suppress(kazoo.NodeExistsError):  # it is ours, and the first answer was lost
            self._say(session, node)
        self._keep(lease.id, session)
        return Lease(lease.id, session.milliseconds / 1000)

    def extend(self, name: str) -> bool:
        """Let a lease last its whole time again.

        Args:
            name: the lease.

        Returns:
            Whether it was there.
        """
        session = self.find(name)
        if session is None:
            return False
        node = self._paths.lease(name)
        try:
            # The server of this session may not have heard yet of the node that another made.
            self._say(session, Sync(node), Exists(node, None))
        except (Expired, kazoo.NoNodeError):
            self._forget(name)
            return False
        return True

    def revoke(self, name: str) -> None:
        """End a lease.

        Args:
            name: the lease.
        """
        session = self.find(name)
        if session is None:
            return
        try:
            self._say(session, CloseInstance)
        except Expired:
            pass  # it has ended already, which is what was wanted
        finally:
            self._forget(name)

    def find(self, name: str) -> Session | None:
        """Find the session of a lease.

        Args:
            name: the lease.

        Returns:
            The session, or None if the lease is known to have ended.
        """
        with self._lock:
            session = self._sessions.get(name)
        if session is None:
            path = self._paths.lease(name)
            (found,) = self._ask([GetData(path, None)])
            if found is None:
                return None
            told = json.loads(found[0])
            session = Session(self._dial, told["ttl"], told["number"], bytes.fromhex(told["password"]))
            self._keep(name, session)
        return session

    def commit(self, name: str, asked: list[Any]) -> list[Any] | None:
        """Send operations that make nodes stand on a lease, once.

        Args:
            name: the lease.
            asked: the operations.

        Returns:
            What came of each; None if the lease has ended.

        Raises:
            Lost: no answer came.
        """
        session = self.find(name)
        if session is None:
            return None
        try:
            return list(Transaction.deserialize(session.call(Transaction(asked)), 0))
        except Expired:
            self._forget(name)
            return None
        except kazoo.KazooException as error:
            raise self._link.translated(error) from error

    def _keep(self, name: str, session: Session) -> None:
        with self._lock:
            self._sessions[name] = session

    def _forget(self, name: str) -> None:
        with self._lock:
            session = self._sessions.pop(name, None)
        if session is not None:
            session.close()

    def _say(self, session: Session, *requests: Any) -> None:
        try:
            code, _ = self._link.again(lambda: session.ask(requests))[-1]
            if code:
                raise kazoo.EXCEPTIONS[code]
        except (kazoo.NoNodeError, kazoo.NodeExistsError):
            raise
        except kazoo.KazooException as error:
            raise self._link.translated(error) from error
