"""The contract of a backend with values that are too large for it, and with many that fit.

`contracts.persistence.PersistenceContract` includes it.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from stackl_flow import engines, retry, states, task
from stackl_flow import exceptions as exc
from stackl_flow.patterns import linear_flow, unordered_flow
from stackl_flow.persistence import factory
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import FlowDetail, LogBook

#: Limits above so many bytes are not tried.
MAX_TESTED = 20_000_000


class _Step(task.Task):
    """Records what is done with it, and returns a text of some length."""

    def __init__(self, name: str, log: list[str], size: int = 1) -> None:
        super().__init__(name)
        self.log = log
        self.size = size

    def execute(self) -> Any:
        self.log.append(f"+{self.name}")
        return "x" * self.size

    def revert(self, **_: Any) -> None:
        self.log.append(f"-{self.name}")


class _Talkative(_Step):
    """Reports progress with long details."""

    def execute(self) -> Any:
        self.update_progress(0.5, note="x" * self.size)
        return super().execute()[:1]


class _Failing(_Step):
    """Raises a long error, with a long cause."""

    def execute(self) -> Any:
        super().execute()
        raise RuntimeError("x" * self.size) from ValueError("c" * self.size)


class _Together(_Step):
    """Returns, or fails, when all of its kind have started."""

    def __init__(self, name: str, log: list[str], size: int, gate: threading.Barrier, fails: bool) -> None:
        super().__init__(name, log, size)
        self.gate = gate
        self.fails = fails

    def execute(self) -> Any:
        result = super().execute()
        self.gate.wait(60)
        if self.fails:
            raise RuntimeError(result)
        return result


class SizesContract:
    """A value that is too large is its atom's failure; values that fit are stored, however many."""

    @pytest.fixture
    def backend(self) -> Backend:
        """Return an empty and upgraded backend."""
        raise NotImplementedError("define the fixture backend in the subclass")

    def _limit(self, backend: Backend) -> int:
        with backend.get_connection() as conn:
            conn.get_logbooks()
            limit = conn.max_value
        if limit is None or limit > MAX_TESTED:
            pytest.skip("the backend has no limit that a test reaches")
        return limit

    def test_result_that_is_too_large(self, backend: Backend) -> None:
        """It is a failure of its atom, and the flow is reverted, every time it is run."""
        limit = self._limit(backend)
        book, detail = factory.temporary_flow_detail(backend)
        for _ in range(2):
            log: list[str] = []
            flow = linear_flow.Flow("f").add(_Step("a", log), _Step("big", log, limit + 1), _Step("c", log))
            engine = engines.load(flow, flow_detail=detail, book=book, backend=backend)
            with pytest.raises(exc.ValueTooLarge, match=r"atom 'big' has \d+ bytes") as caught:
                engine.run()
            assert caught.value.limit == limit
            assert caught.value.size is not None
            assert caught.value.size > limit
            assert log == ["+a", "+big", "-big", "-a"]
            stored = _stored(backend, book, detail)
            assert stored.state == states.REVERTED
            assert [(atom.name, atom.state) for atom in stored] == [
                ("a", states.REVERTED),
                ("big", states.REVERTED),
                ("c", states.PENDING),
            ]
            detail = stored

    def test_result_of_the_largest_size(self, backend: Backend) -> None:
        """A result that the backend says it accepts is stored, through all transitions that follow."""
        limit = self._limit(backend)
        log: list[str] = []
        book, detail = factory.temporary_flow_detail(backend)
        flow = linear_flow.Flow("f").add(_Step("big", log, limit - 8), _Failing("fails", log, 10_000))
        with pytest.raises(RuntimeError):
            engines.run(flow, flow_detail=detail, book=book, backend=backend)
        assert log == ["+big", "+fails", "-fails", "-big"]
        assert _stored(backend, book, detail).state == states.REVERTED

    def test_long_error(self, backend: Backend) -> None:
        """An error of any length is stored, cut if need be."""
        log: list[str] = []
        book, detail = factory.temporary_flow_detail(backend)
        flow = linear_flow.Flow("f").add(_Step("a", log), _Failing("fails", log, 3_000_000))
        with pytest.raises(RuntimeError):
            engines.run(flow, flow_detail=detail, book=book, backend=backend)
        assert log == ["+a", "+fails", "-fails", "-a"]
        failure = next(atom for atom in _stored(backend, book, detail) if atom.name == "fails").failure
        assert failure is not None
        assert failure.check(RuntimeError)
        assert failure.exception_str.startswith("xxx")
        assert "left out" in failure.exception_str

    def test_progress_that_is_too_large(self, backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
        """It is left out, with a warning, and the flow goes on."""
        limit = self._limit(backend)
        log: list[str] = []
        book, detail = factory.temporary_flow_detail(backend)
        flow = linear_flow.Flow("f").add(_Talkative("talks", log, limit + 1), _Step("b", log))
        with caplog.at_level(logging.WARNING):
            engines.run(flow, flow_detail=detail, book=book, backend=backend)
        assert "progress details of atom 'talks' are not stored" in caplog.text
        assert _stored(backend, book, detail).state == states.SUCCESS
        assert log == ["+talks", "+b"]

    @pytest.mark.parametrize(("size", "fails"), [(20_000, False), (3_000, True)])
    def test_many_at_once(self, backend: Backend, size: int, fails: bool) -> None:
        """Results and failures that arrive together are stored, and each atom is called once."""
        log: list[str] = []
        gate = threading.Barrier(_COUNT)
        atoms = [_Together(f"t{n}", log, size, gate, fails) for n in range(_COUNT)]
        book, detail = factory.temporary_flow_detail(backend)
        flow = linear_flow.Flow("f").add(unordered_flow.Flow("all").add(*atoms), _Step("last", log))
        engine = engines.load(
            flow, flow_detail=detail, book=book, backend=backend, engine="parallel", max_workers=_COUNT
        )
        if fails:
            with pytest.raises(exc.WrappedFailure) as caught:
                engine.run()
            assert len(caught.value) == _COUNT
        else:
            engine.run()
        assert sorted(line for line in log if line[0] == "+" and line != "+last") == sorted(
            f"+{atom.name}" for atom in atoms
        )
        stored = _stored(backend, book, detail)
        if fails:
            assert stored.state == states.REVERTED
            assert sorted(line for line in log if line[0] == "-") == sorted(f"-{atom.name}" for atom in atoms)
        else:
            assert stored.state == states.SUCCESS
            assert {len(atom.results) for atom in stored if atom.name != "last"} == {size}

    def test_long_history_of_a_retry(self, backend: Backend) -> None:
        """However long it becomes, the flow ends, and what was done is reverted."""
        log: list[str] = []
        book, detail = factory.temporary_flow_detail(backend)
        flow = linear_flow.Flow("f", retry=retry.Times(40)).add(
            _Step("a", log), _Failing("fails", log, 60_000)
        )
        with pytest.raises((RuntimeError, exc.ValueTooLarge)):
            engines.run(flow, flow_detail=detail, book=book, backend=backend)
        assert _stored(backend, book, detail).state == states.REVERTED
        assert log.count("+a") == log.count("-a") == log.count("+fails") == log.count("-fails")

    def test_metadata_that_is_too_large(self, backend: Backend) -> None:
        """It is refused where it is set, and changes nothing."""
        limit = self._limit(backend)
        log: list[str] = []
        book, detail = factory.temporary_flow_detail(backend)
        engine = engines.load(
            linear_flow.Flow("f").add(_Step("a", log)), flow_detail=detail, book=book, backend=backend
        )
        engine.compile()
        engine.prepare()
        changes: list[Callable[[dict[str, str]], object]] = [
            engine.storage.inject,
            engine.storage.update_flow_metadata,
            functools.partial(engine.storage.update_atom_metadata, "a"),
        ]
        for change in changes:
            with pytest.raises(exc.ValueTooLarge) as caught:
                change({"blob": "x" * (limit + 1)})
            assert caught.value.size is not None
            assert caught.value.size > (caught.value.limit or 0)
        engine.storage.inject({"small": 1})
        engine.run()
        assert _stored(backend, book, detail).state == states.SUCCESS
        assert log == ["+a"]

    def test_inputs_that_are_too_large(self, backend: Backend) -> None:
        """A flow with such inputs is not stored."""
        limit = self._limit(backend)
        flow = linear_flow.Flow("f").add(_Step("a", []))
        with pytest.raises(exc.ValueTooLarge, match="input 'blob'") as caught:
            engines.load(flow, store={"small": 1, "blob": "x" * (2 * limit)}, backend=backend)
        assert caught.value.size is not None
        assert caught.value.size > (caught.value.limit or 0)
        with backend.get_connection() as conn:
            assert conn.get_logbooks() == []


#: How many values arrive together.
_COUNT = 300


def _stored(backend: Backend, book: LogBook, detail: FlowDetail) -> FlowDetail:
    with backend.get_connection() as conn:
        stored = conn.get_logbook(book.uuid).find(detail.uuid)
    assert stored is not None
    return stored
