"""Bad input: each case raises one error that names cause and remedy, and leaves stored data intact."""

import contextlib
import datetime as dt
import os
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

import pytest

from stackl_flow import GraphFlow, LinearFlow, engines, retry, states, task
from stackl_flow import exceptions as exc
from stackl_flow.persistence import backends, factory
from tests.engines.tasks import Step, final_state, states_of, steps

# ------------------------------------------------------------------ the flow itself


@pytest.mark.parametrize("keep", [False, True])
def test_missing_requirement(backend, log, keep):
    flow = LinearFlow("shop").add(Step("pay", log, requires=["card"]))
    with pytest.raises(exc.MissingDependencies, match=r"(?s)'shop'.*\['card'\].*store=.*pay") as caught:
        engines.run(flow, backend=backend if keep else None)
    assert isinstance(caught.value, exc.StacklFlowError)
    assert log == []


def test_flow_with_missing_input_can_run_once_it_is_injected(backend, log):
    flow = LinearFlow("shop").add(Step("pay", log, requires=["card"]))
    detail = factory.create_flow_detail(flow, backend=backend)
    with pytest.raises(exc.MissingDependencies):
        engines.run(flow, flow_detail=detail, backend=backend)
    with backend.get_connection() as connection:
        stored = connection.get_flow_details(detail.uuid)
    engines.run(flow, store={"card": 1}, flow_detail=stored, backend=backend)
    assert log == ["pay"]


def test_unknown_name_in_requires():
    with pytest.raises(ValueError, match=r"atom pay: \['wallet'\]"):
        task.FunctorTask(lambda card: None, name="pay", requires=["wallet"])


def test_duplicate_atom_names(load, log):
    with pytest.raises(exc.Duplicate, match=r"\['a', 'b'\].*name="):
        load(LinearFlow("f").add(*steps("ab", log), LinearFlow("in").add(*steps("bca", log)))).run()
    assert log == []


def test_retry_with_the_name_of_a_task(load, log):
    with pytest.raises(exc.Duplicate, match=r"\['a'\]"):
        load(LinearFlow("f", retry=retry.Times(1, "a")).add(Step("a", log))).run()


def test_cycle_of_links_is_reported_with_its_atoms(log):
    a, b, c, d = steps("abcd", log)
    flow = GraphFlow("ring").add(a, b, c, d).link(a, b).link(b, c)
    with pytest.raises(exc.DependencyFailure, match=r"'ring'.*'c' -> 'a' -> 'b' -> 'c'") as caught:
        flow.link(c, a)
    assert "'d'" not in str(caught.value)
    engines.run(flow)
    assert sorted(log) == ["a", "b", "c", "d"]


def test_cycle_of_dependencies_is_reported_with_its_atoms():
    flow = GraphFlow("ring").add(
        Step("egg", [], requires=["hen"], provides="egg"), Step("far", [], provides="far")
    )
    with pytest.raises(
        exc.DependencyFailure, match=r"cycle 'hen' -> 'egg' -> 'hen'|cycle 'egg' -> 'hen' -> 'egg'"
    ):
        flow.add(Step("hen", [], requires=["egg"], provides="hen"))
    assert len(flow) == 2


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (Step, "<class.* is a class: pass an instance, Step"),
        (lambda: None, "<function.* is neither a task nor a flow.*FunctorTask"),
        ("a", "'a' is neither a task nor a flow.*FunctorTask"),
        (None, "None is neither a task nor a flow"),
    ],
)
@pytest.mark.parametrize("kind", [LinearFlow, GraphFlow])
def test_item_that_is_not_a_task(kind, item, message):
    with pytest.raises(exc.NotAnAtom, match=f"'shop': {message}") as caught:
        kind("shop").add(item)
    # TaskFlow raises a TypeError.
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("item", [Step, None, "a", lambda: None])
def test_flow_that_is_not_a_flow(item):
    with pytest.raises(exc.NotAnAtom, match=r"not a task or flow: .* is (neither a task|a class)"):
        engines.run(item)


# ------------------------------------------------------------------ values that cannot be stored


@pytest.mark.parametrize("kind", ["serial", "parallel"])
def test_result_that_cannot_be_stored_fails_its_task_and_reverts_the_flow(backend, log, kind):
    flow = LinearFlow("f").add(
        Step("a", log, provides="x"), Step("open", log, result={"handle": object()}), Step("c", log)
    )
    detail = factory.create_flow_detail(flow, backend=backend)
    engine = engines.load(flow, flow_detail=detail, backend=backend, engine=kind)
    with pytest.raises(exc.NotSerializable, match=r"(?s)atom 'open'.*handle.*object.*regist"):
        engine.run()
    assert log == ["a", "open", "-open", "-a"]
    assert engine.storage.get_flow_state() == states.REVERTED
    with backend.get_connection() as connection:
        assert connection.get_flow_details(detail.uuid).state == states.REVERTED


