"""A board in a MariaDB database passes the contract, with owners that are killed."""

import uuid

import pytest
import sqlalchemy as sa

from stackl_flow.testing.contracts.jobboards import JobBoardContract


class TestMariaDB(JobBoardContract):
    @pytest.fixture
    def address(self, mysql_url):
        name = f"board_{uuid.uuid4().hex}"
        engine = sa.create_engine(sa.make_url(mysql_url).set(drivername="mysql+pymysql"))
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
            yield mysql_url.rpartition("/")[0] + f"/{name}"
            connection.execute(sa.text(f"DROP DATABASE {name}"))
        engine.dispose()
