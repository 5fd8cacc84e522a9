"""What the library promises, held against what is left of a job: pure, from a story to what is wrong with it.

The promises, in the order in which they are checked:

* A job that was posted has ended: consumed with what its flow came to, or trashed if it has no flow; and one
  conductor at most says that it ended it. One flow alone was run for it.
* Nobody writes who has been superseded: in a flow's history the moves of each owner stand together, and
  there are no more owners than epochs. Each move begins where the last one of the same atom ended.
* Work is written down before it begins: an atom has its effect no more often than its owner wrote down that
  it began. What an owner began and did not end is begun again by whoever comes after: so an effect is doubled
  only for atoms under way when their owner was lost, and where tasks run one by one there is but one of them.
* No effect is lost: an end that is written down had its effect.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from stackl_flow import states as st
from stackl_flow.persistence.records import Transition
from tests.support.chaos.effects import EXECUTE, REVERT
from tests.support.chaos.flows import KINDS, RETRY, value
from tests.support.chaos.plan import BOOKLESS
from tests.support.chaos.traces import Story

#: The state in which an atom is at work, and those in which it has ended that.
_AT_WORK: Final = {st.RUNNING: EXECUTE, st.REVERTING: REVERT}
_ENDED: Final[dict[tuple[str | None, str | None], str]] = {
    (st.RUNNING, st.SUCCESS): EXECUTE,
    (st.RUNNING, st.FAILURE): EXECUTE,
    (st.REVERTING, st.REVERTED): REVERT,
    (st.REVERTING, st.REVERT_FAILURE): REVERT,
}
#: In what states the atoms of a flow rest when it has ended.
_REST: Final = {
    st.SUCCESS: frozenset({st.SUCCESS}),
    st.REVERTED: frozenset({st.REVERTED, st.PENDING}),
}


def check(stories: Iterable[Story], workers: int) -> list[str]:
    """Hold stories against the promises.

    Args:
        stories: what is left of each job.
        workers: how many tasks of one flow ran at once.

    Returns:
        What is wrong, one line each; none if all is well.
    """
    return [f"job {story.spec.number}: {each}" for story in stories for each in wrong(story, workers)]


def wrong(story: Story, workers: int) -> Iterator[str]:
    """Hold one story against the promises.

    Args:
        story: what is left of a job.
        workers: how many tasks of one flow ran at once.

    Yields:
        What is wrong.
    """
    if story.told > 1:
        yield f"{story.told} conductors say that they ended it"
    if story.spec.kind == BOOKLESS:
        if story.head != "trashed":
            yield f"it has no flow, and is {story.head or 'gone'} instead of trashed"
        return
    if len(story.flows) != 1:
        yield f"{len(story.flows)} flows were run for it"
        return
    yield from _wrong_end(story)
    yield from _wrong_owners(story)
    yield from _wrong_moves(story)
    yield from _wrong_effects(story, workers)


def _wrong_end(story: Story) -> Iterator[str]:
    wanted, state = KINDS[story.spec.kind][1], story.flows[0].state
    if story.head != "consumed":
        yield f"it is {story.head or 'gone'} instead of consumed: {dict(story.outcome)}"
    elif story.outcome.get("state") != state:
        yield f"its flow is {state}, and the board says {story.outcome.get('state')}"
    elif state == st.SUCCESS:
        yield from _wrong_values(story)
    if state != wanted:
        yield f"its flow is {state} instead of {wanted}"


def _wrong_values(story: Story) -> Iterator[str]:
    result = story.outcome["result"]
    for atom in {effect.atom for effect in story.effects}:
        if result.get(atom) != value(atom, story.spec.number):
            yield f"the board has the value {result.get(atom)!r} of {atom}"


def _blocks(history: Sequence[Transition]) -> list[tuple[str, list[Transition]]]:
    return [(owner, list(moves)) for owner, moves in groupby(history, lambda move: move.owner)]


def _wrong_owners(story: Story) -> Iterator[str]:
    record, owners = story.flows[0], [owner for owner, _ in _blocks(story.history)]
    if len(set(owners)) != len(owners):
        yield f"somebody superseded went on writing: {' '.join(owners)}"
    if len(set(owners)) > record.epoch:
        yield f"it had {len(set(owners))} owners in {record.epoch} epochs"
    if record.owner in owners[:-1]:
        yield f"{record.owner} owns it, and {owners[-1]} wrote last"
    unknown = {effect.owner for effect in story.effects} - set(owners)
    if unknown:
        yield f"{', '.join(unknown)} worked, and wrote nothing down"


def _wrong_moves(story: Story) -> Iterator[str]:
    numbers = [move.seq for move in story.history]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"its history is numbered {numbers}"
    last: dict[str | None, str | None] = {}
    for move in story.history:
        if move.atom is not None and last.get(move.atom, st.PENDING) != (move.old or st.PENDING):
            yield f"{move.atom} went from {move.old} to {move.new} when it was {last.get(move.atom)}"
        last[move.atom] = move.new
    rest = _REST.get(story.flows[0].state or "", frozenset())
    restless = {atom: state for atom, state in last.items() if atom is not None and state not in rest}
    if restless:
        yield f"its flow is {story.flows[0].state} with {restless}"


def _wrong_effects(story: Story, workers: int) -> Iterator[str]:
    for effect, times in Counter(story.effects).items():
        if times > 1:
            yield f"{effect.owner} did {effect.what} {effect.atom} {times} times in attempt {effect.attempt}"
    for owner, moves in _blocks(story.history):
        yield from _wrong_work(story, owner, moves, workers)
    yield from _wrong_repeats(story)


def _wrong_repeats(story: Story) -> Iterator[str]:
    """Find effects that were repeated after their atom's end had been written down."""
    attempts: dict[tuple[str, str, int], list[str]] = defaultdict(list)
    for effect in story.effects:
        attempts[effect.atom, effect.what, effect.attempt].append(effect.owner)
    broken = {owner: _under_way(moves) for owner, moves in _blocks(story.history)}
    for (atom, what, attempt), owners in attempts.items():
        ended = [owner for owner in owners if (atom, what) not in broken.get(owner, ())]
        if len(ended) > 1:
            yield f"{what} {atom} ended {len(ended)} times in attempt {attempt}: under {', '.join(ended)}"


