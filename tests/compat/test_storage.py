"""TaskFlow's storage: without an engine, and that of an engine."""

import threading

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import retry, states, task
from stackl_flow.compat.engines import helpers
from stackl_flow.compat.persistence import backends
from stackl_flow.compat.storage import Storage
from stackl_flow.failure import Failure
from stackl_flow.patterns import linear_flow
from stackl_flow.persistence import factory, models


class Pair(task.Task):
    default_provides = ("left", "right")

    def execute(self):
        return 1, 2


class Needs(task.Task):
    def execute(self, left, other=None):
        return left


@pytest.fixture(params=["memory", "sqlite"])
def backend(request, tmp_path):
    address = "memory" if request.param == "memory" else f"sqlite:///{tmp_path}/flows.db?retry_delay=0"
    with backends.backend(address) as backend:
        yield backend


@pytest.fixture
def storage(backend):
    _, flow = factory.temporary_flow_detail(backend)
    return Storage(flow, backend=backend)


def stored(backend, storage):
    with backend.get_connection() as conn:
        return conn.get_flow_details(storage.flow_uuid)


def run_in_threads(count, do):
    threads = [threading.Thread(target=do, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_changes_are_stored(backend, storage):
    why = Failure.from_exception(RuntimeError("no luck"))
    one, two, three = storage.ensure_atoms([Pair("p"), retry.AlwaysRevert("r"), Needs("n")])
    storage.save("p", (1, 2))
    storage.save("r", "first")
    storage.save_retry_failure("r", "n", why)
    storage.save("n", why, states.FAILURE)
    storage.set_atom_intention("n", states.REVERT)
    storage.set_task_progress("n", 0.25, {"at": "half"})
    storage.update_atom_metadata("n", [("k", 1)])
    storage.inject_atom_args("n", {"other": 3}, transient=False)
    storage.inject([("given", 4)])
    storage.update_flow_metadata({"note": 5})
    assert storage.change_flow_state(states.RUNNING) == (True, states.PENDING)

    flow = stored(backend, storage)
    assert (flow.state, flow.meta["note"], flow.meta["injected"]) == (states.RUNNING, 5, {"given": 4})
    assert list(flow.find(one).results) == [1, 2]
    assert flow.find(one).version == "1.0"
    assert flow.find(two).results[0][1]["n"].matches(why)
    needs = flow.find(three)
    assert (needs.state, needs.intention, needs.progress) == (states.FAILURE, states.REVERT, 0.25)
    assert (needs.meta["k"], needs.meta["injected"]) == (1, {"other": 3})
    assert storage.fetch_all() == {"left": 1, "right": 2, "given": 4}
    assert storage.get_failures() == {"n": why}
    storage.reset("n")
    assert not storage.has_failures()
    assert stored(backend, storage).find(three).failure is None


def test_another_storage_of_the_same_flow(backend, storage):
    storage.ensure_atom(Pair("p"))
    storage.save("p", Failure.from_exception(RuntimeError("x")), states.FAILURE)
    other = Storage(stored(backend, storage), backend=backend)
    assert list(other.get_failures()) == ["p"]
    other.ensure_atom(Pair("p"))
    other.save("p", (5, 6))
    assert other.fetch("right") == 6
    assert storage.get_atom_uuid("p") == other.get_atom_uuid("p")


def test_many_threads(backend, storage):
    run_in_threads(20, lambda number: (storage.ensure_atom(Pair("p")), storage.inject({str(number): number})))
    assert len(stored(backend, storage)) == 1
    assert sorted(stored(backend, storage).meta["injected"].values()) == list(range(20))
    with storage.lock.write_lock(), storage.lock.read_lock():
        assert len(storage.fetch_all()) == 20


def test_a_failed_write_changes_nothing(backend, storage):
    storage.ensure_atom(Pair("p"))
    with backend.get_connection() as conn:
        conn.clear_all()
    for write in (
        lambda: storage.save("p", (1, 2)),
        lambda: storage.set_flow_state(states.RUNNING),
        lambda: storage.ensure_atom(Needs("n")),
    ):
        with pytest.raises(exc.NotFound):
            write()
    assert (storage.get_atom_state("p"), storage.get_flow_state()) == (states.PENDING, states.PENDING)
    with pytest.raises(exc.NotFound, match="Unknown atom name 'n'"):
        storage.get_atom_uuid("n")


def test_scope_fetcher(backend):
    _, flow = factory.temporary_flow_detail(backend)
    requested = []
    scopes = {"n": [["near"], ["far"]]}
    storage = Storage(flow, backend, scope_fetcher=lambda name: requested.append(name) or scopes.get(name))
    storage.ensure_atoms([Pair("far"), Pair("near"), Needs("n"), Needs("blind")])
    storage.save("far", ("far", 0))
    wants = {"left": "left"}
    assert storage.fetch_unsatisfied_args("n", wants) == set()
    assert storage.fetch_unsatisfied_args("blind", wants) == {"left"}
    assert storage.fetch_unsatisfied_args("blind", wants, optional_args=["left"]) == set()
    assert storage.fetch_unsatisfied_args("blind", wants, scope_walker=[["near"]]) == set()
    assert storage.fetch_mapped_args(wants, "n", scope_walker=[["far"]]) == {"left": "far"}
    storage.save("near", ("near", 0))
    assert storage.fetch_mapped_args(wants, "n") == {"left": "near"}
    with pytest.raises(exc.NotFound, match="'left'"):
        storage.fetch_mapped_args(wants, "blind")
    storage.inject_atom_args("blind", [("left", "own")])
    assert storage.fetch_mapped_args(wants, "blind") == {"left": "own"}
    assert set(requested) == {"n", "blind"}


def test_bad_atoms(storage):
    with pytest.raises(TypeError, match="Unknown atom"):
        storage.ensure_atom("p")
    with pytest.raises(ValueError, match="non-empty"):
        storage.ensure_atom(Pair(""))
    storage.ensure_atoms([Pair("p"), retry.AlwaysRevert("r")])
    with pytest.raises(exc.Duplicate, match="'p' already exists"):
        storage.ensure_atom(retry.AlwaysRevert("p"))
    with pytest.raises(TypeError, match="'p' is not of the expected type"):
        storage.cleanup_retry_history("p", states.PENDING)
    with pytest.raises(TypeError, match="'r' is not of the expected type"):
        storage.set_task_progress("r", 0.5)
    with pytest.raises(exc.StorageFailure, match="has no attempts"):
        storage.save_retry_failure("r", "p", Failure.from_exception(RuntimeError()))


def test_an_engine_without_a_backend_has_a_memory_backend():
    engine = helpers.load(linear_flow.Flow("f").add(Pair("p")))
    engine.compile()
    engine.prepare()
    backend = engine.storage.backend
    (uuid,) = backend.memory.ls("/flow_details")
    engine.run()
    assert uuid == engine.storage.flow_uuid
    assert backend.memory.ls("/books") == []
    assert backend.memory[f"/flow_details/{uuid}"]["state"] == states.SUCCESS
    (atom,) = backend.memory.ls("/atom_details")
    assert backend.memory[f"/atom_details/{atom}"]["atom"]["meta"] == {"progress": 1.0}
    with backend.get_connection() as conn:
        assert conn.get_atom_details(atom).results == (1, 2)


def test_an_engine_continues_from_changes_to_its_storage(backend):
    flow = linear_flow.Flow("f").add(Pair("p"), Needs("n", provides="kept"))
    engine = helpers.load(flow, backend=backend)
    engine.compile()
    engine.prepare()
    assert engine.storage.backend is backend
    engine.storage.save("p", ("mine", 0))
    assert engine.storage.ensure_atoms(list(flow)) == [engine.storage.get_atom_uuid(n) for n in ("p", "n")]
    with pytest.raises(exc.InvalidState, match="no atoms"):
        engine.storage.ensure_atom(Pair("q"))
    engine.run()
    assert engine.storage.fetch("kept") == "mine"
    assert stored(backend, engine.storage).state == states.SUCCESS


def test_storage_without_a_backend():
    storage = Storage(models.FlowDetail("f", "u"))
    storage.ensure_atom(Pair("p"))
    storage.save("p", (threading.Lock(), 2))
    storage.set_flow_state(states.SUCCESS)
    assert (storage.fetch("right"), storage.get_flow_state()) == (2, states.SUCCESS)
