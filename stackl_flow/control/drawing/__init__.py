"""Pictures of flows: SVG, mermaid and dot, from one `Drawing`."""

from stackl_flow.control.drawing.dot import to_dot
from stackl_flow.control.drawing.mermaid import to_mermaid
from stackl_flow.control.drawing.model import Drawing, Link, Mark, Node, from_graph
from stackl_flow.control.drawing.svg import to_svg

#: The writers by the name of their format.
FORMATS = {"svg": to_svg, "mermaid": to_mermaid, "dot": to_dot}

__all__ = ["FORMATS", "Drawing", "Link", "Mark", "Node", "from_graph", "to_dot", "to_mermaid", "to_svg"]
