"""Layouts are readable: boxes do not overlap, no edge passes through a box, nothing is off the page."""

import itertools
import random

import networkx as nx
import pytest

from stackl_flow.diagrams import NodeStatus, from_graph, svg
from stackl_flow.diagrams.layout import Cell, count_crossings, fit_positions, reduce_crossings

STATES = ["PENDING", "RUNNING", "SUCCESS", "FAILURE", "REVERTING", "REVERTED", "REVERT_FAILURE", "IGNORE"]


class Plan:
    """Builds by hand what `Plan.graph` returns."""

    def __init__(self, name="flow"):
        self.graph = nx.DiGraph(name=name)
        self.statuses = {}
        self.flows = 0

    def flow(self, name, parent=None):
        begin, end = f"begin {self.flows}", f"end {self.flows}"
        self.flows += 1
        self.graph.add_node(begin, kind="flow", label=name, parent=parent)
        self.graph.add_node(end, kind="flow_end", label=name, parent=parent, partner=begin)
        return begin, end

    def atom(self, name, parent, kind="task", state=None):
        self.graph.add_node(name, kind=kind, label=name, parent=parent)
        if state:
            self.statuses[name] = NodeStatus(state, 1.5)
        return name

    def diagram(self):
        return from_graph(self.graph, self.statuses, NodeStatus("RUNNING", 12.0))


def chain(count):
    plan = Plan()
    begin, end = plan.flow("chain")
    names = [plan.atom(f"step_{number}", begin, state="SUCCESS") for number in range(count)]
    plan.graph.add_edges_from(itertools.pairwise([begin, *names, end]))
    return plan


def loose(count):
    plan = Plan()
    begin, end = plan.flow("loose")
    for number in range(count):
        name = plan.atom(f"my.package:copy_{number}", begin, state="PENDING")
        plan.graph.add_edges_from([(begin, name), (name, end)])
    return plan


def fan(count):
    plan = Plan()
    begin, _ = plan.flow("fan")
    source, sink = plan.atom("source", begin), plan.atom("sink", begin)
    plan.graph.add_edge(source, sink)
    for number in range(count):
        name = plan.atom(f"part_{number}", begin, state="RUNNING")
        plan.graph.add_edges_from([(source, name), (name, sink)])
    return plan


def tangle(count, seed):
    rng = random.Random(seed)
    plan = Plan()
    begin, _ = plan.flow("tangle")
    names = []
    for number in range(count):
        name = f"atom_{number}" + "_with.a.long.name" * rng.choice([0, 0, 0, 1, 4])
        plan.atom(name, begin, rng.choice(["task", "task", "retry"]), rng.choice(STATES))
        for before in rng.sample(names, min(len(names), rng.choice([0, 1, 1, 2, 3]))):
            plan.graph.add_edge(before, name, **({"decider": "ALL"} if rng.random() < 0.2 else {}))
        names.append(name)
    return plan


def nest(seed):
    rng = random.Random(seed)
    plan = Plan()

    def fill(parent, depth):
        inner = []
        for number in range(rng.randint(0, 5)):
            if depth < 3 and rng.random() < 0.4:
                begin, end = plan.flow(f"part_{plan.flows}", parent)
                fill(begin, depth + 1)
            else:
                begin = end = plan.atom(f"{parent}/{number}", parent, state=rng.choice(STATES))
            for _, before in rng.sample(inner, min(len(inner), rng.randint(0, 2))):
                plan.graph.add_edge(before, begin)
            inner.append((begin, end))

    fill(plan.flow("outer")[0], 0)
    return plan


ALL = {
    **{f"chain {count}": chain(count) for count in (0, 1, 2, 20, 21, 200)},
    **{f"loose {count}": loose(count) for count in (1, 5, 200)},
    **{f"fan {count}": fan(count) for count in (1, 7, 100, 198)},
    **{f"tangle {count}": tangle(count, count) for count in (1, 2, 10, 50, 120, 200)},
    **{f"nest {seed}": nest(seed) for seed in range(15)},
}


@pytest.fixture(params=ALL.values(), ids=ALL.keys())
def page(request):
    return svg.build_scene(request.param.diagram())


