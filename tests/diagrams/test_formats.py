"""The three formats show the same names, states, flows and edges."""

import xml.etree.ElementTree as ET

import networkx as nx
import pytest

from stackl_flow import exceptions as exc
from stackl_flow.diagrams import NodeStatus, from_graph, render, to_dot, to_mermaid, to_svg
from stackl_flow.diagrams.model import STATE_COLORS, colors_of, format_duration
from stackl_flow.diagrams.svg import shorten, text_cells, wrap

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def graph():
    graph = nx.DiGraph(name="order")
    for name, number, parent in (("order", 0, None), ("payment", 1, "order[0")):
        graph.add_node(f"{name}[{number}", kind="flow", label=name, parent=parent)
        graph.add_node(
            f"{name}]{number}", kind="flow_end", label=name, parent=parent, partner=f"{name}[{number}"
        )
    graph.add_node("reserve", kind="task", label="reserve", parent="order[0")
    graph.add_node("again", kind="retry", label="again", parent="payment[1")
    graph.add_node("pay", kind="task", label="pay", parent="payment[1")
    graph.add_node("ship", kind="task", label="ship", parent="order[0")
    graph.add_edges_from(
        [("order[0", "reserve"), ("reserve", "payment[1"), ("payment[1", "again"), ("again", "pay")]
    )
    graph.add_edges_from([("pay", "payment]1"), ("ship", "order]0")])
    graph.add_edge("payment]1", "ship", decider="ALL")
    return graph


STATUSES = {
    "reserve": NodeStatus("REVERTED", 0.5),
    "pay": NodeStatus("FAILURE", 61.0),
    "again": NodeStatus("SUCCESS"),
}


def read(svg):
    return ET.fromstring(svg)  # noqa: S314  our own text


def texts(svg):
    return [element.text for element in read(svg).iter(f"{SVG}text")]


def test_start_and_end_of_a_flow_become_one_box_and_edges_join_siblings(graph):
    diagram = from_graph(graph)
    labels = {node.key: node.label for node in diagram.nodes}
    assert {(labels[edge.source], labels[edge.target], edge.conditional) for edge in diagram.edges} == {
        ("reserve", "payment", False),
        ("again", "pay", False),
        ("payment", "ship", True),
    }
    assert (diagram.root.label, diagram.root.parent) == ("order", None)


def test_a_single_task_gets_a_frame():
    graph = nx.DiGraph(name="just")
    graph.add_node("one", kind="task", label="one", parent=None)
    diagram = from_graph(graph, {"one": NodeStatus("SUCCESS")}, NodeStatus("SUCCESS", 2))
    assert [(node.label, node.kind, node.parent) for node in diagram.nodes] == [
        ("just", "flow", None),
        ("one", "task", "n0"),
    ]
    assert "one" in texts(to_svg(diagram))


def test_svg_shows_names_states_durations_and_a_legend_of_states_that_occur(graph):
    found = texts(to_svg(from_graph(graph, STATUSES, NodeStatus("REVERT_FAILURE", 75))))
    assert {"order", "payment", "reserve", "again", "pay", "ship"} <= set(found)
    assert {
        "REVERTED · 500 ms",
        "FAILURE · 1 min 1 s",
        "retry · SUCCESS",
        "REVERT_FAILURE · 1 min 15 s",
    } <= set(found)
    assert found[-4:] == ["SUCCESS", "FAILURE", "REVERTED", "REVERT_FAILURE"]


def test_svg_without_states_has_no_legend(graph):
    found = texts(to_svg(from_graph(graph)))
    assert sorted(found) == sorted(["order", "payment", "reserve", "again", "retry", "pay", "ship"])


def test_an_edge_with_a_decider_is_dashed(graph):
    paths = [p for p in read(to_svg(from_graph(graph))).iter(f"{SVG}path") if "marker-end" in p.attrib]
    assert len(paths) == 3
    assert sum("stroke-dasharray" in path.attrib for path in paths) == 1


def test_svg_is_deterministic(graph):
    assert to_svg(from_graph(graph, STATUSES)) == to_svg(from_graph(graph, STATUSES))


