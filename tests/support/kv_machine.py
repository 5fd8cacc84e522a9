"""Random histories of a key-value store, compared step by step with the in-memory reference."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from stackl_flow import exceptions as exc
from stackl_flow.kv.backends.memory import MemoryKV
from stackl_flow.kv.items import ABSENT, PRESENT, Check, Item, Lease, Put
from stackl_flow.kv.store import KV
from stackl_flow.testing.clock import SteppedClock
from stackl_flow.testing.contracts.kv import KVContract, OpenKV

KEYS = ["a", "a/b", "a/b/c", "a-b", "a/bc", "b/1", "b/2", "c"]
PREFIXES = ["", "a", "a/", "a/b", "b/", "c", "d"]
#: Versions that a check requires.
REQUIRED = ["current", "previous", "absent", "present"]

#: Seconds; longer than any history takes.
TTL = 600.0


class KVMachine(RuleBasedStateMachine):
    """Applies the same operations to a store and to the reference and compares the results.

    Their versions differ, so both are kept for each write.
    """

    def __init__(self, stores: tuple[KV, KV], pass_time: Callable[[float], None] | None) -> None:
        super().__init__()
        self.stores = stores
        self.clock = SteppedClock()
        self.reference = MemoryKV(clock=self.clock)
        self.pass_time = pass_time
        self.turn = 0
        self.versions: dict[str, list[tuple[int, int]]] = {}
        self.leases: list[tuple[Lease, Lease]] = []

    @property
    def kv(self) -> KV:
        """The two clients of the store alternately."""
        self.turn += 1
        return self.stores[self.turn % 2]

    @initialize()
    def empty(self) -> None:
        """Start with an empty store."""
        self.kv.commit(deletes=[item.key for item in self.kv.list()])

    def check(self, key: str, required: str, side: int) -> Check:
        """Make a check for the store (0) or for the reference (1)."""
        if required in {"absent", "present"}:
            return Check(key, ABSENT if required == "absent" else PRESENT)
        known = self.versions.get(key, [])
        back = 1 if required == "current" else 2
        return Check(key, known[-back][side] if len(known) >= back else ABSENT)

    @rule(
        keys=st.lists(st.sampled_from(KEYS), max_size=4, unique=True),
        deleted=st.integers(0, 4),
        wanted_checks=st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(REQUIRED)), max_size=2),
        value=st.text(max_size=5).filter(lambda text: text.isprintable()),
        leased=st.sampled_from(["none", "all", "some"]),
    )
    def commit(
        self, keys: list[str], deleted: int, wanted_checks: list[tuple[str, str]], value: str, leased: str
    ) -> None:
        """Write and delete with checks that may fail."""
        lease = self.leases[-1] if leased != "none" and self.leases else None
        results: list[tuple[str, int]] = []
        for side, kv in enumerate((self.kv, self.reference)):
            on = [None if lease is None else lease[side].id, None]
            every = 2 if leased == "some" else 1
            checks = [self.check(key, required, side) for key, required in wanted_checks]
            results.append(
                attempt(
                    kv,
                    checks=checks,
                    puts=[Put(key, value, on[n % every]) for n, key in enumerate(keys[deleted:])],
                    deletes=keys[:deleted],
                )
            )
        assert results[0][0] == results[1][0]
        if not results[0][0]:
            for key in keys[deleted:]:
                self.versions.setdefault(key, []).append((results[0][1], results[1][1]))

    @rule()
    def grant(self) -> None:
        """Grant a lease."""
        lease = self.kv.grant(TTL)
        self.leases.append((lease, self.reference.grant(lease.ttl)))

    @rule(which=st.integers(0, 3))
    def extend(self, which: int) -> None:
        """Extend a lease, lost or not."""
        if self.leases:
            leases = self.leases[which % len(self.leases)]
            errors = [
                extend_error(kv, lease) for kv, lease in zip((self.kv, self.reference), leases, strict=True)
            ]
            assert errors[0] == errors[1]

    @rule(which=st.integers(0, 3))
    def revoke(self, which: int) -> None:
        """Revoke a lease."""
        if self.leases:
            ours, theirs = self.leases[which % len(self.leases)]
            self.kv.revoke(ours)
            self.reference.revoke(theirs)

    @rule()
    def expire(self) -> None:
        """Let all leases expire; without a stepped clock, revoke them instead."""
        longest = max((lease.ttl for lease, _ in self.leases), default=0.0) * 1.2
        self.clock.step(longest)
        if self.pass_time is not None:
            self.pass_time(longest)
            return
        for lease, _ in self.leases:
            self.kv.revoke(lease)

    @rule(
        prefix=st.sampled_from(PREFIXES),
        after=st.sampled_from(["", *KEYS, "a/b0", "b"]),
        limit=st.none() | st.integers(1, 3),
        reverse=st.booleans(),
    )
    def read(self, prefix: str, after: str, limit: int | None, reverse: bool) -> None:
        """List a range."""
        mine = self.kv.list(prefix, after, limit, reverse=reverse)
        theirs = self.reference.list(prefix, after, limit, reverse=reverse)
        assert [shape(item) for item in mine] == [shape(item) for item in theirs]

    @rule(
        keys=st.lists(st.sampled_from(KEYS), max_size=3),
        prefixes=st.lists(st.sampled_from(PREFIXES), max_size=3),
    )
    def read_many(self, keys: list[str], prefixes: list[str]) -> None:
        """Compare bulk reads with single reads."""
        kv = self.kv
        assert kv.get_many(keys) == [kv.get(key) for key in keys]
        assert kv.list_many(prefixes) == [kv.list(prefix) for prefix in prefixes]

    @invariant()
    def same(self) -> None:
        """Both have the same items, with the versions that commits returned."""
        mine, theirs = self.kv.list(), self.reference.list()
        assert [shape(item) for item in mine] == [shape(item) for item in theirs]
        for item, twin in zip(mine, theirs, strict=True):
            if item.key in self.versions:
                assert (item.version, twin.version) == self.versions[item.key][-1]
        for key in KEYS[:2]:
            assert (self.kv.get(key) is None) == (self.reference.get(key) is None)


def shape(item: Item) -> tuple[str, str, bool]:
    """Return what must be equal on both sides."""
    return item.key, item.value, item.lease is not None


def attempt(kv: KV, **what: Any) -> tuple[str, int]:
    """Commit; return the name of the error and the version."""
    try:
        return "", kv.commit(**what)
    except (exc.Conflict, exc.LeaseLost) as error:
        return type(error).__name__, 0


def extend_error(kv: KV, lease: Lease) -> str:
    """Extend a lease; return the name of the error."""
    try:
        kv.extend(lease)
    except exc.LeaseLost as error:
        return type(error).__name__
    return ""


def compare_with_reference(
    stores: tuple[KV, KV], pass_time: Callable[[float], None] | None, examples: int, steps: int
) -> None:
    """Run random histories on a store, by two clients of it, and on the reference."""
    made = partial(KVMachine, stores, pass_time)
    run_state_machine_as_test(
        cast("type[RuleBasedStateMachine]", made),
        settings=hypothesis.settings(max_examples=examples, stateful_step_count=steps, database=None),
    )


class ComparedKVContract(KVContract):
    """The contract of a store, and a comparison of random histories with the reference."""

    #: How many random histories, and of how many steps each.
    EXAMPLES = 40
    STEPS = 30

    @pytest.mark.timeout(300)
    def test_like_the_reference(self, open_kv: OpenKV) -> None:
        """Whatever is done in whatever order, the store results as memory does."""
        with open_kv() as kv, open_kv() as other:
            pass_time = self.pass_time if self.STEPPED else None
            compare_with_reference((kv, other), pass_time, self.EXAMPLES, self.STEPS)
