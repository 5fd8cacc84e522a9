"""Compares a flow with what is stored of it, by the names of its atoms.

The rules are TaskFlow's: atoms may have been added, taken away or put in another order since. What it would
let pass and is refused here: an atom that became another kind of atom, and atoms that were taken away while
they still wait to be undone.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import secrecy
from stackl_flow import states as st
from stackl_flow.atom import Atom
from stackl_flow.engines.plan import Plan
from stackl_flow.failure import Failure
from stackl_flow.persistence.models import AtomDetail, FlowDetail, RetryDetail, TaskDetail, new_uuids
from stackl_flow.retry import Retry

_LOG = secrecy.logger(__name__)

_BEGUN: Final = frozenset({st.RUNNING, st.SUCCESS, st.FAILURE, st.REVERTING, st.REVERT_FAILURE})


def match(flow: FlowDetail, plan: Plan) -> list[AtomDetail]:
    """Compare, and add a detail for each atom that has none.

    Args:
        flow: what is known of the flow.
        plan: what is to run.

    Returns:
        The details that were added.

    Raises:
        FlowChanged: the flow is not the one that was stored.
    """
    known = {detail.name: detail for detail in flow}
    fresh: list[Atom] = []
    for atom, name in zip(plan.atoms, plan.names, strict=True):
        detail = known.get(name)
        if detail is None:
            fresh.append(atom)
        elif isinstance(detail, RetryDetail) is not isinstance(atom, Retry):
            was, now = ("retry", "task") if isinstance(detail, RetryDetail) else ("task", "retry")
            raise exc.FlowChanged(
                f"atom '{name}' of flow '{flow.name}' ({flow.uuid}) is stored as a {was} and is a {now} now:"
                f" give the {now} another name, or run with the code that stored it"
            )
    if len(known) + len(fresh) > len(plan):
        _check_removed(flow, plan)
    return [_add(flow, atom, uuid) for atom, uuid in zip(fresh, new_uuids(len(fresh)), strict=True)]


def renew(flow: FlowDetail, plan: Plan, notes: Mapping[str, Any], stored: FlowDetail) -> list[AtomDetail]:
    """Put what is stored of a flow in the place of what is known here; whoever owned it may have gone on.

    Args:
        flow: what is known of the flow; it is changed.
        plan: what is to run.
        notes: notes that were taken since and wait to be stored.
        stored: what is stored of it.

    Returns:
        The details that were added, of atoms that are not stored.

    Raises:
        FlowChanged: the flow is not the one that was stored.
    """
    flow.update(_with_live_errors(stored, flow))
    flow.meta = {**flow.meta, **notes}
    return match(flow, plan)


def _with_live_errors(stored: FlowDetail, here: FlowDetail) -> FlowDetail:
    """Put errors that are still live in this process in the place of what is stored of them.

    So that a flow taken up in the process in which it failed raises the error itself, as TaskFlow does.
    """
    for known in here:
        if known.failure is None and known.revert_failure is None:
            continue
        read = stored.find(known.uuid)
        if read is not None:
            read.failure = _live(read.failure, known.failure)
            read.revert_failure = _live(read.revert_failure, known.revert_failure)
    return stored


def _live(read: Failure | None, known: Failure | None) -> Failure | None:
    if read is None or known is None or not known.matches(read) or known.traceback_str != read.traceback_str:
        return read
    return known


def _check_removed(flow: FlowDetail, plan: Plan) -> None:
    gone = [detail for detail in flow if detail.name not in plan.index]
    undo = [
        detail.name for detail in gone if detail.intention in (st.REVERT, st.RETRY) and detail.state in _BEGUN
    ]
    if undo:
        raise exc.FlowChanged(
            f"flow '{flow.name}' ({flow.uuid}) is being undone and no longer has {undo}, which still wait"
            f" to be reverted: resume it with the code that ran them"
        )
    _LOG.warning(
        "flow '%s' (%s) no longer has the atoms %s: what is stored of them is left alone",
        flow.name, flow.uuid, [detail.name for detail in gone],
    )  # fmt: skip


def _add(flow: FlowDetail, atom: Atom, uuid: str) -> AtomDetail:
    kind = RetryDetail if isinstance(atom, Retry) else TaskDetail
    detail: AtomDetail = kind(str(atom.name), uuid)
    detail.state = st.PENDING
    detail.intention = st.EXECUTE
    version: Any = atom.version
    detail.version = _dotted(tuple(version)) if isinstance(version, (list, tuple)) else version
    flow.add(detail)
    return detail


@functools.cache  # nearly all atoms share one
def _dotted(version: tuple[Any, ...]) -> str:
    return ".".join(map(str, version))
