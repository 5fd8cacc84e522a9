"""Operator queries and commands on stored flows."""

import os
import socket
from dataclasses import dataclass

import pytest

from stackl_flow import codec, engines, retry, task, urls
from stackl_flow import exceptions as exc
from stackl_flow.control import diagrams, flows, opening, runs
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
    def execute(self, text):
        return text

def flow(count=2):
    return linear_flow.Flow("say").add(*[Say(f"say_{n}") for n in range(count)])
"""


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """Return the name of a factory that can be imported."""
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


def test_get_flow(backend, failed):
    view = flows.get_flow(backend, failed)
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


def test_views_are_immutable(backend, failed):
    view = flows.get_flow(backend, failed)
    with pytest.raises(AttributeError):
        view.flow = None
    with pytest.raises(AttributeError):
        view.atoms[0].state = "SUCCESS"


def test_history_has_transitions_of_the_flow_and_its_atoms(backend, failed):
    transitions = flows.get_history(backend, failed)
    assert {transition.atom for transition in transitions} == {None, "twice", "pack", "send"}
    assert transitions[-1].new == "REVERTED"
    assert flows.get_history(backend, failed, after=transitions[1].seq, limit=1) == [transitions[2]]


def test_values_are_shown_without_importing_their_types(backend, url):
    engine = engines.load(post(), store={"weight": 3}, backend=backend)
    engine.run()
    with opening.open_read_only(url) as read_only:
        results = {atom.name: atom.result for atom in flows.get_flow(read_only, "post").atoms}
        assert results["pack"] == {"$tests.control.Parcel": {"weight": 3}} or "weight" in str(results["pack"])
        with (
            pytest.raises(exc.NotSupported, match="opened read-only"),
            read_only.get_connection() as connection,
        ):
            connection.update_atom_details(connection.get_atoms_for_flow(engine.storage.flow_uuid)[1])


def test_find_flow(backend, failed):
    other = engines.load(post(), store={"weight": 1}, backend=backend)
    assert flows.find_flow(backend, failed).uuid == failed
    assert flows.find_flow(backend, failed[:20]).uuid == failed
    with pytest.raises(exc.MultipleChoices, match=other.storage.flow_uuid):
        flows.find_flow(backend, "post")
    with pytest.raises(exc.NotFound, match="2 flows"):
        flows.find_flow(backend, "missing")
    assert [flow.state for flow in flows.list_flows(backend)] == ["PENDING", "REVERTED"]
    assert [flow.uuid for flow in flows.list_flows(backend, state="REVERTED")] == [failed]
    assert len(flows.list_flows(backend, limit=1)) == 1


def test_a_stored_flow_is_continued_from_its_factory(backend, spec):
    engine = runs.create_engine(backend, spec, {"count": 3}, {"text": "hello"}, name="greeting")
    uuid = engine.storage.flow_uuid
    assert [flow.uuid for flow in runs.unfinished_flows(backend)] == [uuid]
    again = runs.load_engine(backend, uuid)
    assert runs.run_engine(again) == runs.RunResult(uuid, "SUCCESS")
    view = flows.get_flow(backend, "greeting")
    assert view.factory == spec
    assert [atom.result for atom in view.atoms] == ["hello"] * 3
    assert runs.unfinished_flows(backend) == []


def test_a_flow_without_a_factory_cannot_be_loaded(backend, failed):
    with pytest.raises(exc.FactoryNotFound, match=r"without a factory.*engines\.load"):
        runs.load_engine(backend, failed)


def test_the_result_of_a_failed_run_has_the_error(backend):
    result = runs.run_engine(engines.load(post(fail=True), store={"weight": 1}, backend=backend))
    assert result.state == "REVERTED"
    assert isinstance(result.error, ConnectionError)


def test_errors_of_the_engine_are_raised(backend):
    with pytest.raises(exc.MissingDependencies):
        runs.run_engine(engines.load(post(), backend=backend))


def test_a_diagram_shows_states(backend, failed):
    svg = to_svg(diagrams.flow_diagram(post(), flows.get_flow(backend, failed)))
    assert "failed · REVERTED" in svg
    assert svg.count("url(#arrow)") == 2
    diagram, reason = diagrams.stored_flow_diagram(backend, failed)
    assert "without a factory" in reason
    assert diagram.edges == ()


def summary(state, owner):
    return FlowSummary("u", "n", state, "b", owner, 1, 0.0, None)


def test_a_flow_of_a_live_process_of_this_machine_is_protected():
    here = socket.gethostname()
    alive, dead = os.getppid(), 2**22 + 1
    with pytest.raises(exc.OwnershipLost, match=f"process {alive} of this machine"):
        flows.check_not_running(summary("RUNNING", f"{here}:{alive}:x"))
    for state, owner in [
        ("RUNNING", f"{here}:{dead}:x"),
        ("RUNNING", f"elsewhere:{alive}:x"),
        ("RUNNING", f"{here}:{os.getpid()}:x"),
        ("RUNNING", "unknown"),
        ("RUNNING", f"{here}:abc:x"),
        ("RUNNING", None),
        ("SUSPENDED", f"{here}:{alive}:x"),
    ]:
        flows.check_not_running(summary(state, owner))


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("flows.db", "sqlite:///flows.db"),
        ("/var/flows.db", "sqlite:////var/flows.db"),
        ("memory", "memory"),
        ("memory://shared", "memory://shared"),
        ("sqlite:///x.db?timeout=3", "sqlite:///x.db?timeout=3"),
    ],
)
def test_paths_and_urls(text, url):
    assert urls.expand_path(text) == url


def test_a_failed_flow_that_is_opened_read_only(tmp_path):
    url = f"sqlite:///{tmp_path}/flows.db"
    with opening.open_for_running(url) as backend:
        engine = engines.load(post(fail=True), store={"weight": 3}, backend=backend)
        with pytest.raises(ConnectionError):
            engine.run()
    with opening.open_read_only(url) as backend:
        view = flows.get_flow(backend, engine.storage.flow_uuid)
        assert [(atom.name, failure.message) for atom, failure in view.failures()] == [
            ("send", "no courier\nat this hour")
        ]
