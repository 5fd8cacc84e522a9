"""What remains of each job after a round: from the effect log, the board and the history of its flow."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stackl_flow import exceptions as exc
from stackl_flow.jobboards.base import JobBoard
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.records import FlowRecord, Transition
from tests.support.chaos import effects
from tests.support.chaos.effects import Effect
from tests.support.chaos.plan import JobSpec


class JobTrace(NamedTuple):
    """All that is known about one job.

    Attributes:
        spec: what was posted.
        state: its state on the board, such as "succeeded" or "dead"; empty if unknown.
        outcome: its outcome on the board.
        flows: its flows that have had an owner: one, or none for a job without a flow.
        history: the transitions of its flow.
        effects: the side effects of its tasks, oldest first.
        end_reports: how many times a conductor reported that it finished the job.
    """

    spec: JobSpec
    state: str = ""
    outcome: Mapping[str, Any] = {}
    flows: Sequence[FlowRecord] = ()
    history: Sequence[Transition] = ()
    effects: Sequence[Effect] = ()
    end_reports: int = 0


def format_trace(trace: JobTrace) -> list[str]:
    """Format a trace for a failure message."""
    lines = [f"job {trace.spec.number} ({trace.spec.kind}), {trace.state}: {dict(trace.outcome)}"]
    lines += [f"  {record}" for record in trace.flows]
    lines += [f"  {m.seq:3d} {m.at:.3f} {m.who} {m.atom or '*'} {m.old} -> {m.new}" for m in trace.history]
    lines += [f"  {e.owner} did {e.what} {e.atom} (attempt {e.attempt})" for e in trace.effects]
    return lines


def book_name(spec: JobSpec) -> str:
    """Return the name of a job and of its logbook."""
    return f"job-{spec.number}"


def collect_traces(
    posted: Mapping[JobSpec, str], board: JobBoard, store: Backend, effect_log: Path, reports: Path
) -> list[JobTrace]:
    """Collect the traces of all jobs, by number."""
    done: dict[int, list[Effect]] = defaultdict(list)
    for effect in effects.read(effect_log):
        done[effect.job].append(effect)
    ends = (
        Counter(line.split(" ")[0] for line in reports.read_text().splitlines())
        if reports.exists()
        else Counter()
    )
    flows: dict[str, list[FlowRecord]] = defaultdict(list)
    traces = []
    with store.get_connection() as connection:
        names = {book.uuid: book.name for book in connection.get_logbooks(lazy=True)}
        for record in connection.list_flow_records():
            if record.epoch:
                flows[names[record.book_uuid]].append(record)
        for spec, uuid in posted.items():
            owned = flows[book_name(spec)]
            history = [transition for record in owned for transition in connection.get_history(record.uuid)]
            state, outcome = _end(board, uuid)
            traces.append(JobTrace(spec, state, outcome, owned, history, done[spec.number], ends[uuid]))
    return sorted(traces, key=lambda trace: trace.spec.number)


def _end(board: JobBoard, uuid: str) -> tuple[str, Mapping[str, Any]]:
    try:
        found = board.get_snapshot(uuid)
    except exc.NotFound:
        return "", {}
    return found.state, (found.outcome or {}).get("outcome", {})
