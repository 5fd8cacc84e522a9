"""Persistence under TaskFlow's names: settings, backends written for TaskFlow, the memory backend."""

import collections
import contextlib
import enum
import ipaddress
import itertools
import subprocess
import sys
import threading
import types
from typing import NamedTuple

import pytest

from stackl_flow import LinearFlow, engines, states, task
from stackl_flow import exceptions as exc
from stackl_flow.compat.persistence import backends, base, path_based
from stackl_flow.compat.persistence.backends import impl_dir, impl_memory, impl_sqlalchemy
from stackl_flow.persistence import backends as core_backends
from stackl_flow.persistence import factory, models
from stackl_flow.testing.clock import SteppedClock


class FileBackend(path_based.PathBasedBackend):
    """A backend written for TaskFlow: paths and links, without checkpoints."""

    DEFAULT_PATH = "/kept"

    def __init__(self, conf=None):
        super().__init__(conf)
        self.files = impl_memory.FakeFilesystem()

    def get_connection(self):
        return FileConnection(self)

    def close(self):
        pass


class FileConnection(path_based.PathBasedConnection):
    def _join_path(self, *parts):
        return "/".join(parts)

    def _get_item(self, path):
        return self.backend.files[path]

    def _set_item(self, path, value, transaction):
        self.backend.files[path] = value

    def _del_tree(self, path, transaction):
        del self.backend.files[path]

    def _get_children(self, path):
        return self.backend.files.ls(path)

    def _ensure_path(self, path):
        self.backend.files.ensure_path(path)

    def _create_link(self, src_path, dest_path, transaction):
        self.backend.files.symlink(src_path, dest_path)

    @contextlib.contextmanager
    def _transaction(self):
        yield

    def validate(self):
        pass


class Step(task.Task):
    def __init__(self, name, log, fail=False, **kwargs):
        super().__init__(name, provides=name, **kwargs)
        self.log = log
        self.fail = fail

    def execute(self):
        self.log.append(self.name)
        if self.fail:
            raise RuntimeError("no luck")
        return f"{self.name} done"

    def revert(self, *args, **kwargs):
        self.log.append(f"un{self.name}")


@pytest.fixture
def taskflow_backend():
    backend = FileBackend({"path": "/mine"})
    with backend.get_connection() as conn:
        conn.upgrade()
    return backend


def chain(log, **last):
    return LinearFlow("f").add(Step("a", log), Step("b", log, **last))


def test_a_taskflow_backend_stores_a_flow(taskflow_backend):
    log = []
    engine = engines.load(chain(log), backend=taskflow_backend, store={"x": 1})
    engine.run()

    assert log == ["a", "b"]
    with taskflow_backend.get_connection() as conn:
        (book,) = conn.get_logbooks()
        (flow,) = book
        assert flow.state == states.SUCCESS
        assert {atom.name: (atom.state, atom.results) for atom in flow} == {
            "a": (states.SUCCESS, "a done"),
            "b": (states.SUCCESS, "b done"),
        }
        assert flow.meta["injected"] == {"x": 1}
    assert taskflow_backend.files.ls("/mine") == ["books", "flow_details", "atom_details"]


def test_a_flow_resumes_from_a_taskflow_backend(taskflow_backend):
    log = []
    engine = engines.load(chain(log), backend=taskflow_backend)
    steps = engine.run_iter()
    while "a" not in log:
        next(steps)
    engine.suspend()
    list(steps)
    with taskflow_backend.get_connection() as conn:
        stored = conn.get_flow_details(engine.storage.flow_uuid)
    assert stored.state == states.SUSPENDED

    engines.load(chain(log), flow_detail=stored, backend=taskflow_backend).run()
    assert log == ["a", "b"]


def test_a_taskflow_backend_stores_a_rollback(taskflow_backend):
    log = []
    engine = engines.load(chain(log, fail=True), backend=taskflow_backend)
    with pytest.raises(RuntimeError, match="no luck"):
        engine.run()

    assert log == ["a", "b", "unb", "una"]
    with taskflow_backend.get_connection() as conn:
        flow = conn.get_flow_details(engine.storage.flow_uuid)
        failed = conn.get_atom_details(engine.storage.get_atom_uuid("b"))
    assert [atom.state for atom in flow] == [states.REVERTED, states.REVERTED]
    assert failed.failure.exception_str == "no luck"


def test_a_superseded_owner_cannot_write_to_a_taskflow_backend(taskflow_backend):
    log = []
    first = engines.load(chain(log), backend=taskflow_backend)
    first.compile()
    first.prepare()
    with taskflow_backend.get_connection() as conn:
        stored = conn.get_flow_details(first.storage.flow_uuid)
    second = engines.load(chain(log), flow_detail=stored, backend=taskflow_backend)
    second.compile()
    second.prepare()
    with pytest.raises(exc.OwnershipLost):
        first.run()
    second.run()
    assert log == ["a", "b"]


