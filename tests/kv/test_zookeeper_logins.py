"""ZooKeeper with users: digest and SASL logins, and the ACLs of all nodes."""

import json
import uuid

import pytest
from kazoo import exceptions as kazoo
from kazoo.client import KazooClient
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, make_digest_acl

from stackl_flow import exceptions as exc
from stackl_flow.compat.jobs.backends.impl_zookeeper import ZookeeperJobBoard
from stackl_flow.compat.persistence.backends.impl_zookeeper import ZkBackend
from stackl_flow.jobboards import backends as boards
from stackl_flow.kv import backends
from stackl_flow.kv.items import ABSENT, Check, Put
from stackl_flow.persistence import backends as flows
from stackl_flow.testing.contracts.persistence import saved_flow

PASSWORD = "s3c?r@t/#:%x"  # noqa: S105  of a test


@pytest.fixture
def path():
    return f"x{uuid.uuid4().hex}"


@pytest.fixture
def url(zookeeper_url, path):
    return f"{zookeeper_url.replace('://', f'://flows:{PASSWORD}@')}/{path}"


@pytest.fixture
def client(zookeeper_url):
    """Return a function that connects a client."""
    made = []

    def connect(**options):
        made.append(KazooClient(zookeeper_url.removeprefix("zookeeper://"), **options))
        made[-1].start()
        return made[-1]

    yield connect
    for one in made:
        one.stop()
        one.close()


def use_everything(url):
    """Use a store, a board and flows, and return while a lease is held."""
    kv = backends.fetch(url)
    mark = kv.wait()
    lease = kv.grant(60)
    version = kv.commit([Check("a", ABSENT)], [Put("a", "1"), Put("leased", "1", lease.id)])
    kv.commit([Check("a", version)], [Put("a", "2"), Put("01763712345678901/x", "1")])
    assert kv.wait("a", mark, timeout=10) != mark
    with backends.fetch(url) as other:
        other.extend(lease)  # by the session of the lease
        other.commit(puts=[Put("leased/too", "1", lease.id)])
    with boards.backend("b", url) as board:
        board.use_heartbeat_process()
        job = board.claim(board.post("one"), "me")
        board.consume(job, "me")
    with flows.backend(url) as backend:
        saved_flow(backend)
    return kv


def nodes_below(client, path):
    yield path
    for child in client.get_children(path):
        yield from nodes_below(client, f"{path}/{child}")


def test_a_digest_login(url, path, client):
    """All nodes are the creator's only, also those of leases."""
    admin = client(auth_data=[("digest", f"flows:{PASSWORD}")])
    with use_everything(url) as kv:
        nodes = list(nodes_below(admin, f"/{path}"))
        assert any("/leases/" in node for node in nodes)
        own = make_digest_acl("flows", PASSWORD, all=True)
        assert {tuple(admin.get_acls(node)[0]) for node in nodes} == {(own,)}
        stranger = client()
        for node in nodes:
            with pytest.raises(kazoo.NoAuthError):
                stranger.get(node)
        assert PASSWORD not in kv.name


@pytest.mark.parametrize("login", ["", "flows:wrong@", "other:wrong@"])
def test_denied_access(url, login):
    with use_everything(url):
        theirs = url.replace(f"flows:{PASSWORD}@", login)
        with backends.fetch(theirs) as kv:
            for use in (lambda: kv.get("a"), lambda: kv.commit(puts=[Put("b", "1")]), lambda: kv.grant(10)):
                with pytest.raises(
                    exc.StorageFailure, match="denied access: check user and password"
                ) as caught:
                    use()
                assert "wrong" not in str(caught.value)


def test_without_a_login_nodes_are_open(zookeeper_url, path, client):
    with use_everything(f"{zookeeper_url}/{path}"):
        admin = client()
        acls = {tuple(admin.get_acls(node)[0]) for node in nodes_below(admin, f"/{path}")}
        assert acls == {tuple(OPEN_ACL_UNSAFE)}


def test_an_acl_of_ones_own(url, path, client):
    """Another user may read."""
    acl = [make_digest_acl("flows", PASSWORD, all=True), make_digest_acl("reader", "r", read=True)]
    with use_everything({"connection": url, "default_acl": acl}):
        reader = client(auth_data=[("digest", "reader:r")])
        nodes = list(nodes_below(reader, f"/{path}"))
        for node in nodes:
            seen = {(entry.id.id.partition(":")[0], entry.perms) for entry in reader.get_acls(node)[0]}
            assert seen == {("flows", 31), ("reader", 1)}
        with pytest.raises(kazoo.NoAuthError):
            reader.set(nodes[-1], b"")


@pytest.mark.parametrize("default_acl", [None, CREATOR_ALL_ACL])
def test_the_login_of_a_client_under_compat(default_acl, path, client):
    """A board and a backend log in as the client that they are given."""
    given = client(auth_data=[("digest", "flows:p")], default_acl=default_acl)
    board = ZookeeperJobBoard("b", {"path": f"/{path}/jobs"}, client=given)
    with board:
        board.post("one")
        assert [job.name for job in board.iterjobs()] == ["one"]
        backend = ZkBackend({"path": f"/{path}/flows"}, client=given)
        with backend.get_connection() as connection:
            connection.upgrade()
            saved_flow(backend)
        own = make_digest_acl("flows", "p", all=True)
        for node in nodes_below(given, f"/{path}"):
            assert given.get_acls(node)[0] == [own], node
        stranger = client()
        with pytest.raises(kazoo.NoAuthError):
            stranger.get_children(f"/{path}/jobs")
        backend.close()


def test_a_sasl_login(new_server, tmp_path, monkeypatch, path):
    pytest.importorskip("puresasl")
    (tmp_path / "jaas.conf").write_text(
        'Server { org.apache.zookeeper.server.auth.DigestLoginModule required\n user_flows="secret/1";\n};\n'
    )
    monkeypatch.setenv(
        "JAVA_TOOL_OPTIONS",
        f"-Djava.security.auth.login.config={tmp_path}/jaas.conf"
        " -Dzookeeper.authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
    )
    server = new_server("zookeeper")
    url = f"zookeeper://flows:secret/1@127.0.0.1:{server.port}/{path}?auth=sasl"
    with use_everything(url):
        options = {"mechanism": "DIGEST-MD5", "username": "flows", "password": "secret/1"}
        admin = KazooClient(f"127.0.0.1:{server.port}", sasl_options=options)
        admin.start()
        for node in nodes_below(admin, f"/{path}"):
            assert [(acl.id.scheme, acl.id.id) for acl in admin.get_acls(node)[0]] == [("sasl", "flows")]
        admin.stop()
        admin.close()
    for wrong in (
        url.replace("secret/1", "wrong"),
        url.replace("flows:secret/1@", "").replace("?auth=sasl", ""),
    ):
        with (
            backends.fetch(wrong) as kv,
            pytest.raises(exc.StorageFailure, match="denied access: check user and password"),
        ):
            kv.commit(puts=[Put("a", "1")])


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"auth": "magic"}, "'digest' or 'sasl'"),
        ({"auth_data": "secret"}, "'auth_data'"),
        ({"auth_data": json.dumps([["digest"]])}, "'auth_data'"),
        ({"default_acl": "none"}, "'default_acl'"),
        ({"auth": "sasl"}, "without a user"),
    ],
)
def test_invalid_logins(options, word):
    pytest.importorskip("puresasl")
    with pytest.raises(exc.InvalidFormat, match=word) as caught:
        backends.fetch({"connection": "zookeeper://host/x", **options})
    assert "secret" not in str(caught.value)
