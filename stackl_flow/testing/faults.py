"""Fault injection: make the n-th call of a store, a backend or a board fail, and check what remains.

`crash` ends the process; here the process lives on with an error. The call fails *before* it did anything; or
it fails *after* it was done, as when the answer of a server is lost; or it *hangs*, and is done late; or the
leases of its store *expire* just before it. `Faults` selects calls by number and by method; `FaultyKV`,
`FaultyBackend` and `faulty_board` wrap a real store, backend or board, which really reads and writes.
`each_call` repeats a scenario with a fault in its first call, its second, and so on, as `crash` does with
kills::

    for faults in each_call([Kind.BEFORE, Kind.AFTER]):
        run(FaultyKV(make_store(), faults))   # may raise what was injected
        recover()                             # without faults
        check()

The same plan and the same scenario have the same faults. A scenario with several threads may number its calls
differently in each run; what must hold afterwards is the same.
"""

from __future__ import annotations

import enum
import random
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple, Self, TypeVar, cast

from stackl_flow import exceptions as exc
from stackl_flow.jobboards.base import ClaimBatch, Job, JobBoard
from stackl_flow.kv.items import Check, Item, Lease, Limits, Put
from stackl_flow.kv.store import KV, LockItems
from stackl_flow.persistence.base import Backend
from stackl_flow.testing.interception import InterceptedBackend

T = TypeVar("T")

#: The methods of a board in which faults are injected; its attributes are never faulty.
BOARD_METHODS: Final = frozenset(
    {
        "abandon",
        "claim",
        "complete_and_claim",
        "consume",
        "extend",
        "find_owner",
        "get_job",
        "get_snapshot",
        "iterjobs",
        "list",
        "post",
        "post_many",
        "register_entity",
        "trash",
        "wait",
        "wait_for",
    }
)


class Kind(enum.Enum):
    """How a call fails."""

    #: It raises, and nothing was done.
    BEFORE = "before"
    #: It is done, and raises all the same.
    AFTER = "after"
    #: It waits until `Faults.release` or for `Fault.seconds`, and is done then.
    HANG = "hang"
    #: The leases granted by this `FaultyKV` expire, then it is done; no fault elsewhere.
    EXPIRE = "expire"


def storage_failure(method: str, kind: Kind) -> BaseException:
    """Return the error that stores raise when they cannot be used."""
    outcome = "its outcome is unknown" if kind is Kind.AFTER else "nothing was written"
    return exc.StorageFailure(f"injected fault: '{method}' failed, {outcome}")


def driver_error(method: str, kind: Kind) -> BaseException:
    """Return an error as a driver raises it, which a backend has failed to translate."""
    return ConnectionResetError(f"injected fault: the connection was reset {kind.value} '{method}'")


#: Makes the error of a fault from the name of the method and the kind.
ErrorFactory = Callable[[str, Kind], BaseException]


class Fault(NamedTuple):
    """One fault.

    Attributes:
        at: number of the call, from 1, among the calls of ``methods``.
        kind: how it fails.
        methods: names of methods; None for all.
        times: how many calls fail, this one included; None for all from this one on.
        error: makes the error.
        seconds: how long a call hangs at most.
    """

    at: int
    kind: Kind = Kind.BEFORE
    methods: Collection[str] | None = None
    times: int | None = 1
    error: ErrorFactory = storage_failure
    seconds: float = 60.0

    def includes(self, number: int) -> bool:
        """Return whether a call fails, by its number among the calls of ``methods``."""
        return number >= self.at and (self.times is None or number < self.at + self.times)


