"""The contract, on MariaDB; each test has a database of its own, in another character set."""

import pytest

from stackl_flow.persistence import backends
from stackl_flow.testing.contracts.persistence import PersistenceContract
from tests.support import databases


@pytest.fixture
def url(mysql_url):
    with databases.new_database(mysql_url, "CHARACTER SET latin1") as database:
        yield database.url


class TestMariaDB(PersistenceContract):
    @pytest.fixture
    def backend(self, url):
        with backends.backend(url) as backend:
            yield backend
