"""Detection of TCP connections whose peer is gone without a word: a cut cable, a firewall, a dead machine.

The kernel probes a silent connection and limits how long sent data may stay unacknowledged; both end the
connection with an error. A peer that acknowledges and never answers, such as a proxy that hangs, is detected
only by the timeouts of the protocols above.
"""

from __future__ import annotations

import socket
from typing import NamedTuple


class KeepAlive(NamedTuple):
    """When the kernel gives a connection up. All times are in seconds.

    Attributes:
        idle: silence after which the peer is probed.
        interval: time between two probes.
        probes: unanswered probes after which the connection is lost.
        user_timeout: how long sent data may stay unacknowledged.
    """

    idle: int = 10
    interval: int = 5
    probes: int = 3
    user_timeout: float = 20.0

    def socket_options(self) -> dict[int, int]:
        """Return the options at the level IPPROTO_TCP that this platform has, with their values."""
        values = {
            "TCP_KEEPIDLE": self.idle,
            "TCP_KEEPINTVL": self.interval,
            "TCP_KEEPCNT": self.probes,
            "TCP_USER_TIMEOUT": max(int(self.user_timeout * 1000), 0),
        }
        return {getattr(socket, name): value for name, value in values.items() if hasattr(socket, name)}

    def apply(self, connection: socket.socket) -> None:
        """Set the options on a socket; one that is not TCP is left as it is."""
        if connection.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in self.socket_options().items():
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


KEEP_ALIVE = KeepAlive()
"""The defaults."""