class Faults:
    """Injects faults into the calls of all stores, backends and boards that share this object.

    Threads may share it.

    Args:
        faults: the faults; of several for the same call, the first is injected.

    Attributes:
        calls: the methods that were called, in order.
        injected: the methods in which a fault was injected, in order.
    """

    def __init__(self, *faults: Fault) -> None:
        self.calls: list[str] = []
        self.injected: list[str] = []
        self._faults: tuple[Fault, ...] = faults
        self._numbers = [0] * len(faults)
        self._lock = threading.Lock()
        self._released = threading.Event()

    @classmethod
    def seeded(cls, seed: int, calls: int, rate: float = 0.1, kinds: Sequence[Kind] = tuple(Kind)) -> Faults:
        """Return faults at random among a number of calls, always the same for the same arguments.

        Args:
            seed: selects the faults.
            calls: the number of calls among which faults are distributed; later calls do not fail.
            rate: the probability that a call fails.
            kinds: the kinds of faults.
        """
        dice = random.Random(seed)  # noqa: S311  reproducible
        made = [
            Fault(at, dice.choice(kinds), seconds=0.05) for at in range(1, calls + 1) if dice.random() < rate
        ]
        return cls(*made)

    def perform(self, method: str, call: Callable[[], T], expire: Callable[[], object] | None = None) -> T:
        """Make a call, with its fault if it has one.

        Args:
            method: the name of the method.
            call: calls the real method.
            expire: ends the leases of a store.

        Raises:
            Exception: what the real method raises, or the error of the fault.
        """
        fault = self._next(method)
        if fault is None:
            return call()
        if fault.kind is Kind.HANG:
            self._released.wait(fault.seconds)
            return call()
        if fault.kind is Kind.EXPIRE:
            if expire is not None:
                expire()
            return call()
        if fault.kind is Kind.AFTER:
            call()
        raise fault.error(method, fault.kind)

    def add(self, *faults: Fault) -> None:
        """Inject further faults; their calls are numbered from now on."""
        with self._lock:
            self._faults = (*self._faults, *faults)
            self._numbers += [0] * len(faults)

    def release(self) -> None:
        """Inject no more faults, and let the calls that hang continue."""
        with self._lock:
            self._faults = ()
        self._released.set()

    def _next(self, method: str) -> Fault | None:
        """Count a call; return its fault, if any."""
        with self._lock:
            self.calls.append(method)
            found = None
            for index, fault in enumerate(self._faults):
                if fault.methods is None or method in fault.methods:
                    self._numbers[index] += 1
                    if found is None and fault.includes(self._numbers[index]):
                        found = fault
            if found is not None:
                self.injected.append(method)
            return found

    def __repr__(self) -> str:
        faults = ", ".join(
            f"{fault.kind.value} call {fault.at}"
            + (f" of {'/'.join(sorted(fault.methods))}" if fault.methods else "")
            for fault in self._faults
        )
        return f"<Faults {faults or 'none'}, injected: {', '.join(self.injected) or 'none'}>"


def each_call(
    kinds: Iterable[Kind] = (Kind.BEFORE, Kind.AFTER),
    methods: Collection[str] | None = None,
    errors: Iterable[ErrorFactory] = (storage_failure,),
    *,
    step: int = 1,
    times: int | None = 1,
    seconds: float = 60.0,
) -> Iterator[Faults]:
    """Yield a plan for each call of a scenario: run the scenario with it before you take the next.

    A series ends with the first run that makes fewer calls than its fault's number: so the last run of each
    series has no fault.

    Args:
        kinds: the kinds of faults, one series each.
        methods: only calls of these methods.
        errors: makers of errors, one series each.
        step: 1 for each call, 3 for each third one.
        times: see `Fault`.
        seconds: see `Fault`.
    """
    for kind in kinds:
        for error in errors:
            at = 1
            while True:
                faults = Faults(Fault(at, kind, methods, times, error, seconds))
                yield faults
                faults.release()
                if not faults.injected:
                    break
                at += step


