"""Pictures of flows, of a factory's flow as well as of a stored one with its states."""

from collections.abc import Mapping

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.atom import Atom
from stackl_flow.control.flows import show
from stackl_flow.control.runs import make_again
from stackl_flow.control.views import FlowView
from stackl_flow.diagrams import FORMATS, Drawing, Link, Mark, Node, from_graph
from stackl_flow.engines.plan import compile_flow
from stackl_flow.patterns.base import Flow
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import secret_values


def draw(drawing: Drawing, form: str) -> str:
    """Write a drawing.

    Args:
        drawing: what to show.
        form: "svg", "mermaid" or "dot".

    Returns:
        The text of the picture.

    Raises:
        NotFound: there is no such form.
    """
    if form not in FORMATS:
        raise exc.NotFound(f"no picture format '{form}': there are {', '.join(FORMATS)}")
    return FORMATS[form](drawing)


def picture(flow: Flow | Atom, view: FlowView | None = None) -> Drawing:
    """Make the picture of a flow.

    Args:
        flow: the flow.
        view: how it stands, as from `show`; its states and times are put in the boxes.

    Returns:
        The drawing.

    Raises:
        CompilationFailure: the flow is wrong in itself.
    """
    return from_graph(compile_flow(flow).graph(), *(_marks(view) if view is not None else ()))


def stored_picture(backend: Backend, wanted: str) -> tuple[Drawing, str | None]:
    """Make the picture of a stored flow.

    Args:
        backend: where it is stored.
        wanted: its uuid, the beginning of it, or its name.

    Returns:
        The drawing; and, when the flow's factory cannot be had and the picture so has no arrows, why not.

    Raises:
        NotFound: there is no such flow.
        MultipleChoices: several flows fit.
        StorageFailure: the place cannot be read.
    """
    view = show(backend, wanted)
    with backend.get_connection() as connection:
        detail = connection.get_flow_details(view.flow.uuid, lazy=True)
    with redaction.redacting(secret_values(detail.meta, ())):
        try:
            return picture(make_again(detail), view), None
        except exc.StacklFlowError as error:
            return _loose(view), str(error).partition("\n")[0]


def _marks(view: FlowView) -> tuple[Mapping[str, Mark], Mark]:
    marks = {atom.name: Mark(atom.state, atom.seconds, bool(atom.failures)) for atom in view.atoms}
    return marks, Mark(view.flow.state, view.seconds)


def _loose(view: FlowView) -> Drawing:
    """Draw the atoms alone, in the order they are stored."""
    marks, whole = _marks(view)
    atoms = [
        Node(f"n{number}", atom.name, atom.kind, "n0", marks[atom.name])
        for number, atom in enumerate(view.atoms, start=1)
    ]
    links: tuple[Link, ...] = ()
    return Drawing((Node("n0", view.flow.name, "flow", None, whole), *atoms), links)
