"""The mutations: each is one defect in crash or fault handling, with the tests that must see it.

A mutation replaces a text that occurs once in a file. When the code changes and the text is gone, find where
the same decision is made now; a decision that nothing makes any more needs no mutation.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Mutation(NamedTuple):
    """One defect.

    Attributes:
        name: what the defect is, in a few words joined by "-".
        path: the file, relative to the root of the repository.
        old: a text that occurs once in it.
        new: what replaces it.
        tests: arguments of pytest; at least one of the tests must fail.
    """

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]


_BOARD: Final = "tests/faults/test_board.py"
_CONDUCTOR: Final = "tests/faults/test_conductor.py"
_ENGINE: Final = "tests/faults/test_engine.py"
_FILES: Final = "tests/faults/test_files.py"

MUTATIONS: Final = (
    Mutation(
        "end-of-claim-ignores-dead-lease",
        "stackl_flow/jobboards/transactions.py",
        "return Writes((Check(claimed, job.version), owner), puts, (claimed,))",
        "return Writes((Check(claimed, job.version),), puts, (claimed,))",
        (_BOARD, "-k", "memory and lease_that_expired"),
    ),
    Mutation(
        "unsynced-record-stays-readable",
        "stackl_flow/kv/backends/directory/journal.py",
        "            self._discard(len(data))\n            raise",
        "            raise",
        (_FILES,),
    ),
    Mutation(
        "heartbeat-ignores-death-of-parent",
        "stackl_flow/coordination/heartbeat.py",
        "return bool(self._parent.is_running()) and self._parent.status() != psutil.STATUS_ZOMBIE",
        "return True",
        ("tests/faults/test_heartbeat_process.py",),
    ),
    Mutation(
        "sqlite-syncs-not-every-commit",
        "stackl_flow/databases/sqlite.py",
        "given.get('synchronous', 'FULL')",
        "given.get('synchronous', 'NORMAL')",
        ("tests/faults/test_power_loss.py",),
    ),
    Mutation(
        "storage-failure-consumes-job",
        "stackl_flow/conductors/job_runner.py",
        "    if state in {st.REVERTED, st.SUCCESS} or (",
        "    if state != st.REVERT_FAILURE or (",
        (_CONDUCTOR, "-k", "memory-good-flows"),
    ),
    Mutation(
        "claims-in-doubt-are-not-settled",
        "stackl_flow/jobboards/claims.py",
        "        self._uncertain.append(_ClaimInDoubt(job, owner, lease))\n",
        "",
        (_BOARD, "-k", "memory and any_call_of_the_store"),
    ),
    Mutation(
        "outcomes-are-dropped-when-the-board-fails",
        "stackl_flow/conductors/prefetch.py",
        "                self._pending[:0] = pending\n",
        "                del pending\n",
        (_CONDUCTOR, "-k", "memory-good-store"),
    ),
    # Like those.
    Mutation(
        "engine-keeps-what-was-not-written",
        "stackl_flow/engines/engine.py",
        "        self._is_prepared = self._backend is None\n",
        "        self._is_prepared = True\n",
        (_ENGINE, "-k", "memory and same_engine"),
    ),
    Mutation(
        "unwritten-changes-are-written-by-the-next-run",
        "stackl_flow/engines/journal.py",
        "            self._buffer = WriteBuffer()\n            self._layout = None\n",
        "            self._layout = None\n",
        (_ENGINE, "-k", "memory and same_engine"),
    ),
    Mutation(
        "superseded-owner-may-write",
        "stackl_flow/persistence/backends/memory.py",
        "            if flow.epoch != cp.epoch:\n",
        "            if flow.epoch < cp.epoch:\n",
        (_CONDUCTOR, "-k", "memory and hang"),
    ),
    Mutation(
        "batches-do-not-settle-claims-in-doubt",
        "stackl_flow/jobboards/batches.py",
        "        if limit > 0:\n            self._claims.release_uncertain()\n",
        "",
        (_BOARD, "-k", "memory and any_call_of_the_store"),
    ),
    Mutation(
        "ended-rollback-is-run-again",
        "stackl_flow/conductors/job_runner.py",
        "        if last == LOST or (last and",
        "        if last == LOST or (not last and",
        (_CONDUCTOR, "-k", "memory-bad-flows"),
    ),
    Mutation(
        "close-gives-up-at-the-first-lease",
        "stackl_flow/jobboards/board.py",
        "        self._connected = False\n        self._watcher.stop()\n",
        "        self._watcher.stop()\n",
        (_BOARD, "-k", "memory and outage"),
    ),
    Mutation(
        "registration-on-a-lost-lease-is-final",
        "stackl_flow/jobboards/board.py",
        "            self._leases.drop(entity.name)\n",
        "            raise\n",
        (_CONDUCTOR, "-k", "memory and expire"),
    ),
    Mutation(
        "deferred-jobs-do-not-wait",
        "stackl_flow/jobboards/maintenance.py",
        "delay = self.delay(ended) if delays_all else 0.0",
        "delay = 0.0",
        (_CONDUCTOR, "-k", "memory and outage"),
    ),
    Mutation(
        "claim-on-a-dead-lease-is-made",
        "stackl_flow/jobboards/transactions.py",
        "(Check(waiting, version), Check(keys.owner(record.lease), PRESENT)),",
        "(Check(waiting, version),),",
        (_BOARD, "-k", "memory and no_claim_is_made"),
    ),
    Mutation(
        "repeated-post-makes-another-job",
        "stackl_flow/jobboards/transactions.py",
        "        checks += (Check(idempotency_key, ABSENT),)\n",
        "",
        (_BOARD, "-k", "memory and any_call_of_the_store"),
    ),
    Mutation(
        "lost-claim-is-completed-silently",
        "stackl_flow/jobboards/batches.py",
        "                rejected.append(RejectedCompletion(each, error))\n        return rejected",
        "                del error\n        return rejected",
        (_BOARD, "-k", "memory and lease_that_expired"),
    ),
    Mutation(
        "claims-without-work-are-kept",
        "stackl_flow/conductors/claim_monitor.py",
        "if now - since >= self._rescue_after]",
        "if now - since >= 1e9]",
        (_CONDUCTOR, "-k", "memory-good-board"),
    ),
    Mutation(
        "a-record-that-cannot-be-cut-off-stays-readable",
        "stackl_flow/kv/backends/directory/journal.py",
        "            # What was never written is read in the same way as this.\n            os.pwrite(",
        "            (lambda *_: None)(",
        (_FILES,),
    ),
)
