"""Backends that pass each call of a connection through a function: what `crash` and `faults` stand on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Self, cast

from stackl_flow.persistence.base import Backend, Connection

#: Receives the name of a method and a function that calls it; returns what the method returns.
Interceptor = Callable[[str, Callable[[], Any]], Any]

#: What is never intercepted: it reads and writes nothing.
_NOT_INTERCEPTED: Final = frozenset({"backend", "close", "stored_size"})


class InterceptedBackend(Backend):
    """A backend that forwards everything to a real one, each call of its connections by an interceptor.

    Args:
        backend: the real backend.
        interceptor: called for each public method of a connection.
    """

    def __init__(self, backend: Backend, interceptor: Interceptor) -> None:
        super().__init__(backend.conf, backend.codec, backend.clock)
        self._backend = backend
        self._interceptor = interceptor

    @property
    def name(self) -> str:
        """The name of the real backend."""
        return self._backend.name

    def get_connection(self) -> Connection:
        """Return a connection whose calls are intercepted."""
        connection = InterceptedConnection(self._backend.get_connection(), self, self._interceptor)
        return cast("Connection", connection)

    def join_transaction(self, connection: Any) -> Backend:
        """Join a transaction with the real backend; its calls are intercepted, too."""
        return InterceptedBackend(self._backend.join_transaction(connection), self._interceptor)

    def close(self) -> None:
        """Close the real backend."""
        self._backend.close()


class InterceptedConnection:
    """A connection that forwards all calls. Each public method is one transaction, and one interception."""

    def __init__(self, connection: Connection, backend: Backend, interceptor: Interceptor) -> None:
        self._connection = connection
        self._interceptor = interceptor
        self.backend = backend

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._connection, name)
        if name.startswith("_") or name in _NOT_INTERCEPTED or not callable(found):
            return found

        def intercepted(*args: Any, **kwargs: Any) -> Any:
            return self._interceptor(name, lambda: found(*args, **kwargs))

        return intercepted

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
