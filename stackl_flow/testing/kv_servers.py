"""What a place on a server does while the server, or the way to it, is gone: tests to be inherited.

A subclass brings a server of its own, which may be killed and started again::

    class TestMineInTrouble(ServerContract):
        @pytest.fixture
        def server(self):
            return MyServer()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends
from stackl_flow.kv.items import ABSENT, Check, Put
from stackl_flow.kv.store import KV
from stackl_flow.testing.kv import add_one
from stackl_flow.testing.kv_leases import Waiter
from stackl_flow.testing.losses import LosesAnswers

_LONG = 60.0
#: How often each thing is done while answers are lost.
ROUNDS = 12


class OwnServer(Protocol):
    """A server that nobody else uses.

    Attributes:
        url: its address.
        port: where it listens on 127.0.0.1.
    """

    url: str
    port: int

    def start(self) -> None:
        """Start it again, with the data that it had."""

    def stop(self) -> None:
        """Stop it in order."""

    def kill(self) -> None:
        """Kill it at once."""


class ServerContract:
    """What holds for a place on a server.

    Attributes:
        EVERY: every so many answers of the server one is lost, and the connection with it. A place has to be
            able to begin anew with fewer.
        TIMEOUT: for how many seconds a server that is gone is waited for.
        NOBODY: what is said where there is no server.
        GONE: what is said of a server that is gone.
    """

    EVERY = 7
    TIMEOUT = 0.5
    NOBODY = "did not answer"
    GONE = "did not answer"

    @pytest.fixture
    def server(self) -> OwnServer:
        """Give a server of one's own that runs."""
        raise NotImplementedError("a subclass of the contract brings its own server fixture")

    def reach(self, server: OwnServer, port: int = 0, timeout: float = _LONG) -> KV:
        """Open the place on a server.

        Args:
            server: the server.
            port: the port by which to reach it; its own if left out.
            timeout: for how many seconds to try.

        Returns:
            The place.
        """
        url = server.url.replace(f":{server.port}", f":{port or server.port}")
        return backends.fetch({"connection": url, "timeout": timeout})

    def test_killed_and_started_again(self, server: OwnServer) -> None:
        """What was committed is there; leases go on, and so does who waits."""
        with self.reach(server) as kv, self.reach(server) as other:
            lease = kv.grant(_LONG)
            version = kv.commit(puts=[Put("a", "1"), Put("leased", "1", lease.id)])
            mark, others = kv.wait(), other.wait()
            waiter = Waiter(lambda: other.wait("b", others, timeout=_LONG))
            server.kill()
            server.start()
            assert [item.value for item in kv.list()] == ["1", "1"]
            kv.extend(lease)
            kv.commit([Check("a", version), Check("b", ABSENT)], [Put("a", "2"), Put("b", "1")])
            assert kv.wait("b", mark, timeout=_LONG) != mark
            assert waiter.result(_LONG) not in {None, others}

    def test_gone_for_longer_than_anybody_waits(self, server: OwnServer) -> None:
        """Who asks is told, and goes on when the server is there again."""
        with self.reach(server, timeout=self.TIMEOUT) as kv:
            version = kv.commit(puts=[Put("a", "1")])
            mark = kv.wait()
            server.stop()
            with pytest.raises(exc.StorageFailure, match=self.GONE):
                kv.get("a")
            with pytest.raises(exc.StorageFailure, match=self.GONE) as caught:
                kv.commit([Check("a", version)], [Put("a", "2")])
            assert not isinstance(caught.value, (exc.Conflict, exc.LeaseLost))
            with pytest.raises(exc.StorageFailure, match=self.GONE):
                kv.wait("a", mark, timeout=_LONG)
            server.start()
            kv.commit([Check("a", version)], [Put("a", "3")])
            assert [item.value for item in kv.list()] == ["3"]
            assert kv.wait("a", mark, timeout=_LONG) != mark

    def test_nobody_there(self, server: OwnServer) -> None:
        """It is said where nobody answered, and what to do."""
        with self.reach(server, port=1, timeout=self.TIMEOUT) as kv:
            assert ":1" in kv.name
            with pytest.raises(exc.StorageFailure, match=self.NOBODY):
                kv.get("a")

    def test_answers_are_lost(self, server: OwnServer, losses: Callable[[int], LosesAnswers]) -> None:
        """Whichever answer is lost, each commit lands once, and each lease lasts."""
        proxy = losses(server.port)
        with self.reach(server, proxy.port) as cut, self.reach(server) as kv:
            lease = cut.grant(_LONG)
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
