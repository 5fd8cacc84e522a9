"""A link passes on what comes, and disturbs it as it is told."""

import contextlib
import socket
import threading

import pytest

from tests.support.chaos.proxies import Links

LONG = 20.0
#: Seconds after which nothing is taken to come any more.
SHORT = 0.3


class Echo:
    """A server that says back whatever it hears, in capitals."""

    def __init__(self):
        self.heard = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                guest, _ = self._door.accept()
                threading.Thread(target=self._talk, args=(guest,)).start()

    def _talk(self, guest):
        with guest, contextlib.suppress(OSError):
            while data := guest.recv(100):
                self.heard.append(data)
                guest.sendall(data.upper())

    def close(self):
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self._thread.join()


@pytest.fixture
def echo():
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def link(echo):
    with Links() as links:
        yield links.make(echo.port)


def call(link, timeout=LONG):
    return socket.create_connection(("127.0.0.1", link.port), timeout)


def says(line, words):
    """Say something, and give what comes back; empty when the line is closed, None when nothing comes."""
    try:
        line.sendall(words)
        return line.recv(100)
    except TimeoutError:
        return None
    except OSError:
        return b""


def test_it_passes_all_on(link):
    with call(link) as line, call(link) as other:
        assert (says(line, b"one"), says(other, b"two"), says(line, b"three")) == (b"ONE", b"TWO", b"THREE")


def test_cut_a_new_call_goes_through(link):
    with call(link) as line:
        assert says(line, b"one") == b"ONE"
        link.cut()
        assert says(line, b"two") == b""
    with call(link) as line:
        assert says(line, b"three") == b"THREE"


def test_while_it_refuses_no_call_goes_through(link):
    link.refuse(True)
    with call(link) as line:
        assert says(line, b"one") == b""
    link.refuse(False)
    with call(link) as line:
        assert says(line, b"two") == b"TWO"


def test_what_is_held_arrives_late(link, echo):
    with call(link, SHORT) as line:
        link.hold(True)
        assert says(line, b"one") is None
        assert echo.heard == []
        link.hold(False)
        line.settimeout(LONG)
        assert line.recv(100) == b"ONE"


def test_muted_it_loses_the_answers_and_not_the_questions(link, echo):
    with call(link, SHORT) as line:
        link.mute(True)
        assert says(line, b"one") is None
        assert echo.heard == [b"one"]
        link.mute(False)
        line.settimeout(LONG)
        assert says(line, b"two") == b""


def test_without_a_server_a_call_is_closed():
    with socket.create_server(("127.0.0.1", 0)) as nobody, Links() as links:
        link = links.make(nobody.getsockname()[1])
        nobody.close()
        with call(link) as line:
            assert says(line, b"one") == b""
