"""Clusters: several servers of one kind with the same data, which survive the loss of one of them."""

from __future__ import annotations

import time
from typing import Final

from scripts.servers.kinds import Kind
from scripts.servers.server import Server, ServerError, start_all

#: Seconds until members agree on a leader, on a loaded machine too.
_ELECTION_TIMEOUT: Final = 60.0


class Cluster:
    """A cluster.

    Attributes:
        members: the servers; each can be stopped, killed and started again.
    """

    def __init__(self, kind: Kind, size: int = 3) -> None:
        self.kind = kind
        self.members = [Server(kind) for _ in range(size)]

    @property
    def url(self) -> str:
        """The URL, with all members in it."""
        first, *others = (member.url for member in self.members)
        return ",".join([first, *(url.partition("://")[2] for url in others)])

    def start(self) -> None:
        """Start the members at the same time and wait until all are ready.

        Raises:
            ServerError: one does not become ready.
        """
        for member in self.members:
            member.choose_ports()
            member.peers = self.members
        start_all(self.members)

    def leader(self) -> Server:
        """Wait until the cluster has a leader, and return it.

        Raises:
            ServerError: there is none after a minute.
        """
        until = time.monotonic() + _ELECTION_TIMEOUT
        while time.monotonic() < until:
            for member in self.members:
                if member.is_leader:
                    return member
            time.sleep(0.05)
        raise ServerError(
            f"the {len(self.members)} servers of {self.kind.name} have not elected a leader: see their logs"
        )

    def close(self) -> None:
        """Stop the members and remove their data."""
        for member in self.members:
            member.close()