@pytest.mark.parametrize(
    "name",
    ['<b>&"quoted"</b>', "new\nline", "bell\x07", "\ud800", "]]>", "a" * 5000, "日本語の名前" * 20, " ", "—"],
)
def test_any_name_gives_a_valid_file(name):
    graph = nx.DiGraph(name=name)
    graph.add_node(f"{name}[0", kind="flow", label=name, parent=None)
    graph.add_node(name, kind="task", label=name, parent=f"{name}[0")
    diagram = from_graph(graph, {name: NodeStatus("SUCCESS")})
    root = read(to_svg(diagram).encode("utf-8"))
    assert float(root.attrib["width"]) < 1000
    assert len(to_mermaid(diagram).encode().splitlines()) == 5
    assert len(to_dot(diagram).encode().splitlines()) == 9


def test_mermaid(graph):
    lines = to_mermaid(from_graph(graph, STATUSES, NodeStatus("RUNNING"))).splitlines()
    shown = {state: colors_of(state) for state in ("FAILURE", "REVERTED", "RUNNING", "SUCCESS")}
    assert [*lines[:10], *sorted(lines[10:13]), *lines[13:]] == [
        "flowchart TD",
        '    subgraph n1["order<br/>RUNNING"]',
        '        subgraph n2["payment"]',
        '            n4(["again<br/>retry · SUCCESS"]):::SUCCESS',
        '            n5["pay<br/>FAILURE · 1 min 1 s"]:::FAILURE',
        "        end",
        '        n3["reserve<br/>REVERTED · 500 ms"]:::REVERTED',
        '        n6["ship"]',
        "    end",
        "    class n1 RUNNING",
        "    n2 -.-> n6",
        "    n3 --> n2",
        "    n4 --> n5",
        *(
            f"    classDef {state} fill:{colors.fill},stroke:{colors.stroke},color:#24292f"
            for state, colors in shown.items()
        ),
    ]


def test_mermaid_names_are_escaped():
    graph = nx.DiGraph(name="f")
    graph.add_node("f[0", kind="flow", label="f", parent=None)
    graph.add_node("x", kind="task", label='a"] --> b[<script>;', parent="f[0")
    assert 'n2["a#34;#93; --#62; b#91;#60;script#62;#59;"]' in to_mermaid(from_graph(graph))


def test_dot(graph):
    text = to_dot(from_graph(graph, STATUSES))
    assert text.startswith('digraph "order" {')
    assert "subgraph cluster_n2 {" in text
    assert "n3 -> n2 [lhead=cluster_n2];" in text
    assert "n2 -> n6 [ltail=cluster_n2, style=dashed];" in text
    assert 'n3 [label="reserve\\nREVERTED · 500 ms", fillcolor="#fef3c7"' in text


def test_every_state_has_colors():
    from stackl_flow import states

    known = {state for pair in (*states.FLOW_TRANSITIONS, *states.RETRY_TRANSITIONS) for state in pair}
    assert known == set(STATE_COLORS)
    assert colors_of("UNKNOWN") == colors_of(None)


def test_durations():
    wanted = {
        0: "0 ms",
        0.0123: "12 ms",
        0.9999: "1.00 s",
        9.994: "9.99 s",
        59.94: "59.9 s",
        59.96: "1 min",
        61: "1 min 1 s",
        3599.7: "1 h",
        3660: "1 h 1 min",
        90000: "1 d 1 h",
        -1: "0 ms",
    }
    assert {seconds: format_duration(seconds) for seconds in wanted} == wanted


def test_names_break_at_separators_and_lose_their_middle():
    assert wrap("short", 30, 3) == ("short",)
    assert wrap("a_rather_long.name_for:a-task", 12, 3) == ("a_rather_", "long.name_", "for:a-task")
    cut = wrap("start" + "x" * 500 + "end", 20, 2)
    assert len(cut) == 2
    assert cut[0].startswith("start")
    assert cut[1].endswith("end")
    assert "…" in "".join(cut)
    assert shorten("日本語の名前のタスク", 9) in {"日本…スク", "日本…タスク"[:9]}
    assert max(text_cells(line) for line in wrap("日本語" * 30, 11, 3)) <= 11


def test_an_unknown_format_is_refused(graph):
    assert render(from_graph(graph), "dot") == to_dot(from_graph(graph))
    with pytest.raises(exc.NotFound, match="unknown diagram format 'png': choose one of svg, mermaid, dot"):
        render(from_graph(graph), "png")
