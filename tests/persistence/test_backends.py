"""Finding a backend, and creating logbooks and flow details."""

import subprocess
import sys

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.jobboards import backends as boards
from stackl_flow.persistence import backends, factory
from stackl_flow.persistence.backends.memory import MemoryBackend


@pytest.mark.parametrize("conf", ["memory", "memory://x", {"connection": "memory"}])
def test_fetch(conf):
    assert isinstance(backends.fetch(conf), MemoryBackend)


def test_fetch_unknown():
    with pytest.raises(exc.NotFound, match=r"'carrier'.*memory.*sqlite"):
        backends.fetch("carrier://pigeon")
    with pytest.raises(exc.NotFound, match="memory"):
        backends.fetch("memory", namespace="no.such.namespace")
    with pytest.raises(exc.InvalidFormat, match="unknown option"):
        backends.fetch("memory?colour=red")


def test_memory_does_not_import_drivers():
    code = (
        "import sys; from stackl_flow.persistence import backends; backends.fetch('memory');"
        "print({'sqlalchemy', 'alembic', 'sqlite3'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


class Flow:
    name = "my flow"


def test_create_flow_detail():
    with backends.backend("memory") as backend:
        book = factory.temporary_log_book(backend)
        detail = factory.create_flow_detail(Flow(), book=book, backend=backend, meta={"a": 1})
        with backend.get_connection() as conn:
            found = conn.get_flow_details(detail.uuid)
            assert (found.name, found.meta) == ("my flow", {"a": 1})
            assert book.find(detail.uuid) is detail
            assert conn.get_flow_record(detail.uuid).book_uuid == book.uuid
            bookless = factory.create_flow_detail(Flow(), backend=backend)
            assert conn.get_flow_details(bookless.uuid).name == "my flow"
    unstored = factory.create_flow_detail(object())
    assert unstored.name == unstored.uuid


def test_a_new_flow_does_not_overwrite_the_others_of_its_logbook():
    with backends.backend("memory") as backend, backend.get_connection() as conn:
        book, mine = factory.temporary_flow_detail(backend)
        theirs = conn.get_flow_details(mine.uuid)
        theirs.state = "RUNNING"
        conn.update_flow_details(theirs)
        factory.create_flow_detail(Flow(), book=book, backend=backend)
        assert [fd.state for fd in conn.get_logbook(book.uuid)] == ["RUNNING", None]


def test_the_path_of_a_file_is_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with backends.backend("flows.db") as backend, boards.backend("jobs", "./jobs?timeout=1") as board:
        assert backend.name == "sqlite:///flows.db"
        board.post("job")
    assert {"flows.db", "jobs"} <= {file.name for file in tmp_path.iterdir()}
    with pytest.raises(exc.NotFound, match="'flows'"):
        backends.fetch("flows")
