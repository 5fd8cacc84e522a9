"""What is left of each job when all is over: gathered from the ledger, the board and the flows' history."""

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


class Story(NamedTuple):
    """All that is known of one job.

    Attributes:
        spec: what was posted.
        head: where the board has it ("consumed", "trashed", or where it still is); empty if nowhere.
        outcome: what the board says came of it.
        flows: the flows of that job that somebody has owned; one, or none of a job without a flow.
        history: the moves of its flow.
        effects: what its tasks did, in order.
        told: how often a conductor said that it had ended the job.
    """

    spec: JobSpec
    head: str = ""
    outcome: Mapping[str, Any] = {}
    flows: Sequence[FlowRecord] = ()
    history: Sequence[Transition] = ()
    effects: Sequence[Effect] = ()
    told: int = 0


def told(story: Story) -> list[str]:
    """Tell a story in lines, for whoever looks for a cause.

    Args:
        story: the story.
    """
    lines = [f"job {story.spec.number} ({story.spec.kind}), {story.head}: {dict(story.outcome)}"]
    lines += [f"  {record}" for record in story.flows]
    lines += [f"  {m.seq:3d} {m.at:.3f} {m.owner} {m.atom or '*'} {m.old} -> {m.new}" for m in story.history]
    lines += [f"  {e.owner} did {e.what} {e.atom} (attempt {e.attempt})" for e in story.effects]
    return lines


def book_name(spec: JobSpec) -> str:
    """Name a job and its logbook.

    Args:
        spec: the job.
    """
    return f"job-{spec.number}"


def gather(
    posted: Mapping[JobSpec, str], board: JobBoard, store: Backend, ledger: Path, told: Path
) -> list[Story]:
    """Gather what is left.

    Args:
        posted: the uuid of each job.
        board: where they were posted.
        store: where their flows are.
        ledger: where their tasks wrote.
        told: where the conductors wrote.

    Returns:
        The story of each job, by number.
    """
    done: dict[int, list[Effect]] = defaultdict(list)
    for effect in effects.read(ledger):
        done[effect.job].append(effect)
    ends = (
        Counter(line.split(" ")[0] for line in told.read_text().splitlines()) if told.exists() else Counter()
    )
    flows: dict[str, list[FlowRecord]] = defaultdict(list)
    stories = []
    with store.get_connection() as connection:
        names = {book.uuid: book.name for book in connection.get_logbooks(lazy=True)}
        for record in connection.list_flow_records():
            if record.epoch:
                flows[names[record.book_uuid]].append(record)
        for spec, uuid in posted.items():
            owned = flows[book_name(spec)]
            history = [move for record in owned for move in connection.get_history(record.uuid)]
            head, outcome = _end(board, uuid)
            stories.append(Story(spec, head, outcome, owned, history, done[spec.number], ends[uuid]))
    return sorted(stories, key=lambda story: story.spec.number)


def _end(board: JobBoard, uuid: str) -> tuple[str, Mapping[str, Any]]:
    try:
        found = board.look(uuid)
    except exc.NotFound:
        return "", {}
    return found.head, (found.outcome or {}).get("outcome", {})
