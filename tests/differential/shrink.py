"""Shrinks a case on which two libraries disagree, for failure messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace

from tests.support.random_flows import Case, FlowSpec, LinkSpec, TaskSpec


def shrink(case: Case, still_fails: Callable[[Case], bool]) -> Case:
    """Return the smallest case found for which `still_fails` is true."""
    smaller = next((other for other in _smaller(case) if still_fails(other)), None)
    return case if smaller is None else shrink(smaller, still_fails)


def _smaller(case: Case) -> Iterator[Case]:
    for option in case.options:
        yield replace(case, options=tuple(other for other in case.options if other != option))
    if case.runs > 1:
        yield replace(case, runs=1)
    for child in case.flow.children:
        if isinstance(child, FlowSpec):
            yield replace(case, flow=child)
    for flow in _smaller_flows(case.flow):
        yield replace(case, flow=flow)


def _smaller_flows(flow: FlowSpec) -> Iterator[FlowSpec]:
    if flow.retry is not None:
        yield replace(flow, retry=None)
    for at, child in enumerate(flow.children):
        if len(flow.children) > 1:
            links = tuple(link for link in flow.links if child.name not in {link.source, link.target})
            yield replace(flow, children=flow.children[:at] + flow.children[at + 1 :], links=links)
        for other in _smaller_children(child):
            if isinstance(other, FlowSpec) or other.name == child.name:
                yield replace(flow, children=(*flow.children[:at], other, *flow.children[at + 1 :]))
            else:
                links = tuple(_renamed(link, child.name, other.name) for link in flow.links)
                yield replace(
                    flow, children=(*flow.children[:at], other, *flow.children[at + 1 :]), links=links
                )
    for at in range(len(flow.links)):
        yield replace(flow, links=flow.links[:at] + flow.links[at + 1 :])
    if flow.retry is not None:
        yield from (replace(flow, retry=retry) for retry in _plainer(flow.retry))
    if flow.kind != "linear" and not flow.links:
        yield replace(flow, kind="linear")


def _smaller_children(child: TaskSpec | FlowSpec) -> Iterator[TaskSpec | FlowSpec]:
    if isinstance(child, TaskSpec):
        yield from _plainer(child)
        return
    if len(child.children) == 1 and isinstance(child.children[0], TaskSpec):
        yield child.children[0]
    yield from _smaller_flows(child)


def _plainer(atom):
    """Yield the atom with one field after another put back to what it is by default."""
    for field in fields(atom):
        if field.name not in {"name", "kind"} and getattr(atom, field.name) != field.default:
            yield replace(atom, **{field.name: field.default})
        if field.name == "requires":
            yield from (
                replace(atom, requires=tuple(r for r in atom.requires if r != one)) for one in atom.requires
            )


def _renamed(link: LinkSpec, old: str, new: str) -> LinkSpec:
    return replace(
        link,
        source=new if link.source == old else link.source,
        target=new if link.target == old else link.target,
    )
