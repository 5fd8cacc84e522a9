"""A way to a server on which answers get lost, and the connection with them, when a test says so."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from stackl_flow.kv.items import ABSENT, Check, Put
from stackl_flow.testing.contracts.kv import LONG, OwnServer, ServerContract, add_one

#: How often each thing is done while answers are lost.
ROUNDS = 12


class LosesAnswers:
    """Passes all on to a server of this machine, and cuts the connection in the place of some answers.

    Args:
        target: the server's port.

    Attributes:
        port: where it listens.
        every: cut in the place of every so-manieth answer; 0 for none.
        cut_in: cut once, in the place of so-manieth answer from now on; 0 for none.
        lost: how many answers were lost.
    """

    def __init__(self, target: int) -> None:
        self.every = self.cut_in = self.lost = 0
        self._target = target
        self._answers = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="loses-answers", daemon=True).start()

    def close(self) -> None:
        """Take no more connections; those that are open end with their clients."""
        # A thread that waits in ``accept`` keeps the socket open until somebody comes.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as server:
            threading.Thread(target=_pump, args=(client, server), daemon=True).start()
            with suppress(OSError):
                while (answer := server.recv(1 << 16)) and not self._is_lost():
                    client.sendall(answer)
            for end in (client, server):  # the other thread reads from them, too
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _is_lost(self) -> bool:
        self._answers += 1
        lost = self.every > 0 and self._answers % self.every == 0
        if self.cut_in:
            self.cut_in -= 1
            lost = lost or not self.cut_in
        self.lost += lost
        return lost


def _pump(client: socket.socket, server: socket.socket) -> None:
    with suppress(OSError):
        while asked := client.recv(1 << 16):
            server.sendall(asked)
        server.shutdown(socket.SHUT_WR)


class LossyServerContract(ServerContract):
    """The contract of a store on a server, and what holds while answers of that server are lost.

    Attributes:
        EVERY: one in so many answers of the server is lost, and the connection with it. A store must be able
            to reconnect with fewer.
    """

    EVERY = 7

    def test_answers_are_lost(self, server: OwnServer, losses: Callable[[int], LosesAnswers]) -> None:
        """Whichever answer is lost, each commit lands once, and each lease lasts."""
        proxy = losses(server.port)
        with self.reach(server, proxy.port) as cut, self.reach(server) as kv:
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

    def test_answers_to_deletions_are_lost(
        self, server: OwnServer, losses: Callable[[int], LosesAnswers]
    ) -> None:
        """Nothing is put by which such a commit could be known again."""
        proxy = losses(server.port)
        with self.reach(server, proxy.port) as cut, self.reach(server) as kv:
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
    def losses(self) -> Iterator[Callable[[int], LosesAnswers]]:
        """Give a function that makes a way to a server on which answers get lost."""
        made: list[LosesAnswers] = []

        def make(port: int) -> LosesAnswers:
            made.append(LosesAnswers(port))
            return made[-1]

        yield make
        for proxy in made:
            proxy.close()
