"""The mermaid form, for READMEs and web pages that draw it themselves."""

from collections.abc import Iterator

from stackl_flow.control.drawing.model import Drawing, Node
from stackl_flow.control.drawing.palette import tint
from stackl_flow.control.drawing.scene import note
from stackl_flow.control.drawing.words import printable

_ESCAPES = {ord(letter): f"#{ord(letter)};" for letter in '"<>{}[]|#;`\\'}


def to_mermaid(drawing: Drawing) -> str:
    """Write a drawing as a mermaid flowchart.

    Args:
        drawing: what to show.

    Returns:
        The text, without a Markdown fence around it.
    """
    states = sorted({node.mark.state for node in drawing.nodes if node.mark is not None})
    lines = ["flowchart TD", *_box(drawing, drawing.root, 1)]
    lines += [
        f"    {link.source} {'-.->' if link.guarded else '-->'} {link.target}" for link in drawing.links
    ]
    for state in states:
        colours = tint(state)
        lines.append(f"    classDef {state} fill:{colours.paper},stroke:{colours.ink},color:#24292f")
    return "\n".join(lines) + "\n"


def _box(drawing: Drawing, node: Node, depth: int) -> Iterator[str]:
    pad = "    " * depth
    words = "<br/>".join(
        printable(line).translate(_ESCAPES) for line in (" ".join(node.label.split()), note(node)) if line
    )
    look = f":::{node.mark.state}" if node.mark is not None else ""
    if node.kind == "flow":
        yield f'{pad}subgraph {node.key}["{words}"]'
        for child in drawing.nodes:
            if child.parent == node.key:
                yield from _box(drawing, child, depth + 1)
        yield f"{pad}end"
        if node.mark is not None:
            yield f"{pad}class {node.key} {node.mark.state}"
    elif node.kind == "retry":
        yield f'{pad}{node.key}(["{words}"]){look}'
    else:
        yield f'{pad}{node.key}["{words}"]{look}'
