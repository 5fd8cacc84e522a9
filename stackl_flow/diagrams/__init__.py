"""Diagrams of flows as SVG, Mermaid and Graphviz dot, all written from one `Diagram`."""

from stackl_flow import exceptions as exc
from stackl_flow.diagrams.model import Diagram, Edge, Node, NodeStatus, from_graph
from stackl_flow.diagrams.svg import to_svg
from stackl_flow.diagrams.text import to_dot, to_mermaid

#: The writers by format name.
FORMATS = {"svg": to_svg, "mermaid": to_mermaid, "dot": to_dot}


def render(diagram: Diagram, format_name: str) -> str:
    """Write a diagram in one of `FORMATS`.

    Raises:
        NotFound: there is no such format.
    """
    if format_name not in FORMATS:
        raise exc.NotFound(f"unknown diagram format '{format_name}': choose one of {', '.join(FORMATS)}")
    return FORMATS[format_name](diagram)


__all__ = [
    "FORMATS",
    "Diagram",
    "Edge",
    "Node",
    "NodeStatus",
    "from_graph",
    "render",
    "to_dot",
    "to_mermaid",
    "to_svg",
]
