"""Real servers: from the environment where an address is given, else started for the session."""

import os

import pytest

from scripts.servers.cluster import Cluster
from scripts.servers.known import BESIDES, KINDS
from scripts.servers.secure import SECURE
from scripts.servers.server import Server, ServerError


def server_of(name, make=Server, **kwargs):
    """Make a server; where there is none, a desk goes on without its tests and CI fails."""
    try:
        server = make({**KINDS, **BESIDES, **SECURE}[name], **kwargs)
    except ServerError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    return server


def url_of(name):
    given = os.environ.get(KINDS[name].variable)
    if given:
        yield given
        return
    server = server_of(name)
    try:
        server.start()
        yield server.url
    finally:
        server.close()


@pytest.fixture(scope="session")
def redis_url():
    yield from url_of("redis")


@pytest.fixture(scope="session")
def zookeeper_url():
    yield from url_of("zookeeper")


@pytest.fixture(scope="session")
def etcd_url():
    yield from url_of("etcd")


@pytest.fixture(scope="session")
def postgresql_url():
    yield from url_of("postgresql")


@pytest.fixture(scope="session")
def mysql_url():
    yield from url_of("mysql")


def new_servers():
    """Give a function that starts a server of one's own, to be stopped, killed and started again."""
    made = []

    def start(name, *options):
        server = server_of(name, options=options)
        made.append(server)
        server.start()
        return server

    yield start
    for server in made:
        server.close()


@pytest.fixture(scope="module")
def new_cluster():
    """Give a function that starts servers of one kind that are one place: three, as it comes."""
    made = []

    def start(name, size=3):
        cluster = server_of(name, Cluster, size=size)
        made.append(cluster)
        cluster.start()
        return cluster

    yield start
    for cluster in made:
        cluster.close()


new_server = pytest.fixture(new_servers)
new_server_of_module = pytest.fixture(new_servers, scope="module")
