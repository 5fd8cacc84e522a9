"""Leases on ZooKeeper: each is a session, whose ephemeral node lets other processes use the session."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kazoo import exceptions as kazoo
from kazoo.protocol.serialization import CloseInstance, Exists, GetData, Sync, Transaction

from stackl_flow.kv.backends.zookeeper.connection import SendRequests, SessionPool
from stackl_flow.kv.backends.zookeeper.encoding import Paths
from stackl_flow.kv.backends.zookeeper.session import Session, SessionExpiredError
from stackl_flow.kv.items import Lease


class Leases:
    """Creates the sessions of leases, and finds those that other processes have created.

    Args:
        pool: retries and translates errors.
        send: sends requests so that the answers include everything that was written before.
        paths: the paths of nodes.
        new_session: makes a session of a timeout in milliseconds; of an existing one, with id and password.
    """

    def __init__(
        self, pool: SessionPool, send: SendRequests, paths: Paths, new_session: Callable[..., Session]
    ) -> None:
        self._pool = pool
        self._send = send
        self._paths = paths
        self._new_session = new_session
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections; the leases continue until they expire."""
        with self._lock:
            sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.close()

    def grant(self, lease: Lease) -> Lease:
        """Create a lease; return it with the time to live that the server has granted."""
        session = self._new_session(max(round(lease.ttl * 1000), 1))
        self._pool.retry(session.open)  # one whose answer is lost expires, with nothing attached to it
        fields = {
            "number": session.session_id,
            "password": session.password.hex(),
            "ttl": session.timeout_ms,
        }
        data = json.dumps(fields).encode()
        node = self._paths.create_operation(self._paths.lease(lease.id), data, is_ephemeral=True)
        with suppress(kazoo.NodeExistsError):  # it is ours, and the first answer was lost
            self._send_in(session, node)
        self._add(lease.id, session)
        return Lease(lease.id, session.timeout_ms / 1000)

    def extend(self, lease_id: str) -> bool:
        """Restart the time to live of a lease; return False if it does not exist."""
        session = self.find_session(lease_id)
        if session is None:
            return False
        node = self._paths.lease(lease_id)
        try:
            # The server of this session may lag behind the one at which the node was created.
            self._send_in(session, Sync(node), Exists(node, None))
        except (SessionExpiredError, kazoo.NoNodeError):
            self._remove(lease_id)
            return False
        return True

    def revoke(self, lease_id: str) -> None:
        """Delete a lease and the items attached to it."""
        session = self.find_session(lease_id)
        if session is None:
            return
        try:
            self._send_in(session, CloseInstance)
        except SessionExpiredError:
            pass  # the lease has ended already
        finally:
            self._remove(lease_id)

    def find_session(self, lease_id: str) -> Session | None:
        """Return the session of a lease, or None if the lease is known to have ended."""
        with self._lock:
            session = self._sessions.get(lease_id)
        if session is None:
            (answer,) = self._send([GetData(self._paths.lease(lease_id), None)])
            if answer is None:
                return None
            fields = json.loads(answer[0])
            password = bytes.fromhex(fields["password"])
            session = self._new_session(fields["ttl"], fields["number"], password)
            self._add(lease_id, session)
        return session

    def commit(self, lease_id: str, operations: list[Any]) -> list[Any] | None:
        """Send a ``multi`` once, in the session of a lease.

        Returns:
            The result of each operation; None if the lease has ended.

        Raises:
            NoAnswerError: there was no answer.
        """
        session = self.find_session(lease_id)
        if session is None:
            return None
        try:
            return list(Transaction.deserialize(session.call(Transaction(operations)), 0))
        except SessionExpiredError:
            self._remove(lease_id)
            return None
        except kazoo.KazooException as error:
            raise self._pool.translate_error(error) from error

    def _add(self, lease_id: str, session: Session) -> None:
        with self._lock:
            self._sessions[lease_id] = session

    def _remove(self, lease_id: str) -> None:
        with self._lock:
            session = self._sessions.pop(lease_id, None)
        if session is not None:
            session.close()

    def _send_in(self, session: Session, *requests: Any) -> None:
        """Send requests in a session until they are answered; raise kazoo's exception of the last one."""
        try:
            code, _ = self._pool.retry(lambda: session.send(requests))[-1]
            if code:
                raise kazoo.EXCEPTIONS[code]
        except (kazoo.NoNodeError, kazoo.NodeExistsError):
            raise
        except kazoo.KazooException as error:
            raise self._pool.translate_error(error) from error
