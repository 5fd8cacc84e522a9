"""How a flow is answered, for people and for machines."""

import json
from typing import Any

from rich.console import Group, RenderableType

from stackl_flow.cli.output import plain
from stackl_flow.cli.tables import flow_panel, values_table
from stackl_flow.control.views import FlowView


def flow_answer(view: FlowView, *, results: bool) -> tuple[RenderableType, dict[str, Any]]:
    """Put the answer about one flow together.

    Args:
        view: the flow.
        results: with the values that its atoms have made.

    Returns:
        The answer for people, and the same for machines.
    """
    data: dict[str, Any] = plain(view)
    data["counts"] = view.counts()
    values = [(atom["name"], atom["result"]) for atom in data["atoms"]]
    parts: list[RenderableType] = [flow_panel(view)]
    if results:
        texts = [(name, json.dumps(value, ensure_ascii=False)) for name, value in values if value is not None]
        parts.append(values_table(texts))
    else:
        for atom in data["atoms"]:
            del atom["result"]
    return Group(*parts), data
