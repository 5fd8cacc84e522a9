"""What came of a flow's atoms: results, failures and the histories of retries, by atom name.

The part of ``Storage`` that only reads; the names are TaskFlow's.
"""

from __future__ import annotations

from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.engines.ledger import Ledger
from stackl_flow.failure import Failure
from stackl_flow.persistence.models import AtomDetail, RetryDetail
from stackl_flow.retry import History

_EXECUTED: Final = (st.SUCCESS, st.REVERTING, st.FAILURE)
_REVERTED: Final = (st.REVERTED, st.REVERT_FAILURE)


class Results:
    """Answers what came of each atom.

    Args:
        ledger: where it is all written down.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def _detail(self, atom_name: str) -> AtomDetail:
        detail = self._ledger.by_name.get(atom_name)
        if detail is None:
            raise exc.NotFound(f"Unknown atom name '{atom_name}' in flow '{self._ledger.flow.name}'")
        return detail

    def get_execute_result(self, atom_name: str) -> Any:
        """Return what an atom's ``execute`` gave.

        Args:
            atom_name: its name.

        Returns:
            The result, or the failure; of a retry all results so far, each with the failures that followed.

        Raises:
            NotFound: there is none: it did not run yet, was ignored, or was undone.
        """
        detail = self._detail(atom_name)
        if detail.failure is not None:
            return detail.failure
        if detail.state not in _EXECUTED:
            raise self._unknown(detail, "execution")
        return detail.results

    get = get_execute_result

    def get_revert_result(self, atom_name: str) -> Any:
        """Return what an atom's ``revert`` gave.

        Args:
            atom_name: its name.

        Returns:
            The result, or the failure.

        Raises:
            NotFound: there is none.
        """
        detail = self._detail(atom_name)
        if detail.revert_failure is not None:
            return detail.revert_failure
        if detail.state not in _REVERTED:
            raise self._unknown(detail, "revert")
        return detail.revert_results

    @staticmethod
    def _unknown(detail: AtomDetail, what: str) -> exc.NotFound:
        why = " (as it was ignored)" if detail.state == st.IGNORE else f" (it is {detail.state})"
        return exc.NotFound(f"Result for atom '{detail.name}' {what} is not known{why}")

    def get_execute_failures(self) -> dict[str, Failure]:
        """Return the failures of ``execute``, by atom name; one that later succeeded has none."""
        found = self._in_order()
        return {detail.name: detail.failure for detail in found if detail.failure is not None}

    get_failures = get_execute_failures

    def get_revert_failures(self) -> dict[str, Failure]:
        """Return the failures of ``revert``, by atom name."""
        found = self._in_order()
        return {d.name: d.revert_failure for d in found if d.revert_failure is not None}

    def _in_order(self) -> list[AtomDetail]:
        failed = self._ledger.failed
        plan = self._ledger.plan
        if plan is None:
            return list(failed.values())
        return [failed[name] for name in sorted(failed, key=lambda name: plan.index.get(name, len(plan)))]

    def has_failures(self) -> bool:
        """Say whether anything failed."""
        return bool(self._ledger.failed)

    def get_retry_history(self, retry_name: str) -> History:
        """Return what a retry has tried.

        Args:
            retry_name: its name.

        Returns:
            The history.

        Raises:
            NotFound: the flow has no such retry.
        """
        detail = self._detail(retry_name)
        if not isinstance(detail, RetryDetail):
            raise exc.NotFound(f"atom '{retry_name}' is a task: only retries have a history")
        return History(detail.results, failure=detail.failure)

    def get_retry_histories(self) -> list[tuple[str, History]]:
        """Return what every retry has tried, by name."""
        return [
            (detail.name, History(detail.results, failure=detail.failure))
            for detail in self._ledger.flow
            if isinstance(detail, RetryDetail)
        ]
