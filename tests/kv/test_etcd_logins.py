"""etcd with users and roles: logins, expired tokens, changed rights."""

import http.client
import json
import threading
import time
from base64 import b64encode

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.jobboards import backends as boards
from stackl_flow.kv import backends
from stackl_flow.kv.items import ABSENT, Check, Put

ROOT = "root"
PASSWORD = "s3c?r@t/#:%"  # noqa: S105  of a test


class Admin:
    """Calls of etcd's authentication API."""

    def __init__(self, port):
        self.port, self.token = port, ""

    def call(self, path, **body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"Authorization": self.token} if self.token else {}
        connection.request("POST", f"/v3/{path}", json.dumps(body), headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        assert response.status == 200, answer
        return answer

    def log_in(self):
        self.token = self.call("auth/authenticate", name="root", password=ROOT)["token"]

    def add(self, user, prefix):
        low, high = (b64encode(text.encode()).decode() for text in (prefix, prefix[:-1] + "0"))
        self.call("auth/user/add", name=user, password=PASSWORD)
        self.call("auth/role/add", name=user)
        self.call("auth/role/grant", name=user, perm={"permType": "READWRITE", "key": low, "range_end": high})
        self.call("auth/user/grant", user=user, role=user)


@pytest.fixture
def server(new_server):
    return new_server("etcd", "--auth-token-ttl=2")


@pytest.fixture
def admin(server):
    admin = Admin(server.port)
    admin.call("auth/user/add", name="root", password=ROOT)
    admin.call("auth/role/add", name="root")
    admin.call("auth/user/grant", user="root", role="root")
    admin.add("flows", "/mine/")
    admin.call("auth/enable")
    admin.log_in()
    return admin


@pytest.fixture
def url(server, admin):
    return f"etcd://flows:{PASSWORD}@127.0.0.1:{server.port}/mine"


def test_everything_with_a_login(url):
    with backends.fetch(url) as kv:
        mark = kv.wait()
        lease = kv.grant(60)
        version = kv.commit([Check("a", ABSENT)], [Put("a", "1"), Put("leased", "1", lease.id)])
        assert kv.wait("a", mark, timeout=10) != mark
        kv.commit([Check("a", version)], [Put("a", "2")])
        kv.extend(lease)
        kv.revoke(lease)
        assert [(item.key, item.value) for item in kv.list()] == [("a", "2")]
    with boards.backend("b", url) as board:
        job = board.claim(board.post("one"), "me")
        board.consume(job, "me")


def test_tokens_are_renewed(url, server):
    """A token that has expired is replaced, for requests and for the stream of changes."""
    with backends.fetch(url) as kv, backends.fetch(url) as other:
        kv.commit(puts=[Put("a", "1")])
        mark = other.wait()
        for _ in range(3):
            # Longer than a token lives; nothing can be waited for.
            time.sleep(3.5)
            assert kv.get("a").value == "1"
            kv.commit(puts=[Put("b", "1")])
        assert other.wait("b", mark, timeout=30) != mark
        mark, seen = other.wait(), []
        waiter = threading.Thread(target=lambda: seen.append(other.wait("c", mark, 60)))
        waiter.start()
        server.kill()
        server.start()  # forgets all tokens
        assert kv.get("a").value == "1"
        kv.commit(puts=[Put("c", "1")])
        waiter.join(60)
        assert seen
        assert seen[0] != mark


def test_rights_are_changed(url, admin):
    """A change of users and roles makes tokens stale, and commits are still applied once."""
    with backends.fetch(url) as kv:
        kv.commit(puts=[Put("count", "0")])
        for number in range(5):
            admin.add(f"user{number}", f"/other{number}/")
            item = kv.get("count")
            admin.call("auth/user/changepw", name=f"user{number}", password=PASSWORD[::-1])
            kv.commit([Check("count", item.version)], [Put("count", str(number + 1))])
        assert kv.get("count").value == "5"


@pytest.mark.parametrize("login", ["", "flows:wrong@", "unknown:wrong@"])
def test_rejected_logins(server, admin, login):
    with (
        backends.fetch(f"etcd://{login}127.0.0.1:{server.port}/mine") as kv,
        pytest.raises(exc.StorageFailure, match=r"rejected the login.*user and password") as caught,
    ):
        kv.get("a")
    assert "wrong" not in str(caught.value)


def test_keys_of_others(url):
    with (
        backends.fetch(url.replace("/mine", "/theirs")) as kv,
        pytest.raises(exc.StorageFailure, match=r"rejected the login.*rights"),
    ):
        kv.commit(puts=[Put("a", "1")])


def test_a_login_in_options(server, admin):
    conf = {"connection": "etcd", "host": "127.0.0.1", "port": server.port, "path": "mine"}
    with backends.fetch({**conf, "username": "flows", "password": PASSWORD}) as kv:
        kv.commit(puts=[Put("a", "1")])
        assert "c?r" not in kv.name
