"""TCP proxies between conductors and servers, which inject network faults.

All proxies of a round run in one thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, Final, Self, TypeVar

_CHUNK: Final = 65_536
#: Seconds.
_CALL_TIMEOUT: Final = 30.0

T = TypeVar("T")


class Proxy:
    """A proxy to one server, made by ``Proxies``. Its methods may be called from any thread.

    Attributes:
        port: its port.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, target: int) -> None:
        self.port = 0
        self._loop = loop
        self._target = target
        self._may_pass = asyncio.Event()
        self._may_pass.set()
        self._delay = 0.0
        self._refuses = self._mute = False
        self._open: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Abort all connections."""
        self._loop.call_soon_threadsafe(self._cut)

    def refuse(self, refuses: bool) -> None:
        """Abort all connections and refuse new ones, or stop doing so."""
        self._loop.call_soon_threadsafe(self._refuse, refuses)

    def hold(self, holds: bool) -> None:
        """Hold messages in both directions back, or deliver them."""
        self._loop.call_soon_threadsafe(self._may_pass.clear if holds else self._may_pass.set)

    def mute(self, mute: bool) -> None:
        """Drop the responses of the server, or stop doing so and abort the connections."""
        self._loop.call_soon_threadsafe(self._set_mute, mute)

    def slow(self, seconds: float) -> None:
        """Delay all messages; 0 ends the delay."""
        self._loop.call_soon_threadsafe(setattr, self, "_delay", seconds)

    async def listen(self) -> asyncio.Server:
        """Start to listen; called by ``Proxies``."""
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

    def _set_mute(self, mute: bool) -> None:
        if self._mute and not mute:
            self._cut()  # an incomplete response is worse than none
        self._mute = mute

    async def _serve(self, requests: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        server = None
        self._open.add(client)
        try:
            if self._refuses:
                return
            responses, server = await asyncio.open_connection("127.0.0.1", self._target)
            self._open.add(server)
            directions = [
                self._pass(requests, server, is_response=False),
                self._pass(responses, client, is_response=True),
            ]
            tasks = [asyncio.ensure_future(direction) for direction in directions]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        except OSError:
            return  # the server is down: the client's connection is closed
        finally:
            for writer in filter(None, (client, server)):
                self._open.discard(writer)
                writer.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_response: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._may_pass.wait()
                if is_response and self._mute:
                    continue
                writer.write(data)
                await writer.drain()


class Proxies:
    """Makes proxies and runs their thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-proxies", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def make(self, target: int) -> Proxy:
        """Make a proxy to a port of this machine."""
        proxy = Proxy(self._loop, target)
        self._servers.append(self._call(proxy.listen()))
        return proxy

    def close(self) -> None:
        """Close everything."""
        self._call(self._shut_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _shut_down(self) -> None:
        for server in self._servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_TIMEOUT)
