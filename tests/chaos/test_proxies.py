"""A proxy forwards data and injects faults."""

import contextlib
import socket
import threading

import pytest

from tests.support.chaos.proxies import Proxies

LONG = 20.0
#: Seconds after which no more data are expected.
SHORT = 0.3


class Echo:
    """A server that returns what it receives in capitals."""

    def __init__(self):
        self.received = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._echo, args=(client,)).start()

    def _echo(self, client):
        with client, contextlib.suppress(OSError):
            while data := client.recv(100):
                self.received.append(data)
                client.sendall(data.upper())

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def echo():
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def proxy(echo):
    with Proxies() as proxies:
        yield proxies.make(echo.port)


def connect(proxy, timeout=LONG):
    return socket.create_connection(("127.0.0.1", proxy.port), timeout)


def echoed(connection, data):
    """Send data and return the response; empty if the connection is closed, None if there is no response."""
    try:
        connection.sendall(data)
        return connection.recv(100)
    except TimeoutError:
        return None
    except OSError:
        return b""


def test_it_forwards_all_data(proxy):
    with connect(proxy) as connection, connect(proxy) as other:
        assert (echoed(connection, b"one"), echoed(other, b"two"), echoed(connection, b"three")) == (
            b"ONE",
            b"TWO",
            b"THREE",
        )


def test_a_new_connection_works_after_a_cut(proxy):
    with connect(proxy) as connection:
        assert echoed(connection, b"one") == b"ONE"
        proxy.cut()
        assert echoed(connection, b"two") == b""
    with connect(proxy) as connection:
        assert echoed(connection, b"three") == b"THREE"


def test_connections_are_refused(proxy):
    proxy.refuse(True)
    with connect(proxy) as connection:
        assert echoed(connection, b"one") == b""
    proxy.refuse(False)
    with connect(proxy) as connection:
        assert echoed(connection, b"two") == b"TWO"


def test_held_data_are_delivered_later(proxy, echo):
    with connect(proxy, SHORT) as connection:
        proxy.hold(True)
        assert echoed(connection, b"one") is None
        assert echo.received == []
        proxy.hold(False)
        connection.settimeout(LONG)
        assert connection.recv(100) == b"ONE"


def test_a_muted_proxy_loses_responses_and_not_requests(proxy, echo):
    with connect(proxy, SHORT) as connection:
        proxy.mute(True)
        assert echoed(connection, b"one") is None
        assert echo.received == [b"one"]
        proxy.mute(False)
        connection.settimeout(LONG)
        assert echoed(connection, b"two") == b""


def test_without_a_server_the_connection_is_closed():
    with socket.create_server(("127.0.0.1", 0)) as closed, Proxies() as proxies:
        proxy = proxies.make(closed.getsockname()[1])
        closed.close()
        with connect(proxy) as connection:
            assert echoed(connection, b"one") == b""
