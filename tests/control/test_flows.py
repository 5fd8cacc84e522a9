"""The desk: what is stored, how one flow stands, and going on with it."""

import os
import socket
from dataclasses import dataclass

import pytest

from stackl_flow import codec, engines, retry, task, urls
from stackl_flow import exceptions as exc
from stackl_flow.control import flows, opening, pictures, runs
from stackl_flow.control import flows as history
from stackl_flow.control import flows as owners
from stackl_flow.control.views import FlowSummary
from stackl_flow.diagrams import to_svg
from stackl_flow.patterns import linear_flow


@codec.register(name="tests.control.Parcel")
@dataclass
class Parcel:
    weight: int


class Pack(task.Task):
    def execute(self, weight):
        return Parcel(weight)


class Send(task.Task):
    def __init__(self, name, fail):
        super().__init__(name=name)
        self._fail = fail

    def execute(self):
        if self._fail:
            raise ConnectionError("no courier\nat this hour")


def post(fail=False):
    flow = linear_flow.Flow("post", retry=retry.Times(2, name="twice"))
    return flow.add(Pack("pack", provides="parcel"), Send("send", fail))


MODULE = """
from stackl_flow import task
from stackl_flow.patterns import linear_flow

class Say(task.Task):
    def execute(self, word):
        return word

def flow(count=2):
    return linear_flow.Flow("say").add(*[Say(f"say_{n}") for n in range(count)])
"""


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """A factory that can be imported by its name."""
    name = f"made_{os.urandom(4).hex()}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return f"{name}:flow"


@pytest.fixture
def failed(backend):
    engine = engines.load(post(fail=True), store={"weight": 3}, backend=backend)
    with pytest.raises(ConnectionError):
        engine.run()
    return engine.storage.flow_uuid


def test_a_flow_as_it_stands(backend, failed):
    view = flows.show(backend, failed)
    assert (view.flow.name, view.flow.state, view.factory) == ("post", "REVERTED", None)
    assert [(a.name, a.kind, a.state, a.attempts) for a in view.atoms] == [
        ("twice", "retry", "REVERTED", 2),
        ("pack", "task", "REVERTED", 2),
        ("send", "task", "REVERTED", 2),
    ]
    assert view.counts() == {"REVERTED": 3}
    assert view.started <= view.atoms[0].started <= view.atoms[0].ended <= view.ended
    assert 0 < view.seconds <= view.ended - view.started + 0.001
    ((atom, failure),) = view.failures()
    assert (atom.name, failure.during, failure.kind) == ("send", "execute", "ConnectionError")
    assert failure.line == "ConnectionError: no courier"
    assert "raise ConnectionError" in failure.traceback


def test_answers_cannot_be_changed(backend, failed):
    view = flows.show(backend, failed)
    with pytest.raises(AttributeError):
        view.flow = None
    with pytest.raises(AttributeError):
        view.atoms[0].state = "SUCCESS"


def test_history_tells_of_flow_and_atoms(backend, failed):
    moves = history.history(backend, failed)
    assert {move.atom for move in moves} == {None, "twice", "pack", "send"}
    assert moves[-1].new == "REVERTED"
    assert history.history(backend, failed, after=moves[1].seq, limit=1) == [moves[2]]


def test_an_operator_sees_values_of_types_that_are_not_imported(backend, url):
    engine = engines.load(post(), store={"weight": 3}, backend=backend)
    engine.run()
    with opening.for_looking(url) as looking:
        results = {atom.name: atom.result for atom in flows.show(looking, "post").atoms}
        assert results["pack"] == {"$tests.control.Parcel": {"weight": 3}} or "weight" in str(results["pack"])
        with (
            pytest.raises(exc.NotSupported, match="looking only"),
            looking.get_connection() as connection,
        ):
            connection.update_atom_details(connection.get_atoms_for_flow(engine.storage.flow_uuid)[1])


def test_find(backend, failed):
    other = engines.load(post(), store={"weight": 1}, backend=backend)
    assert flows.find(backend, failed).uuid == failed
    assert flows.find(backend, failed[:20]).uuid == failed
    with pytest.raises(exc.MultipleChoices, match=other.storage.flow_uuid):
        flows.find(backend, "post")
    with pytest.raises(exc.NotFound, match="2 flows"):
        flows.find(backend, "nobody")
    assert [flow.state for flow in flows.flows(backend)] == ["PENDING", "REVERTED"]
    assert [flow.uuid for flow in flows.flows(backend, state="REVERTED")] == [failed]
    assert len(flows.flows(backend, limit=1)) == 1


def test_start_and_go_on(backend, spec):
    engine = runs.start(backend, spec, {"count": 3}, {"word": "hello"}, name="greeting")
    uuid = engine.storage.flow_uuid
    assert [flow.uuid for flow in runs.unfinished(backend)] == [uuid]
    again = runs.reload(backend, uuid)
    assert runs.carry_out(again) == runs.Outcome(uuid, "SUCCESS")
    view = flows.show(backend, "greeting")
    assert view.factory == spec.replace(":", ".")
    assert [atom.result for atom in view.atoms] == ["hello"] * 3
    assert runs.unfinished(backend) == []


def test_a_flow_without_a_factory_is_not_for_the_desk_to_resume(backend, failed):
    with pytest.raises(exc.FactoryNotFound, match=r"without a factory.*engines\.load"):
        runs.reload(backend, failed)


def test_carry_out_tells_how_it_failed(backend):
    outcome = runs.carry_out(engines.load(post(fail=True), store={"weight": 1}, backend=backend))
    assert outcome.state == "REVERTED"
    assert isinstance(outcome.error, ConnectionError)


def test_trouble_of_the_engine_is_no_outcome(backend):
    with pytest.raises(exc.MissingDependencies):
        runs.carry_out(engines.load(post(), backend=backend))


def test_a_picture_of_a_flow_in_hand_with_its_states(backend, failed):
    svg = to_svg(pictures.picture(post(), flows.show(backend, failed)))
    assert "failed · REVERTED" in svg
    assert svg.count("url(#tip)") == 2
    drawing, trouble = pictures.stored_picture(backend, failed)
    assert "without a factory" in trouble
    assert drawing.links == ()
    with pytest.raises(exc.NotFound, match="svg, mermaid, dot"):
        pictures.draw(drawing, "oil")


def summary(state, owner):
    return FlowSummary("u", "n", state, "b", owner, 1, 0.0, None)


def test_whose_flow_is_at_work():
    here = socket.gethostname()
    alive, dead = os.getppid(), 2**22 + 1
    with pytest.raises(exc.OwnershipLost, match=f"process {alive} of this machine"):
        owners.check_free(summary("RUNNING", f"{here}:{alive}:x"))
    for state, owner in [
        ("RUNNING", f"{here}:{dead}:x"),
        ("RUNNING", f"elsewhere:{alive}:x"),
        ("RUNNING", f"{here}:{os.getpid()}:x"),
        ("RUNNING", "somebody"),
        ("RUNNING", f"{here}:abc:x"),
        ("RUNNING", None),
        ("SUSPENDED", f"{here}:{alive}:x"),
    ]:
        owners.check_free(summary(state, owner))


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("flows.db", "sqlite:///flows.db"),
        ("/var/flows.db", "sqlite:////var/flows.db"),
        ("memory", "memory"),
        ("memory://shared", "memory://shared"),
        ("sqlite:///x.db?timeout=3", "sqlite:///x.db?timeout=3"),
    ],
)
def test_addresses(typed, address):
    assert urls.expand_path(typed) == address