def _under_way(moves: Sequence[Transition]) -> set[tuple[str, str]]:
    """Say what an owner had begun and not ended when he wrote last."""
    last = {move.atom: move.new for move in moves if move.atom is not None}
    return {(atom, _AT_WORK[state]) for atom, state in last.items() if state in _AT_WORK}


def _wrong_work(story: Story, owner: str, moves: Sequence[Transition], workers: int) -> Iterator[str]:
    """Hold what one owner did against what he wrote down."""
    done = Counter((effect.atom, effect.what) for effect in story.effects if effect.owner == owner)
    of_tasks = [(move, move.atom) for move in moves if move.atom is not None and move.atom != RETRY]
    begun = Counter((atom, _AT_WORK[move.new]) for move, atom in of_tasks if move.new in _AT_WORK)
    ended = Counter(
        (atom, _ENDED[move.old, move.new]) for move, atom in of_tasks if (move.old, move.new) in _ENDED
    )
    for work in sorted(done | ended):
        what = " ".join(reversed(work))
        if done[work] > begun[work]:
            yield f"{owner} did {what} {done[work]} times, and wrote down {begun[work]} beginnings"
        if done[work] < ended[work]:
            yield f"{owner} did {what} {done[work]} times, and wrote down {ended[work]} ends"
    loose = (done - ended).total()
    # On several threads tasks go on while the engine waits for its database: all that had begun may be done.
    if workers == 1 and loose > 1:
        yield f"{owner} left {loose} effects unrecorded, and ran one task at a time"