def inside(inner, outer):
    return (
        inner.x >= outer.x - 0.01
        and inner.y >= outer.y - 0.01
        and inner.x + inner.width <= outer.x + outer.width + 0.01
        and inner.y + inner.height <= outer.y + outer.height + 0.01
    )


def apart(one, other):
    return (
        one.x + one.width <= other.x + 0.01
        or other.x + other.width <= one.x + 0.01
        or one.y + one.height <= other.y + 0.01
        or other.y + other.height <= one.y + 0.01
    )


def trace(route):
    """Yield points along a route, as the SVG draws it."""
    for (x, y), (to_x, to_y) in itertools.pairwise(route.points):
        half = (y + to_y) / 2
        for step in range(21):
            t = step / 20
            if route.shape == "elbow" or abs(x - to_x) < 0.05:
                yield x + (to_x - x) * t, y + (to_y - y) * t
            else:
                a, b, c, d = (1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3
                yield (a + b) * x + (c + d) * to_x, a * y + (b + c) * half + d * to_y


def test_boxes_are_inside_their_flow_and_do_not_overlap(page):
    boxes = {box.node.key: box for box in page.boxes}
    for box in page.boxes:
        if box.node.parent is not None:
            assert inside(box, boxes[box.node.parent])
    by_parent = itertools.groupby(
        sorted(page.boxes, key=lambda b: b.node.parent or ""), lambda b: b.node.parent
    )
    for _, group in by_parent:
        for one, other in itertools.combinations(list(group), 2):
            assert apart(one, other), (one, other)


def test_edges_pass_through_no_box(page):
    boxes = {box.node.key: box for box in page.boxes}
    for route in page.routes:
        source = boxes[route.source]
        others = [
            b
            for b in page.boxes
            if b.node.parent == source.node.parent and b.node.key not in (route.source, route.target)
        ]
        for x, y in trace(route):
            assert 0 <= x <= page.width
            assert 0 <= y <= page.height
            for box in others:
                hit = box.x + 0.5 < x < box.x + box.width - 0.5 and box.y + 0.5 < y < box.y + box.height - 0.5
                assert not hit, (route, box)


def test_edges_go_from_the_bottom_of_one_box_to_the_top_of_another(page):
    boxes = {box.node.key: box for box in page.boxes}
    for route in page.routes:
        source, target = boxes[route.source], boxes[route.target]
        assert route.points[0] == pytest.approx((source.x + source.width / 2, source.y + source.height))
        assert route.points[-1] == pytest.approx((target.x + target.width / 2, target.y))


def test_text_fits_into_its_box(page):
    for box in page.boxes:
        if box.node.kind != "flow":
            assert max(len(line) for line in box.lines) * 0.61 * svg.NAME_SIZE <= box.width
            assert len(box.caption) * 0.61 * svg.CAPTION_SIZE <= box.width


def test_every_edge_of_the_graph_is_drawn():
    diagram = tangle(60, 5).diagram()
    assert {(r.source, r.target) for r in svg.build_scene(diagram).routes} == {
        (k.source, k.target) for k in diagram.edges
    }


def test_long_chains_and_wide_flows_keep_a_readable_aspect_ratio():
    for plan in (chain(200), loose(200), fan(200)):
        page = svg.build_scene(plan.diagram())
        assert 0.7 < page.width / page.height < 3.5


def test_fitted_positions_keep_order_and_distance_and_are_as_desired_where_possible():
    assert fit_positions([0, 10, 20], [1, 1, 1], [0, 5, 10]) == [0, 10, 20]
    assert fit_positions([5, 5], [1, 1], [0, 4]) == [3, 7]
    assert fit_positions([5, 5], [3, 1], [0, 4]) == [4, 8]


def test_reordering_removes_crossings():
    top, bottom = [Cell(1, None) for _ in range(4)], [Cell(1, None) for _ in range(4)]
    for one, other in zip(top, reversed(bottom), strict=True):
        one.below.append(other)
        other.above.append(one)
    rows = [top, bottom]
    assert count_crossings(rows) == 6
    reduce_crossings(rows)
    assert count_crossings(rows) == 0
