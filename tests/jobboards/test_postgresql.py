"""A board in a PostgreSQL database passes the contract, with owners that are killed."""

import uuid

import pytest
import sqlalchemy as sa

from stackl_flow.testing.contracts.jobboards import JobBoardContract


class TestPostgreSQL(JobBoardContract):
    @pytest.fixture
    def address(self, postgresql_url):
        name = f"board_{uuid.uuid4().hex}"
        url = sa.make_url(postgresql_url).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        yield postgresql_url.rpartition("/")[0] + f"/{name}"
        with engine.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()
