"""The dot form, for Graphviz and everything that reads it.

The mermaid form, for READMEs and web pages that draw it themselves.
"""

from collections.abc import Iterator

from stackl_flow.diagrams.model import Drawing, Link, Node, printable
from stackl_flow.diagrams.svg import note, tint


def to_dot(drawing: Drawing) -> str:
    """Write a drawing in the dot language.

    Args:
        drawing: what to show.

    Returns:
        The text; flows are clusters.
    """
    flows = {node.key for node in drawing.nodes if node.kind == "flow"}
    lines = [
        f"digraph {_quote(drawing.root.label)} {{",
        "    compound=true; rankdir=TB; fontname=monospace;",
        '    node [shape=box, style="rounded,filled", fillcolor="#f6f8fa", fontname=monospace];',
        *_box(drawing, drawing.root, 1),
        *(_edge(link, flows) for link in drawing.links),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _box(drawing: Drawing, node: Node, depth: int) -> Iterator[str]:
    pad = "    " * depth
    words = _quote(node.label, note(node))
    colours = tint(node.mark.state if node.mark is not None else None)
    if node.kind == "flow":
        yield f"{pad}subgraph cluster_{node.key} {{"
        yield f'{pad}    label={words}; color="{colours.ink}"; style=rounded;'
        # Graphviz draws no arrow to a cluster; this point stands for it when it holds nothing else.
        yield f"{pad}    {node.key} [shape=point, style=invis];"
        for child in drawing.nodes:
            if child.parent == node.key:
                yield from _box(drawing, child, depth + 1)
        yield f"{pad}}}"
    else:
        shape = ", shape=oval" if node.kind == "retry" else ""
        yield f'{pad}{node.key} [label={words}, fillcolor="{colours.paper}", color="{colours.ink}"{shape}];'


def _edge(link: Link, flows: set[str]) -> str:
    looks = [f"ltail=cluster_{link.source}"] if link.source in flows else []
    looks += [f"lhead=cluster_{link.target}"] if link.target in flows else []
    looks += ["style=dashed"] if link.guarded else []
    return f"    {link.source} -> {link.target}" + (f" [{', '.join(looks)}];" if looks else ";")


def _quote(*lines: str) -> str:
    escaped = (printable(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines if line)
    return '"' + "\\n".join(escaped) + '"'


_ESCAPES = {ord(letter): f"#{ord(letter)};" for letter in '"<>{}[]|#;`\\'}


def to_mermaid(drawing: Drawing) -> str:
    """Write a drawing as a mermaid flowchart.

    Args:
        drawing: what to show.

    Returns:
        The text, without a Markdown fence around it.
    """
    states = sorted({node.mark.state for node in drawing.nodes if node.mark is not None})
    lines = ["flowchart TD", *_mermaid_box(drawing, drawing.root, 1)]
    lines += [
        f"    {link.source} {'-.->' if link.guarded else '-->'} {link.target}" for link in drawing.links
    ]
    for state in states:
        colours = tint(state)
        lines.append(f"    classDef {state} fill:{colours.paper},stroke:{colours.ink},color:#24292f")
    return "\n".join(lines) + "\n"


def _mermaid_box(drawing: Drawing, node: Node, depth: int) -> Iterator[str]:
    pad = "    " * depth
    words = "<br/>".join(
        printable(line).translate(_ESCAPES) for line in (" ".join(node.label.split()), note(node)) if line
    )
    look = f":::{node.mark.state}" if node.mark is not None else ""
    if node.kind == "flow":
        yield f'{pad}subgraph {node.key}["{words}"]'
        for child in drawing.nodes:
            if child.parent == node.key:
                yield from _mermaid_box(drawing, child, depth + 1)
        yield f"{pad}end"
        if node.mark is not None:
            yield f"{pad}class {node.key} {node.mark.state}"
    elif node.kind == "retry":
        yield f'{pad}{node.key}(["{words}"]){look}'
    else:
        yield f'{pad}{node.key}["{words}"]{look}'