class FaultyKV(KV):
    """A key-value store that forwards all operations to a real one and injects faults.

    Args:
        store: the real store.
        faults: the faults.
    """

    def __init__(self, store: KV, faults: Faults) -> None:
        super().__init__(store.conf, store.clock)
        self.is_shared = store.is_shared
        self.list_is_snapshot = store.list_is_snapshot
        self.supports_locks = store.supports_locks
        self._store = store
        self._faults = faults
        self._granted: list[Lease] = []

    @property
    def limits(self) -> Limits:  # type: ignore[override]  # those of some stores are known once connected
        """The limits of the real store."""
        return self._store.limits

    @property
    def name(self) -> str:
        """The name of the real store."""
        return self._store.name

    def close(self) -> None:
        """Close the real store."""
        self._store.close()

    def snapshot(self) -> AbstractContextManager[None]:
        """Return the context of the real store."""
        return self._store.snapshot()

    def external_transaction(self, connection: Any) -> AbstractContextManager[None]:
        """Return the context of the real store."""
        return self._store.external_transaction(connection)

    def run_with_locks(self, work: Callable[[LockItems], T]) -> T:
        """Run a transaction of the real store; its own commits may fail, too."""
        return self._perform("run_with_locks", lambda: self._store.run_with_locks(work))

    def _get(self, key: str) -> Item | None:
        return self._perform("get", lambda: self._store.get(key))

    def _list(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> list[Item]:
        return self._perform("list", lambda: self._store.list(prefix, after, limit, reverse=reverse))

    def _get_many(self, keys: Sequence[str]) -> list[Item | None]:
        return self._perform("get_many", lambda: self._store.get_many(keys))

    def _list_many(self, prefixes: Sequence[str]) -> list[list[Item]]:
        return self._perform("list_many", lambda: self._store.list_many(prefixes))

    def _commit(
        self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str], lease: str | None
    ) -> int:
        del lease
        return self._perform("commit", lambda: self._store.commit(checks, puts, deletes))

    def _grant(self, lease: Lease) -> Lease:
        granted = self._perform("grant", lambda: self._store.grant(lease.ttl))
        self._granted.append(granted)
        return granted

    def _extend(self, lease: Lease) -> bool:
        def extend() -> bool:
            try:
                self._store.extend(lease)
            except exc.LeaseLost:
                return False
            return True

        return self._perform("extend", extend)

    def _revoke(self, lease: Lease) -> None:
        self._perform("revoke", lambda: self._store.revoke(lease))

    def _wait(self, prefix: str, since: int, timeout: float | None) -> int:
        return self._perform("wait", lambda: self._store.wait(prefix, since, timeout))

    def _perform(self, method: str, call: Callable[[], T]) -> T:
        return self._faults.perform(method, call, self._expire)

    def _expire(self) -> None:
        """End the leases, as the store does with those that are not extended."""
        while self._granted:
            self._store.revoke(self._granted.pop())


class FaultyBackend(InterceptedBackend):
    """A persistence backend that forwards all calls to a real one and injects faults.

    Each public method of a connection, such as ``checkpoint`` and ``take_ownership``, is one call.

    Args:
        backend: the real backend.
        faults: the faults.
    """

    def __init__(self, backend: Backend, faults: Faults) -> None:
        super().__init__(backend, faults.perform)


def faulty_board(board: JobBoard, faults: Faults) -> JobBoard:
    """Return a board that forwards all calls to a real one and injects faults.

    The jobs that it returns use it, too. ``dead_letters`` and ``membership`` have no faults: wrap the store
    of the board in a `FaultyKV` for faults everywhere.

    Args:
        board: the real board.
        faults: the faults.
    """
    return cast("JobBoard", _FaultyBoard(board, faults))


class _FaultyBoard:
    """A board that forwards everything."""

    def __init__(self, board: JobBoard, faults: Faults) -> None:
        self._board = board
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._board, name)
        if name not in BOARD_METHODS:
            return found

        def faulty(*args: Any, **kwargs: Any) -> Any:
            return self._with_this_board(self._faults.perform(name, lambda: found(*args, **kwargs)))

        return faulty

    def __enter__(self) -> Self:
        self._board.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._board.close()

    def _with_this_board(self, result: Any) -> Any:
        """Return a result whose jobs use this board."""
        if isinstance(result, Job):
            result.board = cast("JobBoard", self)
        elif isinstance(result, ClaimBatch):
            for job in result.jobs:
                job.board = cast("JobBoard", self)
        elif isinstance(result, Iterator):
            return map(self._with_this_board, result)
        return result
