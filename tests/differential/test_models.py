"""Details and connections behave as TaskFlow's do, for random programs."""

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

STATES = sorted(
    {state for transition in states.TASK_TRANSITIONS for state in transition[:2]} | {states.RETRYING}
)
FAILED = (states.FAILURE, states.REVERT_FAILURE)
VALUES = (None, 1, "a", [1])

steps = some.one_of(
    some.tuples(some.just("put"), some.sampled_from(STATES), some.sampled_from(range(4))),
    some.tuples(some.just("reset"), some.sampled_from(STATES), some.just(0)),
    some.tuples(some.sampled_from(["copy", "dict", "merge", "update"]), some.just(""), some.just(0)),
)


def apply_step(detail, step, fail):
    """Apply one step; return the detail and what the method returned."""
    verb, state, number = step
    if verb == "put":
        result = fail(RuntimeError(str(number))) if state in FAILED else VALUES[number]
        # Failures that were created separately are never equal in either library: only values are compared.
        returned = bool(detail.put(state, result))
        return detail, None if state in FAILED else returned
    if verb == "reset":
        return detail, detail.reset(state)
    if verb == "copy":
        return detail.copy(), None
    if verb == "dict":
        return type(detail).from_dict(detail.to_dict()), None
    fresh = type(detail)(detail.name, detail.uuid)
    return (fresh.merge(detail) if verb == "merge" else fresh.update(detail)), None


def as_dict(detail):
    """Convert a detail to a dict that both libraries share."""
    form = detail.to_dict()
    for name in ("failure", "revert_failure"):
        form[name] = form[name] and form[name]["exception_str"]
    form["results"] = repr(form["results"])
    # Progress is in the metadata here only.
    form["meta"] = {name: note for name, note in form["meta"].items() if name != "progress"}
    return form


@pytest.mark.parametrize("kind", ["TaskDetail", "RetryDetail"])
@fewer_examples(1 / 2)
@given(program=some.lists(steps, max_size=8))
def test_details(kind, program):
    ours, other = getattr(models, kind)("n", "u"), getattr(theirs, kind)("n", "u")
    for step in program:
        if kind == "RetryDetail" and step[0] == "merge":
            other.revert_results = ours.revert_results = None  # TaskFlow's merge drops it for retries
        ours, returned = apply_step(ours, step, Failure.from_exception)
        other, their_returned = apply_step(other, step, TheirFailure.from_exception)
        assert returned == their_returned
        assert as_dict(ours) == as_dict(other)


def test_models_written_by_taskflow_are_read():
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


def flow_of(library, number, atoms, note):
    flow = library.FlowDetail(f"flow {number}", f"flow-{number}")
    flow.state, flow.meta = states.RUNNING, {"note": note}
    for atom in atoms:
        # An atom belongs to one flow, as with every engine.
        flow.add(atom_of(library, number * 10 + atom, note))
    return flow


def atom_of(library, number, note):
    kind = library.RetryDetail if number % 2 else library.TaskDetail
    detail = kind(f"atom {number}", f"atom-{number}")
    detail.put(states.SUCCESS, note)
    detail.meta, detail.version = {"note": note}, "1.0"
    return detail


def save(conn, library, step):
    verb, book, flows, atoms, note = step
    if verb == "book":
        # And a flow to one logbook.
        made = library.LogBook(f"book {book}", f"book-{book}")
        made.meta = {"note": note}
        for flow in flows:
            made.add(flow_of(library, book * 3 + flow, atoms, note))
        conn.save_logbook(made)
    elif verb == "flow":
        for flow in flows:
            conn.update_flow_details(flow_of(library, book * 3 + flow, atoms, note))
    elif verb == "atom":
        for atom in atoms:
            conn.update_atom_details(atom_of(library, book * 30 + atom, note))
    elif verb == "destroy":
        conn.destroy_logbook(f"book-{book}")
    else:
        conn.clear_all()


def all_of(conn):
    """Return everything that is stored."""
    return {
        (book.uuid, book.name, str(book.meta)): {
            str(flow.to_dict()): sorted(str(as_dict(atom)) for atom in flow) for flow in book
        }
        for book in conn.get_logbooks()
    }


@pytest.mark.parametrize("address", ["memory", "sqlite://", "dir://{folder}/flows?sync=no"])
@fewer_examples(1 / 8)
@given(program=saves)
def test_connections(address, program):
    # TaskFlow's memory backend, because its SQLite keeps the flows of a destroyed logbook.
    with (
        tempfile.TemporaryDirectory() as folder,
        backends.backend(address.format(folder=folder)) as ours,
        their_backends.backend("memory") as other,
    ):
        conn = ours.get_connection()
        for step in program:
            their_conn = other.get_connection()  # a new one, because clearing removes the folders
            returned = their_returned = None
            try:
                save(conn, models, step)
            except exc.StacklFlowError as error:
                returned = type(error).__name__
            try:
                save(their_conn, theirs, step)
            except TheirError as error:
                their_returned = type(error).__name__
            assert returned == their_returned
            assert all_of(conn) == all_of(other.get_connection())
        conn.close()
