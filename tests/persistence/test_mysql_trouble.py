"""MariaDB is restarted, connections are killed, answers are lost: what was stored stays, and lands once."""

import uuid

import pytest
import sqlalchemy as sa

from stackl_flow import states
from stackl_flow.persistence import backends, models
from stackl_flow.testing.contracts.persistence import atom_update, checkpoint, with_tasks
from tests.persistence.trouble import RUN, WRONG, Place, TroubleContract, fails


@pytest.fixture
def place(mysql_url):
    """A database of its own."""
    name = f"flows_{uuid.uuid4().hex}"
    engine = sa.create_engine(
        sa.make_url(mysql_url).set(drivername="mysql+pymysql"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as server:
        server.execute(sa.text(f"CREATE DATABASE {name}"))

        def cut():
            query = sa.text("SELECT id FROM information_schema.processlist WHERE db = :name")
            found = server.execute(query, {"name": name}).scalars().all()
            assert found
            for number in found:
                server.execute(sa.text(f"KILL {number}"))

        yield Place(mysql_url.rpartition("/")[0] + f"/{name}", cut, server, name)
        server.execute(sa.text(f"DROP DATABASE {name}"))
    engine.dispose()


class TestTrouble(TroubleContract):
    @pytest.fixture
    def place(self, place):
        return place

    @pytest.fixture
    def server(self, new_server):
        return new_server("mysql")


def test_large_values_and_names_that_differ_in_case(place):
    with (
        backends.backend(place.address.replace("mysql:", "mariadb:")) as backend,
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


def test_what_cannot_be_used(place):
    url = sa.make_url(place.address)

    def changed(**parts):
        return url.set(**parts).render_as_string(hide_password=False)

    fails(changed(port=1, password=WRONG), ":***@127.0.0.1:1", "check that the server runs")
    fails(changed(database="nobody_has_this"), "nobody_has_this", "create it first")
    fails(changed(username="nobody", password=WRONG), "check user and password")
    fails(f"{place.address}?ssl_verify_cert=yes&ssl_ca=/dev/null", "TLS")
    place.server.execute(sa.text(f"CREATE TABLE {url.database}.logbooks (mine TEXT)"))
    fails(place.address, "another program", "(logbooks)", verb="upgrade")
