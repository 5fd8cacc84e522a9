"""A TCP proxy that loses responses of a server together with the connection, or forwards nothing any more."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, TypeVar

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends
from stackl_flow.kv.items import ABSENT, Check, Put
from stackl_flow.kv.store import KV
from stackl_flow.testing.contracts.kv import LONG, OwnServer, ServerContract, Waiter, add_one

T = TypeVar("T")

#: Repetitions of each operation while responses are lost.
ROUNDS = 12


class LossyProxy:
    """Forwards to a port of this machine and closes the connection instead of delivering some responses.

    Args:
        target: the server's port.

    Attributes:
        port: its port.
        target: the server's port, for new connections.
        every: lose every n-th response; 0 for none.
        cut_in: lose the n-th response from now on, once; 0 for none.
        lost: how many responses were lost.
        responses: how many responses arrived.
        is_silent: drop everything, in both directions, without closing a connection. When this ends, new
            connections work, and those from before stay dead.
        connections: how many connections were made.
    """

    def __init__(self, target: int) -> None:
        self.every = self.cut_in = self.lost = 0
        self._is_silent = False
        self._last_silent = 0  # the last connection that is dead for ever
        self.connections = 0
        self.target = target
        self.responses = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="lossy-proxy", daemon=True).start()

    @property
    def is_silent(self) -> bool:
        """Whether everything is dropped."""
        return self._is_silent

    @is_silent.setter
    def is_silent(self, value: bool) -> None:
        if self._is_silent and not value:
            self._last_silent = self.connections
        self._is_silent = value

    def close(self) -> None:
        """Stop listening; open connections end with their clients."""
        # A thread blocked in accept() keeps the socket open until the next connection.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(client, self.connections), daemon=True).start()

    def _is_dead(self, number: int) -> bool:
        return self._is_silent or number <= self._last_silent

    def _serve(self, client: socket.socket, number: int) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self.target)) as server:
            threading.Thread(target=self._pump, args=(client, server, number), daemon=True).start()
            with suppress(OSError):
                while response := server.recv(1 << 16):
                    if self._is_dead(number):
                        continue
                    if self._is_lost():
                        break
                    client.sendall(response)
            for end in (client, server):  # the other thread reads from them, too
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _is_lost(self) -> bool:
        self.responses += 1
        lost = self.every > 0 and self.responses % self.every == 0
        if self.cut_in:
            self.cut_in -= 1
            lost = lost or not self.cut_in
        self.lost += lost
        return lost

    def _pump(self, client: socket.socket, server: socket.socket, number: int) -> None:
        with suppress(OSError):
            while request := client.recv(1 << 16):
                if not self._is_dead(number):
                    server.sendall(request)
            server.shutdown(socket.SHUT_WR)


def retried(read: Callable[[], T]) -> T:
    """Return what a read gives, which may fail as long as connections are dead."""
    until = time.monotonic() + LONG
    while True:
        try:
            return read()
        except exc.StorageFailure:
            if time.monotonic() > until:
                raise


def _wait_for_change(kv: KV, mark: int) -> int:
    """Wait as a board does: again after a failure."""
    return retried(lambda: kv.wait("a", mark, timeout=2 * LONG))


class LossyServerContract(ServerContract):
    """The contract of a store on a server, also while responses of the server are lost.

    Attributes:
        EVERY: every n-th response of the server is lost. A store must need fewer responses to reconnect.
        SHORT: options that make every timeout a second.
    """

    EVERY = 7
    SHORT: Mapping[str, Any] = MappingProxyType({"timeout": 1})

    def test_lost_responses(self, server: OwnServer, lossy_proxy: Callable[[int], LossyProxy]) -> None:
        """Whichever response is lost, each commit is applied once, and leases live on."""
        proxy = lossy_proxy(server.port)
        with self.open_on(server, proxy.port) as cut, self.open_on(server) as kv:
            lease = cut.grant(LONG)
            proxy.every = self.EVERY
            for number in range(ROUNDS):
                version = cut.commit(puts=[Put("blind", str(number))])
                assert [(item.value, item.version) for item in kv.list("blind")] == [(str(number), version)]
                assert cut.commit([Check("blind", version)], [Put("blind", "checked")]) > version
                add_one(cut)
                cut.extend(lease)
                cut.commit([Check(f"leased/{number}", ABSENT)], [Put(f"leased/{number}", "1", lease.id)])
            assert getattr(kv.get("count"), "value", None) == str(ROUNDS)
            cut.commit(deletes=["blind", "count"])
            assert len(kv.list()) == ROUNDS
            cut.revoke(lease)
            assert kv.list() == []
        assert proxy.lost >= 3

    def test_silent_connection(self, server: OwnServer, lossy_proxy: Callable[[int], LossyProxy]) -> None:
        """A connection that is dead, and not closed, fails in time; the next one works."""
        proxy = lossy_proxy(server.port)
        url = server.url.replace(f":{server.port}", f":{proxy.port}")
        with backends.fetch({"connection": url, **self.SHORT}) as cut, self.open_on(server) as kv:
            cut.commit(puts=[Put("a", "1")])
            mark = cut.wait()
            waiter = Waiter(lambda: _wait_for_change(cut, mark))
            proxy.is_silent = True
            begun = time.monotonic()
            with pytest.raises(exc.StorageFailure):
                cut.commit(puts=[Put("b", "1")])
            assert time.monotonic() - begun < LONG
            kv.commit(puts=[Put("a", "2")])
            proxy.is_silent = False
            # Connections from before stay dead, unless they are given up.
            item = retried(lambda: cut.get("a"))
            assert item is not None
            assert item.value == "2"
            assert waiter.result(2 * LONG) != mark
            begun = time.monotonic()
            proxy.is_silent = True
        assert time.monotonic() - begun < LONG

    def test_lost_responses_to_deletions(
        self, server: OwnServer, lossy_proxy: Callable[[int], LossyProxy]
    ) -> None:
        """A commit without puts cannot be recognized by what it wrote."""
        proxy = lossy_proxy(server.port)
        with self.open_on(server, proxy.port) as cut, self.open_on(server) as kv:
            for number in range(1, 7):
                kv.commit(puts=[Put("a", "1"), Put("b", "1")])
                cut.get("a")
                proxy.cut_in = number
                cut.commit(deletes=["a", "none"])
                proxy.cut_in = 0
                assert [item.key for item in kv.list()] == ["b"]
            kv.commit(deletes=["b"])
        assert proxy.lost >= 1

    @pytest.fixture
    def lossy_proxy(self) -> Iterator[Callable[[int], LossyProxy]]:
        """Return a function that makes a lossy proxy to a port."""
        made: list[LossyProxy] = []

        def make(port: int) -> LossyProxy:
            made.append(LossyProxy(port))
            return made[-1]

        yield make
        for proxy in made:
            proxy.close()
