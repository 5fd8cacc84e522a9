"""Links that can be disturbed: small TCP proxies between conductors and servers.

A link listens on a port of its own and passes on whatever comes. All links of a round live in one thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, Final, Self, TypeVar

_CHUNK: Final = 65_536
#: Seconds until the thread of links has to have done what it is told.
_PROMPTLY: Final = 30.0

T = TypeVar("T")


class Link:
    """One way to a server. Its methods may be called from any thread, on a link that ``Links`` made.

    Args:
        loop: where it lives.
        target: port of the server, on this machine.

    Attributes:
        port: where it listens.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, target: int) -> None:
        self.port = 0
        self._loop = loop
        self._target = target
        self._passes = asyncio.Event()
        self._passes.set()
        self._delay = 0.0
        self._refuses = self._mute = False
        self._open: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Close every connection at once, without a word."""
        self._loop.call_soon_threadsafe(self._cut)

    def refuse(self, refuses: bool) -> None:
        """Close every connection, and each new one, until told otherwise.

        Args:
            refuses: whether to.
        """
        self._loop.call_soon_threadsafe(self._refuse, refuses)

    def hold(self, holds: bool) -> None:
        """Keep back whatever comes, in both ways, until told otherwise; then it arrives, late.

        Args:
            holds: whether to.
        """
        self._loop.call_soon_threadsafe(self._passes.clear if holds else self._passes.set)

    def mute(self, mute: bool) -> None:
        """Lose the answers of the server; the connections are closed when it is told to stop that.

        Args:
            mute: whether to.
        """
        self._loop.call_soon_threadsafe(self._hush, mute)

    def slow(self, seconds: float) -> None:
        """Let everything take so much longer from now on.

        Args:
            seconds: how much; 0 for no longer.
        """
        self._loop.call_soon_threadsafe(setattr, self, "_delay", seconds)

    async def listen(self) -> asyncio.Server:
        """Begin; only ``Links`` calls this."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def _cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    def _refuse(self, refuses: bool) -> None:
        self._refuses = refuses
        if refuses:
            self._cut()

    def _hush(self, mute: bool) -> None:
        if self._mute and not mute:
            self._cut()  # an answer with a hole in it is worse than none
        self._mute = mute

    async def _serve(self, asks: asyncio.StreamReader, asker: asyncio.StreamWriter) -> None:
        answerer = None
        self._open.add(asker)
        try:
            if self._refuses:
                return
            answers, answerer = await asyncio.open_connection("127.0.0.1", self._target)
            self._open.add(answerer)
            ways = [self._pass(asks, answerer, answer=False), self._pass(answers, asker, answer=True)]
            tasks = [asyncio.ensure_future(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        except OSError:
            return  # the server is not there: whoever asks finds his connection closed
        finally:
            for writer in filter(None, (asker, answerer)):
                self._open.discard(writer)
                writer.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answer: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._passes.wait()
                if answer and self._mute:
                    continue
                writer.write(data)
                await writer.drain()


class Links:
    """Makes links, and keeps their thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-links", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def make(self, target: int) -> Link:
        """Make a link.

        Args:
            target: port of the server, on this machine.

        Returns:
            The link; it listens.
        """
        link = Link(self._loop, target)
        self._servers.append(self._do(link.listen()))
        return link

    def close(self) -> None:
        """Close everything."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PROMPTLY)