def _deep():
    value = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    "result", ["name\udcff", {"\ud800": 1}, _deep(), {"a": ({"b": _deep()},)}], ids=range(4)
)
def test_result_with_lone_surrogates_or_deep_nesting_fails_its_task(backend, log, result):
    flow = LinearFlow("f").add(Step("a", log), Step("odd", log, result=result), Step("c", log))
    engine = engines.load(flow, backend=backend)
    with pytest.raises(exc.NotSerializable, match="atom 'odd'"):
        engine.run()
    assert log == ["a", "odd", "-odd", "-a"]
    with backend.get_connection() as connection:
        assert connection.get_flow_details(engine.storage.flow_uuid).state == states.REVERTED


def test_result_without_json_form_is_accepted_without_a_backend(load, log):
    assert final_state(load(Step("open", log, result=object()))) == states.SUCCESS


def test_retry_can_recover_from_a_result_that_cannot_be_stored(backend):
    results = [object(), 5]
    work = task.FunctorTask(lambda: results.pop(0), name="a", provides="x")
    flow = LinearFlow("f", retry=retry.Times(2, "r")).add(work)
    assert engines.run(flow, backend=backend)["x"] == 5


def test_retry_value_that_cannot_be_stored_fails_the_retry(backend, log):
    flow = LinearFlow("f", retry=retry.ForEach([object()], "r", provides="x")).add(Step("a", log))
    with pytest.raises(exc.NotSerializable, match="atom 'r'"):
        engines.run(flow, backend=backend)
    assert log == []


def test_revert_result_that_cannot_be_stored_is_dropped_and_the_rollback_continues(backend, log):
    class Undo(Step):
        def revert(self, **kwargs):
            super().revert()
            return object()

    engine = engines.load(LinearFlow("f").add(Undo("a", log), Step("b", log, fails=1)), backend=backend)
    assert final_state(engine, ValueError) == states.REVERTED
    assert log == ["a", "b", "-b", "-a"]


def test_exception_with_arguments_that_cannot_be_stored_is_stored_without_them(backend):
    class Odd(Exception):
        pass

    def fail():
        raise Odd("odd", object())

    flow = task.FunctorTask(fail, name="a")
    detail = factory.create_flow_detail(flow, backend=backend)
    engine = engines.load(flow, flow_detail=detail, backend=backend)
    assert final_state(engine, Odd) == states.REVERTED
    with backend.get_connection() as connection:
        (stored,) = connection.get_flow_details(detail.uuid)
    assert "Odd" in stored.failure.exc_type_names[0]


def test_rich_types_are_stored_and_restored(backend):
    moment = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    value = {"when": moment, "set": {1}, 5: (1, 2), "raw": b"\x00"}
    flow = task.FunctorTask(lambda: value, name="a", provides="x")
    detail = factory.create_flow_detail(flow, backend=backend)
    engines.run(flow, flow_detail=detail, backend=backend)
    with backend.get_connection() as connection:
        (stored,) = connection.get_flow_details(detail.uuid)
    assert stored.results == value


# ------------------------------------------------------------------ databases


@pytest.fixture
def path(tmp_path):
    return tmp_path / "flows.db"


@pytest.fixture
def stored(path, log):
    """Return the uuid of a flow a -> b -> c in a closed database, suspended after a."""
    with backends.backend(f"sqlite:///{path}") as backend:
        flow = chain(log)
        detail = factory.create_flow_detail(flow, backend=backend)
        engine = engines.load(flow, flow_detail=detail, backend=backend)
        engine.atom_notifier.register("SUCCESS", lambda *_, **__: engine.suspend())
        engine.run()
    log.clear()
    return detail.uuid


def chain(log):
    return LinearFlow("f").add(*steps("abc", log))


def resume(path, uuid, flow, options=""):
    with backends.fetch(f"sqlite:///{path}{options}") as backend:
        with backend.get_connection() as connection:
            detail = connection.get_flow_details(uuid)
        return engines.run(flow, flow_detail=detail, backend=backend)


def test_missing_database_is_reported(path, log):
    with pytest.raises(exc.StorageFailure, match=rf"{path}.*(db upgrade|upgrade)"):
        engines.run(chain(log), backend=f"sqlite:///{path}")
    assert log == []


