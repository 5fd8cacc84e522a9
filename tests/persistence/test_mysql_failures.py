"""MariaDB is restarted, connections are killed, answers are lost: every write is applied once."""

import pytest
import sqlalchemy as sa

from stackl_flow import states
from stackl_flow.persistence import backends, models
from stackl_flow.testing.contracts.persistence import atom_update, checkpoint, with_tasks
from tests.persistence.server_failures import RUN, WRONG, ServerFailureContract, Target, fails
from tests.support import databases


@pytest.fixture
def target(mysql_url):
    with databases.new_database(mysql_url) as (url, name, server):

        def cut():
            query = sa.text("SELECT id FROM information_schema.processlist WHERE db = :name")
            found = server.execute(query, {"name": name}).scalars().all()
            assert found
            for number in found:
                server.execute(sa.text(f"KILL {number}"))

        yield Target(url, cut, server, name)


class TestServerFailures(ServerFailureContract):
    @pytest.fixture
    def target(self, target):
        return target

    @pytest.fixture
    def server(self, new_server):
        return new_server("mysql")


def test_large_values_and_names_that_differ_in_case(target):
    with (
        backends.backend(target.url.replace("mysql:", "mariadb:")) as backend,
        backend.get_connection() as conn,
    ):
        flow, (one,) = with_tasks(backend, 1)
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        text = "é😀" * 50_000
        conn.checkpoint(checkpoint(flow, epoch, [atom_update(one, states.SUCCESS, f'"{text}"')], RUN))
        assert conn.get_atom_details(one.uuid).results == text
        for uid in ("a-book", "A-BOOK"):
            conn.save_logbook(models.LogBook("x", uid))
        assert len(conn.get_logbooks()) == 3


def test_unusable_databases(target):
    url = sa.make_url(target.url)

    def changed(**parts):
        return url.set(**parts).render_as_string(hide_password=False)

    fails(changed(port=1, password=WRONG), ":***@127.0.0.1:1", "check that the server runs")
    fails(changed(database="no_such_database"), "no_such_database", "create it first")
    fails(changed(username="unknown", password=WRONG), "check user and password")
    fails(f"{target.url}?ssl_verify_cert=yes&ssl_ca=/dev/null", "TLS")
    target.server.execute(sa.text(f"CREATE TABLE {url.database}.logbooks (mine TEXT)"))
    fails(target.url, "another program", "(logbooks)", verb="upgrade")
