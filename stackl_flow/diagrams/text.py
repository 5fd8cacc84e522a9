"""The text formats: Graphviz dot, and Mermaid flowcharts for READMEs and web pages."""

from collections.abc import Iterator

from stackl_flow.diagrams.model import Diagram, Edge, Node, caption, colors_of, printable


def to_dot(diagram: Diagram) -> str:
    """Write a diagram in the dot language; flows become clusters."""
    flows = {node.key for node in diagram.nodes if node.kind == "flow"}
    lines = [
        f"digraph {_dot_label(diagram.root.label)} {{",
        "    compound=true; rankdir=TB; fontname=monospace;",
        '    node [shape=box, style="rounded,filled", fillcolor="#f6f8fa", fontname=monospace];',
        *_dot_node(diagram, diagram.root, 1),
        *(_dot_edge(edge, flows) for edge in diagram.edges),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _dot_node(diagram: Diagram, node: Node, depth: int) -> Iterator[str]:
    indent = "    " * depth
    label = _dot_label(node.label, caption(node))
    colors = colors_of(node.status.state if node.status is not None else None)
    if node.kind == "flow":
        yield f"{indent}subgraph cluster_{node.key} {{"
        yield f'{indent}    label={label}; color="{colors.stroke}"; style=rounded;'
        # Graphviz draws no edge to a cluster; this invisible point is the end of such edges.
        yield f"{indent}    {node.key} [shape=point, style=invis];"
        for child in diagram.nodes:
            if child.parent == node.key:
                yield from _dot_node(diagram, child, depth + 1)
        yield f"{indent}}}"
    else:
        look = f'fillcolor="{colors.fill}", color="{colors.stroke}"'
        shape = ", shape=oval" if node.kind == "retry" else ""
        yield f"{indent}{node.key} [label={label}, {look}{shape}];"


def _dot_edge(edge: Edge, flows: set[str]) -> str:
    attributes = [f"ltail=cluster_{edge.source}"] if edge.source in flows else []
    attributes += [f"lhead=cluster_{edge.target}"] if edge.target in flows else []
    attributes += ["style=dashed"] if edge.conditional else []
    return f"    {edge.source} -> {edge.target}" + (f" [{', '.join(attributes)}];" if attributes else ";")


def _dot_label(*lines: str) -> str:
    escaped = (printable(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines if line)
    return '"' + "\\n".join(escaped) + '"'


def to_mermaid(diagram: Diagram) -> str:
    """Write a diagram as a Mermaid flowchart, without a Markdown fence around it."""
    lines = ["flowchart TD", *_mermaid_node(diagram, diagram.root, 1)]
    lines += [
        f"    {edge.source} {'-.->' if edge.conditional else '-->'} {edge.target}" for edge in diagram.edges
    ]
    for state in sorted({node.status.state for node in diagram.nodes if node.status is not None}):
        colors = colors_of(state)
        lines.append(f"    classDef {state} fill:{colors.fill},stroke:{colors.stroke},color:#24292f")
    return "\n".join(lines) + "\n"


def _mermaid_node(diagram: Diagram, node: Node, depth: int) -> Iterator[str]:
    indent = "    " * depth
    label = "<br/>".join(
        _mermaid_text(line) for line in (" ".join(node.label.split()), caption(node)) if line
    )
    css_class = f":::{node.status.state}" if node.status is not None else ""
    if node.kind == "flow":
        yield f'{indent}subgraph {node.key}["{label}"]'
        for child in diagram.nodes:
            if child.parent == node.key:
                yield from _mermaid_node(diagram, child, depth + 1)
        yield f"{indent}end"
        if node.status is not None:
            yield f"{indent}class {node.key} {node.status.state}"
    elif node.kind == "retry":
        yield f'{indent}{node.key}(["{label}"]){css_class}'
    else:
        yield f'{indent}{node.key}["{label}"]{css_class}'


_MERMAID_ESCAPES = {ord(character): f"#{ord(character)};" for character in '"<>{}[]|#;`\\'}


def _mermaid_text(line: str) -> str:
    return printable(line).translate(_MERMAID_ESCAPES)