def test_checkpoints_to_a_taskflow_backend_are_retried(taskflow_backend, monkeypatch):
    clock = SteppedClock()
    taskflow_backend.clock = clock
    engine = engines.load(chain([]), backend=taskflow_backend)
    engine.compile()
    engine.prepare()
    write, failed = FileConnection._set_item, []

    def breaks(self, *args):
        if len(failed) < 2:
            failed.append(clock.monotonic())
            raise exc.StorageFailure("the disk is away")
        write(self, *args)

    monkeypatch.setattr(FileConnection, "_set_item", breaks)
    engine.run()
    assert [second - first for first, second in itertools.pairwise([*failed, clock.monotonic()])] == [
        5.0,
        5.0,
    ]
    with taskflow_backend.get_connection() as conn:
        assert conn.get_flow_details(engine.storage.flow_uuid).state == states.SUCCESS


def test_logbooks_in_a_taskflow_backend(taskflow_backend):
    book, flow = factory.temporary_flow_detail(taskflow_backend, meta={"k": 1})
    with taskflow_backend.get_connection() as conn:
        assert conn.get_logbook(book.uuid).find(flow.uuid).meta == {"k": 1}
        assert len(conn.get_logbook(book.uuid, lazy=True)) == 0
        conn.destroy_logbook(book.uuid)
        assert list(conn.get_logbooks()) == []
        with pytest.raises(exc.NotFound):
            conn.get_flow_details(flow.uuid)
        with pytest.raises(exc.NotFound):
            conn.update_flow_details(flow)
        conn.save_logbook(models.LogBook("b"))
        conn.clear_all()
        conn.upgrade()
        assert list(conn.get_logbooks()) == []


def test_backends_of_this_library_are_virtual_subclasses():
    with core_backends.fetch("memory") as backend:
        assert isinstance(backend, base.Backend)
        assert isinstance(backend.get_connection(), base.Connection)
        # The reverse does not hold for real subclasses.
        assert not isinstance(backend, FileBackend)
    assert not issubclass(dict, base.Backend)


def test_settings_must_be_a_dictionary():
    for make in (FileBackend, impl_memory.MemoryBackend, impl_dir.DirBackend):
        with pytest.raises(TypeError, match="dictionary"):
            make("memory")


@pytest.mark.parametrize(
    "conf", ["memory", "memory:", "memory://", {"connection": "memory", "path": "/here"}]
)
def test_names_of_the_memory_backend(conf):
    with backends.backend(conf) as backend:
        assert isinstance(backend, impl_memory.MemoryBackend)


def test_settings_in_the_url():
    with backends.backend("memory://?path=/here") as backend:
        assert backend.path == "/here"
        assert backend.memory.ls_r("/here", absolute=True)[-1] == "/here/books"


def test_unknown_backend():
    with pytest.raises(exc.NotFound, match=r"(?s)'nowhere'.*known backends are .*memory"):
        backends.fetch({"connection": "nowhere://x"})


def test_sqlite_accepts_taskflow_settings(tmp_path):
    address = f"sqlite:///{tmp_path}/flows.db?timeout=3"
    conf = {"connection": address, "max_retries": 5, "max_pool_size": 3, "isolation_level": "READ COMMITTED"}
    with backends.backend(conf) as backend:
        assert isinstance(backend, impl_sqlalchemy.SQLAlchemyBackend)
        factory.temporary_log_book(backend)
        engine = backend.engine
        with impl_sqlalchemy.SQLAlchemyBackend({}, engine=engine) as same, same.get_connection() as conn:
            assert [book.name for book in conn.get_logbooks()] == ["tmp"]


@pytest.mark.parametrize("connection", ["dir", "dir:", "file:///{path}", "file://"])
def test_names_of_the_directory_backend(tmp_path, connection):
    conf = {"connection": connection.format(path=tmp_path / "flows")}
    if "/flows" not in conf["connection"]:
        conf["path"] = str(tmp_path / "flows")
    log = []
    with backends.backend(conf) as backend:
        assert isinstance(backend, impl_dir.DirBackend)
        engine = engines.load(chain(log), backend=backend)
        engine.run()
    with backends.fetch(conf) as backend, backend.get_connection() as conn:
        assert conn.get_flow_details(engine.storage.flow_uuid).state == states.SUCCESS
    assert log == ["a", "b"]


@pytest.mark.parametrize("address", ["sqlite:///{}/flows.db", "file://{}"])
def test_data_stored_by_taskflow_is_rejected(tmp_path, address):
    write = (
        "import sys\n"
        "from taskflow.persistence import backends\n"
        "from taskflow.utils import persistence_utils\n"
        "with backends.backend({'connection': sys.argv[1], 'path': sys.argv[2]}) as backend:\n"
        "    persistence_utils.temporary_flow_detail(backend)\n"
    )
    address = address.format(tmp_path)
    subprocess.run([sys.executable, "-c", write, address, str(tmp_path)], check=True)
    with (
        pytest.raises(exc.StorageFailure, match=r"of its own|use another directory"),
        backends.backend({"connection": address, "path": str(tmp_path)}),
    ):
        pytest.fail("it was opened")


