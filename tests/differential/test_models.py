"""Details and connections do what TaskFlow's do, whatever is asked of them."""

import datetime as dt
import json
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as some
from taskflow.exceptions import TaskFlowException as TheirError
from taskflow.persistence import backends as their_backends
from taskflow.persistence import models as theirs
from taskflow.types.failure import Failure as TheirFailure

from stackl_flow import exceptions as exc
from stackl_flow import states
from stackl_flow.failure import Failure
from stackl_flow.persistence import backends, models
from tests.support.hypothesis_profiles import fewer_examples

STATES = sorted({state for move in states.TASK_TRANSITIONS for state in move[:2]} | {states.RETRYING})
FAILED = (states.FAILURE, states.REVERT_FAILURE)
VALUES = (None, 1, "a", [1])

steps = some.one_of(
    some.tuples(some.just("put"), some.sampled_from(STATES), some.sampled_from(range(4))),
    some.tuples(some.just("reset"), some.sampled_from(STATES), some.just(0)),
    some.tuples(some.sampled_from(["copy", "dict", "merge", "update"]), some.just(""), some.just(0)),
)


def done(detail, step, fail):
    """Do one step; give the detail to go on with, and what there was to tell."""
    verb, state, number = step
    if verb == "put":
        result = fail(RuntimeError(str(number))) if state in FAILED else VALUES[number]
        # Failures that were made apart are equal in neither house: only that of values is to be compared.
        told = bool(detail.put(state, result))
        return detail, None if state in FAILED else told
    if verb == "reset":
        return detail, detail.reset(state)
    if verb == "copy":
        return detail.copy(), None
    if verb == "dict":
        return type(detail).from_dict(detail.to_dict()), None
    fresh = type(detail)(detail.name, detail.uuid)
    return (fresh.merge(detail) if verb == "merge" else fresh.update(detail)), None


def shown(detail):
    """Show what a detail knows in a form that both houses share."""
    form = detail.to_dict()
    for name in ("failure", "revert_failure"):
        form[name] = form[name] and form[name]["exception_str"]
    form["results"] = repr(form["results"])
    # What a state says of progress is among our notes only.
    form["meta"] = {name: note for name, note in form["meta"].items() if name != "progress"}
    return form


@pytest.mark.parametrize("kind", ["TaskDetail", "RetryDetail"])
@fewer_examples(1 / 2)
@given(program=some.lists(steps, max_size=8))
def test_details(kind, program):
    ours, other = getattr(models, kind)("n", "u"), getattr(theirs, kind)("n", "u")
    for step in program:
        if kind == "RetryDetail" and step[0] == "merge":
            other.revert_results = ours.revert_results = None  # TaskFlow's merge forgets it for retries
        ours, told = done(ours, step, Failure.from_exception)
        other, their_told = done(other, step, TheirFailure.from_exception)
        assert told == their_told
        assert shown(ours) == shown(other)


def test_what_taskflow_wrote_is_read():
    book = theirs.LogBook("b", "u")
    book.meta = {"note": 1}
    book.add(theirs.FlowDetail("f", "v"))
    form = json.loads(json.dumps(book.to_dict(marshal_time=True)))
    ours = models.LogBook.from_dict(form, unmarshal_time=True)
    assert (ours.name, ours.uuid, ours.meta) == ("b", "u", {"note": 1})
    for name in ("created_at", "updated_at"):
        assert getattr(ours, name) == getattr(book, name).replace(tzinfo=dt.UTC)

    task = theirs.TaskDetail("t", "w")
    task.put(states.FAILURE, TheirFailure.from_exception(RuntimeError("no luck")))
    task.version = "1.0"
    ours = models.TaskDetail.from_dict(json.loads(json.dumps(task.to_dict())))
    assert (ours.state, ours.version, ours.failure.exception_str) == (states.FAILURE, "1.0", "no luck")


BOOKS, FLOWS, ATOMS = range(2), range(3), range(4)

saves = some.lists(
    some.tuples(
        some.sampled_from(["book", "flow", "atom", "destroy", "clear"]),
        some.sampled_from(BOOKS),
        some.lists(some.sampled_from(FLOWS), max_size=2, unique=True),
        some.lists(some.sampled_from(ATOMS), max_size=3, unique=True),
        some.sampled_from(range(3)),
    ),
    max_size=6,
)


def flow_of(house, number, atoms, note):
    flow = house.FlowDetail(f"flow {number}", f"flow-{number}")
    flow.state, flow.meta = states.RUNNING, {"note": note}
    for atom in atoms:
        # An atom belongs to one flow for good, as it does with every engine.
        flow.add(atom_of(house, number * 10 + atom, note))
    return flow


def atom_of(house, number, note):
    kind = house.RetryDetail if number % 2 else house.TaskDetail
    detail = kind(f"atom {number}", f"atom-{number}")
    detail.put(states.SUCCESS, note)
    detail.meta, detail.version = {"note": note}, "1.0"
    return detail


def save(conn, house, step):
    verb, book, flows, atoms, note = step
    if verb == "book":
        # So does a flow to one book.
        made = house.LogBook(f"book {book}", f"book-{book}")
        made.meta = {"note": note}
        for flow in flows:
            made.add(flow_of(house, book * 3 + flow, atoms, note))
        conn.save_logbook(made)
    elif verb == "flow":
        for flow in flows:
            conn.update_flow_details(flow_of(house, book * 3 + flow, atoms, note))
    elif verb == "atom":
        for atom in atoms:
            conn.update_atom_details(atom_of(house, book * 30 + atom, note))
    elif verb == "destroy":
        conn.destroy_logbook(f"book-{book}")
    else:
        conn.clear_all()


def all_of(conn):
    """Show everything that is stored."""
    return {
        (book.uuid, book.name, str(book.meta)): {
            str(flow.to_dict()): sorted(str(shown(atom)) for atom in flow) for flow in book
        }
        for book in conn.get_logbooks()
    }


@pytest.mark.parametrize("address", ["memory", "sqlite://", "dir://{folder}/flows?sync=no"])
@fewer_examples(1 / 8)
@given(program=saves)
def test_connections(address, program):
    # TaskFlow's memory, because its SQLite leaves the flows of a destroyed book behind.
    with (
        tempfile.TemporaryDirectory() as folder,
        backends.backend(address.format(folder=folder)) as ours,
        their_backends.backend("memory") as other,
    ):
        conn = ours.get_connection()
        for step in program:
            their_conn = other.get_connection()  # a new one, because clearing takes the folders away
            told = their_told = None
            try:
                save(conn, models, step)
            except exc.StacklFlowError as error:
                told = type(error).__name__
            try:
                save(their_conn, theirs, step)
            except TheirError as error:
                their_told = type(error).__name__
            assert told == their_told
            assert all_of(conn) == all_of(other.get_connection())
        conn.close()