def test_missing_directory_is_reported(tmp_path, log):
    with pytest.raises(exc.StorageFailure, match=r"no/flows.db.*create it first"):
        engines.run(chain(log), backend=f"sqlite:///{tmp_path}/no/flows.db")
    assert log == []


def test_unknown_backend_is_reported(log):
    with pytest.raises(exc.NotFound, match=r"nosuch.*memory.*sqlite"):
        engines.run(chain(log), backend="nosuch://here")


def test_database_with_a_newer_schema_is_reported(path, stored, log):
    with contextlib.closing(sqlite3.connect(path)) as other:
        (table,) = other.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%version%'"
        ).fetchone()
        (known,) = other.execute(f"SELECT version_num FROM {table}").fetchone()  # noqa: S608  our own table
        other.execute(f"UPDATE {table} SET version_num = '0999'")  # noqa: S608  our own table
        other.commit()
    with pytest.raises(exc.IncompatibleVersion, match=rf"{path}.*newer.*update"):
        engines.run(chain(log), backend=f"sqlite:///{path}")
    assert log == []
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute(f"UPDATE {table} SET version_num = ?", (known,))  # noqa: S608  our own table
        other.commit()
    resume(path, stored, chain(log))
    assert log == ["b", "c"]


def test_file_that_is_not_a_database_is_reported(path, log):
    path.write_text("a letter to a friend " * 100)
    with pytest.raises(exc.StorageFailure, match=rf"{path}.*is not a SQLite database"):
        engines.run(chain(log), backend=f"sqlite:///{path}")
    assert log == []
    assert path.read_text().startswith("a letter")


