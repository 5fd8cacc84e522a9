"""Pictures of flows: SVG, mermaid and dot, from one `Drawing`."""

from stackl_flow.diagrams.model import Drawing, Link, Mark, Node, from_graph
from stackl_flow.diagrams.svg import to_svg
from stackl_flow.diagrams.text import to_dot, to_mermaid

#: The writers by the name of their format.
FORMATS = {"svg": to_svg, "mermaid": to_mermaid, "dot": to_dot}

__all__ = ["FORMATS", "Drawing", "Link", "Mark", "Node", "from_graph", "to_dot", "to_mermaid", "to_svg"]