@pytest.mark.parametrize("conf", [{}, {"connection": "dir"}, {"path": "/x", "max_cache_size": 0}])
def test_invalid_settings_of_the_directory_backend(conf):
    with pytest.raises(ValueError, match=r"path|max_cache_size"):
        impl_dir.DirBackend(conf)


class Odd:
    """Has no JSON representation."""

    def __init__(self, inner):
        self.inner = inner


def stored_result(backend, value):
    engine = engines.load(task.FunctorTask(lambda: value, name="odd"), backend=backend)
    engine.run()
    with backend.get_connection() as conn:
        return conn.get_atom_details(engine.storage.get_atom_uuid("odd")).results


def test_memory_keeps_values_without_a_json_representation():
    value = Odd([1])
    backend = impl_memory.MemoryBackend({})
    result = stored_result(backend, value)
    assert type(result) is Odd
    # A copy is stored, and each read returns a copy.
    value.inner.append(2)
    assert result.inner == [1]
    assert stored_result(backend, {"a": (1, 2)}) == {"a": (1, 2)}


def test_deep_copy_of_the_memory_backend():
    inner = [1]
    result = stored_result(impl_memory.MemoryBackend({"deep_copy": False}), Odd(inner))
    assert result.inner is inner


def test_memory_rejects_values_that_cannot_be_copied():
    with pytest.raises(exc.NotSerializable, match="lock"):
        stored_result(impl_memory.MemoryBackend({"deep_copy": True}), threading.Lock())


class Pair(NamedTuple):
    left: int
    right: object


class Level(enum.IntEnum):
    HIGH = 3


class Word(str):
    __slots__ = ()


CONVERSIONS = [
    (collections.OrderedDict(a=Level.HIGH), {"a": 3}),
    (types.MappingProxyType({"a": {1}}), {"a": {1}}),
    (Pair(1, Pair(2, (3, Word("w")))), [1, [2, (3, "w")]]),
    ([collections.deque([1.5]), range(2)], [[1.5], [0, 1]]),
    ({Word("k"): ValueError("no")}, {"k": "ValueError('no')"}),
    (ipaddress.ip_address("10.0.0.1"), "10.0.0.1"),
    ({"kind": Pair}, {"kind": str(Pair)}),
]


@pytest.mark.parametrize(
    ("value", "converted"), CONVERSIONS, ids=[str(converted) for _, converted in CONVERSIONS]
)
@pytest.mark.parametrize("address", ["sqlite:///{}", "file:///{}"])
def test_other_backends_convert_values_to_plain_ones(tmp_path, address, value, converted):
    with backends.backend(address.format(tmp_path / "flows")) as backend:
        assert stored_result(backend, value) == converted


@pytest.mark.parametrize("address", ["sqlite:///{}", "file:///{}"])
def test_other_backends_reject_values_that_cannot_be_converted(tmp_path, address):
    cycle = collections.deque()
    cycle.append(cycle)
    with backends.backend(address.format(tmp_path / "flows")) as backend:
        for value, name in ((Odd([1]), "Odd"), ([Pair(1, Odd(1))], "Odd"), (cycle, "deque")):
            with pytest.raises(exc.NotSerializable, match=name):
                stored_result(backend, value)


def test_a_taskflow_backend_receives_live_values(taskflow_backend):
    value = Odd([1])
    assert stored_result(taskflow_backend, value).inner == [1]


def test_the_files_of_the_memory_backend():
    backend = impl_memory.MemoryBackend()
    engine = engines.load(chain([]), backend=backend)
    engine.run()
    with backend.get_connection() as conn:
        (book,) = conn.get_logbooks()
    (flow,) = book
    files = backend.memory

    path = f"/flow_details/{flow.uuid}"
    assert files.ls("/") == ["books", "flow_details", "atom_details"]
    assert files[f"/books/{book.uuid}/{flow.uuid}"]["state"] == states.SUCCESS
    atoms = [files[f"{path}/{uuid}"] for uuid in files.ls(path)]
    assert [(data["atom"]["name"], data["type"]) for data in atoms] == [
        ("a", "TASK_DETAIL"),
        ("b", "TASK_DETAIL"),
    ]
    assert f"(link to {path})" in files.pformat()


def test_the_fake_filesystem():
    files = impl_memory.FakeFilesystem()
    files.ensure_path("/a/b")
    files["/a/b/c"] = {"x": [1]}
    files["/a/b/c"]["x"].append(2)
    assert files.get("/a/b/c") == {"x": [1]}
    assert files.get("/nothing", "else") == "else"
    assert files.ls_r("/a") == ["b", "b/c"]
    with pytest.raises(ValueError, match="2 descendants"):
        files.delete("/a")
    files.delete("/", recursive=True)
    assert files.ls("/") == []
