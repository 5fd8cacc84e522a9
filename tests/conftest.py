"""What all tests share: servers, temporary files in memory, tiers, and the division among workers."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path

import pytest

from scripts.servers import packages
from scripts.servers.cluster import Cluster
from scripts.servers.definitions import AUXILIARY, KINDS
from scripts.servers.server import Server, ServerError
from scripts.servers.tls import TLS_KINDS
from tests.support import hypothesis_profiles, needs, scheduling, scratch, summaries

#: Set by scripts/test where it may install packages.
MAY_INSTALL = "STACKL_FLOW_TEST_INSTALL"
SCRATCH = pytest.StashKey[Path | None]()
FAILED = pytest.StashKey[bool]()


def pytest_configure(config) -> None:
    config.stash[SCRATCH] = scratch.use_memory()
    hypothesis_profiles.load_profile()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config) -> None:
    # After a failure the files stay for a look at them, until the next run.
    directory = config.stash.get(SCRATCH, None)
    if directory is not None and not config.stash.get(FAILED, False):
        shutil.rmtree(directory, ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    # "load" is the default of -n; any other value was chosen with --dist.
    if config.getvalue("dist") != "load":
        return None
    config.option.loadscopereorder = False
    return scheduling.FileScheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if needs.servers_of(item):
            item.add_marker("server")
    if "PYTEST_XDIST_WORKER" in os.environ:
        items[:] = scheduling.longest_first(items)


def pytest_collection_finish(session):
    # Before any test starts: an installation may take longer than a test may.
    if os.environ.get(MAY_INSTALL) and not session.config.option.collectonly:
        missing = needs.install(session.items)
        if missing:
            warnings.warn(pytest.PytestWarning(missing), stacklevel=1)


def pytest_sessionfinish(session, exitstatus):
    session.config.stash[FAILED] = exitstatus != pytest.ExitCode.OK
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["summaries"] = {s: dict(counts) for s, counts in summaries.COUNTS.items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    summaries.merge(getattr(node, "workeroutput", {}).get("summaries", {}))


def pytest_terminal_summary(terminalreporter):
    for section, lines in summaries.sections().items():
        terminalreporter.section(section)
        for line in lines:
            terminalreporter.write_line(line)


def make_server(name, make=Server, **kwargs):
    """Make a server; where it is not installed, the test is skipped, or fails in CI."""
    kind = {**KINDS, **AUXILIARY, **TLS_KINDS}[name]
    try:
        if os.environ.get(MAY_INSTALL):
            packages.install([kind])
        return make(kind, **kwargs)
    except ServerError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


def serve(name):
    """Yield the URL of a server: the one in the environment, else one that is started for this session."""
    given = os.environ.get(KINDS[name].variable)
    if given:
        yield given
        return
    server = make_server(name)
    try:
        server.start()
        yield server.url
    finally:
        server.close()


@pytest.fixture(scope="session")
def redis_url():
    yield from serve("redis")


@pytest.fixture(scope="session")
def zookeeper_url():
    yield from serve("zookeeper")


@pytest.fixture(scope="session")
def etcd_url():
    yield from serve("etcd")


@pytest.fixture(scope="session")
def postgresql_url():
    yield from serve("postgresql")


@pytest.fixture(scope="session")
def mysql_url():
    yield from serve("mysql")


def new_servers():
    """Yield a function that starts a server for one test or module, which may stop, kill and restart it."""
    made = []

    def start(name, *options):
        server = make_server(name, options=options)
        made.append(server)
        server.start()
        return server

    yield start
    for server in made:
        server.close()


@pytest.fixture(scope="module")
def new_cluster():
    """Give a function that starts a cluster: three servers of one kind by default."""
    made = []

    def start(name, size=3):
        cluster = make_server(name, Cluster, size=size)
        made.append(cluster)
        cluster.start()
        return cluster

    yield start
    for cluster in made:
        cluster.close()


new_server = pytest.fixture(new_servers)
new_server_of_module = pytest.fixture(new_servers, scope="module")


@pytest.fixture
def disk_path():
    """A temporary directory on disk, unlike ``tmp_path``: syncing it has its price."""
    with scratch.on_disk() as directory:
        yield Path(directory)
