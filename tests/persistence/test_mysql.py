"""MariaDB keeps the contract, on a real server; each test has a database of its own."""

import uuid

import pytest
import sqlalchemy as sa

from stackl_flow.persistence import backends
from stackl_flow.testing.contracts.persistence import PersistenceContract


@pytest.fixture
def address(mysql_url):
    name = f"flows_{uuid.uuid4().hex}"
    engine = sa.create_engine(sa.make_url(mysql_url).set(drivername="mysql+pymysql"))
    with engine.connect() as server:
        server.execute(sa.text(f"CREATE DATABASE {name} CHARACTER SET latin1"))
        yield mysql_url.rpartition("/")[0] + f"/{name}"
        server.execute(sa.text(f"DROP DATABASE {name}"))
    engine.dispose()


class TestMariaDB(PersistenceContract):
    @pytest.fixture
    def backend(self, address):
        with backends.backend(address) as backend:
            yield backend