def test_corrupt_database_is_reported(path, stored, log):
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for page in range(1, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xa5" * 4096)
    with pytest.raises(exc.StorageFailure, match=rf"{path}.*damaged.*restore a backup"):
        engines.run(chain(log), backend=f"sqlite:///{path}")
    assert log == []


@contextlib.contextmanager
def locked(path):
    """Hold the database's write lock."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_locked_database_is_reported(path, stored, log):
    with locked(path), pytest.raises(exc.StorageFailure, match=rf"{path}.*locked by another process"):
        resume(path, stored, chain(log), "?timeout=0.05&retry_delay=0")
    assert log == []
    resume(path, stored, chain(log))
    assert log == ["b", "c"]


def history_is_sound(backend, uuid):
    """Check that each transition starts in the state in which the previous one ended."""
    current = {}
    with backend.get_connection() as connection:
        for transition in connection.get_history(uuid):
            assert current.setdefault(transition.atom, states.PENDING) == transition.old, transition
            current[transition.atom] = transition.new
        assert {each.name: each.state for each in connection.get_flow_details(uuid)} == {
            name: state for name, state in current.items() if name is not None
        }


@pytest.mark.parametrize("same_engine", [True, False])
@pytest.mark.parametrize("kind", ["serial", "parallel"])
def test_database_locked_during_a_run(path, stored, log, same_engine, kind):
    with (
        contextlib.ExitStack() as lock,
        backends.fetch(f"sqlite:///{path}?timeout=0.05&retry_delay=0") as backend,
    ):
        flow = LinearFlow("f").add(
            Step("a", log),
            task.FunctorTask(
                lambda: log.append("b") or (lock.enter_context(locked(path)) if len(log) < 2 else None),
                name="b",
            ),
            Step("c", log),
        )
        with backend.get_connection() as connection:
            detail = connection.get_flow_details(stored)
        engine = engines.load(flow, flow_detail=detail, backend=backend, engine=kind)
        with pytest.raises(exc.StorageFailure, match=rf"{path}.*locked by another process"):
            engine.run()
        assert log == ["b"]
        lock.close()
        if not same_engine:
            with backend.get_connection() as connection:
                detail = connection.get_flow_details(stored)
            engine = engines.load(flow, flow_detail=detail, backend=backend, engine=kind)
        # What was not stored did not happen: b runs again.
        assert final_state(engine) == states.SUCCESS
        assert log == ["b", "b", "c"]
        history_is_sound(backend, stored)


def test_full_database_during_a_run(path, log):
    with backends.backend(f"sqlite:///{path}") as backend:
        flow = LinearFlow("f").add(Step("a", log), Step("big", log, result="x" * 3_000_000), Step("c", log))
        detail = factory.create_flow_detail(flow, backend=backend)
    with pytest.raises(exc.StorageFailure, match=rf"{path}.*full.*free some space"):
        resume(path, detail.uuid, flow, "?max_page_count=200&retry_delay=0")
    assert log == ["a", "big"]
    resume(path, detail.uuid, flow)
    assert log == ["a", "big", "big", "c"]
    with backends.fetch(f"sqlite:///{path}") as backend:
        history_is_sound(backend, detail.uuid)


@contextlib.contextmanager
def as_nobody():
    """Switch to an unprivileged user; root may write to any file."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_read_only_database_is_reported(log):
    directory = Path(tempfile.mkdtemp())  # other users cannot access tmp_path
    directory.chmod(0o755)
    path = directory / "flows.db"
    address = f"sqlite:///{path}?journal_mode=DELETE"
    flow = LinearFlow("f").add(*steps("ab", log))
    try:
        with backends.backend(address) as backend:
            detail = factory.create_flow_detail(flow, backend=backend)
        path.chmod(0o444)
        with backends.fetch(address) as backend:
            engine = engines.load(flow, flow_detail=detail, backend=backend)
            with as_nobody(), pytest.raises(exc.StorageFailure, match=rf"{path}.*is read-only.*writable"):
                engine.run()
        assert log == []
        path.chmod(0o644)
        with backends.fetch(address) as backend:
            assert final_state(engines.load(flow, flow_detail=detail, backend=backend)) == states.SUCCESS
        assert log == ["a", "b"]
    finally:
        shutil.rmtree(directory)


# ------------------------------------------------------------------ factories


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no_such_module.flow", "there is no module 'no_such_module' on the import path"),
        ("no_such_module.deeper.flow", "there is no module 'no_such_module' on the import path"),
        ("tests.engines.nowhere:flow", "there is no module 'tests.engines.nowhere' on the import path"),
        ("tests.engines.no_such_module.flow", "module 'tests.engines' has no 'no_such_module.flow'"),
        (
            "tests.engines.factories.no_such_function",
            "module 'tests.engines.factories' has no 'no_such_function'",
        ),
        ("tests.engines.factories.NO_FUNCTION", "it is an int and not callable; name a function"),
        ("tests.engines.factories:NO_FUNCTION", "it is an int and not callable; name a function"),
        ("letters", "it is not the name of a function: write package.module:function"),
        ("", "it is not the name of a function: write package.module:function"),
        (".flow", "it is not the name of a function: write package.module:function"),
        ("tests..flow", "it is not the name of a function: write package.module:function"),
    ],
)
def test_factory_that_cannot_be_imported(name, reason):
    with pytest.raises(exc.FactoryNotFound, match=f"'{name}': ({reason})") as caught:
        engines.load_from_factory(name)
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, exc.NotFound)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "import no_such_library_anywhere",
            "module 'broken_factory_module' imports 'no_such_library_anywhere', which is not installed",
        ),
        ("1 / 0", "importing module .* raised ZeroDivisionError: division by zero"),
        ("def flow(:", "importing module .* raised SyntaxError"),
        ("raise SystemExit(0)", "importing .* exits; .* __name__ == '__main__'"),
    ],
)
def test_factory_in_a_broken_module_is_reported_with_the_reason(tmp_path, monkeypatch, body, reason):
    (tmp_path / "broken_factory_module.py").write_text(f"{body}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(exc.FactoryNotFound, match=f"(?s)'broken_factory_module.flow': {reason}") as caught:
        engines.load_from_factory("broken_factory_module.flow")
    assert caught.value.cause is not None


def test_stored_flow_can_be_resumed_once_its_factory_is_available_again(tmp_path, monkeypatch, backend):
    module = tmp_path / "coming_and_going.py"
    source = (
        "from stackl_flow import LinearFlow, FunctorTask\n"
        "def flow():\n"
        "    return LinearFlow('f').add(FunctorTask(lambda: 5, name='a', provides='x'))\n"
    )
    module.write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    engine = engines.load_from_factory("coming_and_going.flow", backend=backend)
    with backend.get_connection() as connection:
        detail = connection.get_flow_details(engine.storage.flow_uuid)
    monkeypatch.delitem(sys.modules, "coming_and_going")
    module.rename(tmp_path / "gone.py")
    with pytest.raises(exc.FactoryNotFound, match=r"'coming_and_going.flow'.*import path"):
        engines.load_from_detail(detail, backend=backend)
    (tmp_path / "gone.py").rename(module)
    again = engines.load_from_detail(detail, backend=backend)
    assert final_state(again) == states.SUCCESS
    assert again.storage.fetch("x") == 5
    assert states_of(again) == {"a": states.SUCCESS}
