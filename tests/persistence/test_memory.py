"""The contract, in memory."""

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.persistence import backends, factory
from stackl_flow.testing.contracts.persistence import PersistenceContract


class TestMemory(PersistenceContract):
    @pytest.fixture
    def backend(self):
        with backends.backend("memory") as backend:
            yield backend


def test_named_store_is_shared():
    with (
        backends.backend("memory://shared") as one,
        backends.backend({"connection": "memory://shared"}) as two,
    ):
        book = factory.temporary_log_book(one)
        assert two.get_connection().get_logbook(book.uuid).name == "tmp"
    with backends.backend("memory://other") as other, pytest.raises(exc.NotFound):
        other.get_connection().get_logbook(book.uuid)


def test_unnamed_stores_are_separate():
    with backends.backend("memory") as one, backends.backend("memory://") as two:
        book = factory.temporary_log_book(one)
        with pytest.raises(exc.NotFound):
            two.get_connection().get_logbook(book.uuid)
