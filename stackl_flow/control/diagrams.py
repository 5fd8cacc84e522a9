"""Diagrams of flows: of the flow that a factory makes, or of a stored one with its states."""

from collections.abc import Collection, Mapping

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.atom import Atom
from stackl_flow.control.flows import get_flow
from stackl_flow.control.runs import rebuild_flow
from stackl_flow.control.views import FlowView
from stackl_flow.diagrams import Diagram, Node, NodeStatus, from_graph
from stackl_flow.engines.plan import compile_flow
from stackl_flow.patterns.base import Flow
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import secret_values


def flow_diagram(flow: Flow | Atom, view: FlowView | None = None) -> Diagram:
    """Draw a flow.

    Args:
        flow: the flow.
        view: its stored state, from `get_flow`; shown in the boxes.

    Raises:
        CompilationFailure: the flow is invalid.
    """
    return from_graph(compile_flow(flow).graph(), *(_statuses(view) if view is not None else ()))


def stored_flow_diagram(
    backend: Backend, identifier: str, factories_allowed: Collection[str] | None = None
) -> tuple[Diagram, str | None]:
    """Draw a stored flow.

    Args:
        backend: where it is stored.
        identifier: its uuid, the beginning of the uuid, or its name.
        factories_allowed: as ``factories`` of `engines.flow_from_detail`.

    Returns:
        The diagram; and None, or the reason why the flow could not be rebuilt from its factory. In that case
        the diagram has no edges.

    Raises:
        NotFound: no flow matches.
        MultipleChoices: several flows match.
        StorageFailure: the backend cannot be read.
    """
    view = get_flow(backend, identifier)
    with backend.get_connection() as connection:
        detail = connection.get_flow_details(view.flow.uuid, lazy=True)
    with redaction.redacting(secret_values(detail.meta, ())):
        try:
            return flow_diagram(rebuild_flow(detail, factories_allowed), view), None
        except exc.StacklFlowError as error:
            return _without_edges(view), str(error).partition("\n")[0]


def _statuses(view: FlowView) -> tuple[Mapping[str, NodeStatus], NodeStatus]:
    atoms = {atom.name: NodeStatus(atom.state, atom.seconds, bool(atom.failures)) for atom in view.atoms}
    return atoms, NodeStatus(view.flow.state, view.seconds)


def _without_edges(view: FlowView) -> Diagram:
    """Draw only the atoms, in the order in which they are stored."""
    statuses, root_status = _statuses(view)
    atoms = [
        Node(f"n{number}", atom.name, atom.kind, "n0", statuses[atom.name])
        for number, atom in enumerate(view.atoms, start=1)
    ]
    return Diagram((Node("n0", view.flow.name, "flow", None, root_status), *atoms), ())
