"""Several servers of one kind that are one place, and survive the loss of one of them."""

from __future__ import annotations

import time
from typing import Final

from scripts.servers.kinds import Kind
from scripts.servers.server import Server, ServerError, start_all

#: Seconds in which members agree on a leader, also on a loaded machine.
_AGREE_WITHIN: Final = 60.0


class Cluster:
    """Members that know each other.

    Args:
        kind: what they are.
        size: how many.

    Attributes:
        members: the servers, each to be stopped, killed and started again by itself.
    """

    def __init__(self, kind: Kind, size: int = 3) -> None:
        self.kind = kind
        self.members = [Server(kind) for _ in range(size)]

    @property
    def url(self) -> str:
        """The address, with all members in it."""
        first, *others = (member.url for member in self.members)
        return ",".join([first, *(url.partition("://")[2] for url in others)])

    def start(self) -> None:
        """Start them side by side, and wait until they serve.

        Raises:
            ServerError: one does not get ready.
        """
        for member in self.members:
            member.settle()
            member.peers = self.members
        start_all(self.members)

    def leader(self) -> Server:
        """Find the member that leads.

        Returns:
            The member.

        Raises:
            ServerError: they do not agree on one.
        """
        until = time.monotonic() + _AGREE_WITHIN
        while time.monotonic() < until:
            for member in self.members:
                if member.leads:
                    return member
            time.sleep(0.05)
        raise ServerError(
            f"{len(self.members)} servers of {self.kind.name} agree on no leader: see their logs"
        )

    def close(self) -> None:
        """Stop them and take their data away."""
        for member in self.members:
            member.close()
