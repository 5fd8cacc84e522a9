"""Values that are given to a flow, or to one of its atoms, from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow.engines.ledger import Ledger
from stackl_flow.engines.plan import Plan
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import AtomDetail

META_INJECTED: Final = "injected"

_NOTHING: Final[Mapping[str, Any]] = {}


class Given:
    """Keeps given values: in the flow's notes, which are stored, or in this process only.

    Args:
        ledger: where the notes are.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._transient: dict[str, Any] = {}
        self._transient_of: dict[str, dict[str, Any]] = {}
        self._early: dict[str, Any] = {}

    def of_flow(self) -> Mapping[str, Any]:
        """Return what every atom may see; values of this process beat the stored ones."""
        stored: Mapping[str, Any] = self._ledger.flow.meta.get(META_INJECTED, _NOTHING)
        if not (self._early or self._transient):
            return stored
        return {**stored, **self._early, **self._transient}

    def of_atom(self, atom: int) -> Mapping[str, Any]:
        """Return what only one atom may see.

        Args:
            atom: its number.

        Returns:
            Values by name; those of this process beat the stored ones.
        """
        return self.of_detail(self._ledger.details[atom])

    def of_detail(self, detail: AtomDetail) -> Mapping[str, Any]:
        """Return what only one atom may see.

        Args:
            detail: its detail.

        Returns:
            Values by name; those of this process beat the stored ones.
        """
        stored = detail.meta.get(META_INJECTED) if detail.has_meta else None
        passing = self._transient_of.get(detail.name)
        if not stored:
            return passing or _NOTHING
        return {**stored, **passing} if passing else stored

    def give(self, pairs: Mapping[str, Any], *, transient: bool) -> None:
        """Give values to the whole flow.

        Args:
            pairs: values by name.
            transient: keep them in this process only.

        Raises:
            NotSerializable: a value has no JSON form and is to be stored.
        """
        if transient:
            self._transient.update(pairs)
            return
        self._check(pairs)
        if self._ledger.backend is not None and self._ledger.plan is None:
            self._early.update(pairs)  # the flow is not owned yet, and may be read anew until then
        else:
            self._store(pairs)

    def give_own(self, plan: Plan, *, transient: bool) -> None:
        """Give every atom what it was made with.

        Args:
            plan: gives the atoms.
            transient: as for ``give_to``.
        """
        for atom, name in zip(plan.atoms, plan.names, strict=True):
            if atom.inject:
                self.give_to(name, atom.inject, transient=transient)

    def give_to(self, atom_name: str, pairs: Mapping[str, Any], *, transient: bool) -> None:
        """Give values to one atom.

        Args:
            atom_name: its name.
            pairs: values by name.
            transient: keep them in this process only; otherwise they are written with the next move.

        Raises:
            NotSerializable: a value has no JSON form and is to be stored.
        """
        if transient:
            self._transient_of.setdefault(atom_name, {}).update(pairs)
            return
        self._check(pairs)
        detail = self._ledger.by_name[atom_name]
        self._ledger.touch(detail, {META_INJECTED: {**detail.meta.get(META_INJECTED, {}), **pairs}})

    def settle(self) -> None:
        """Have what was given before the flow was owned written with the next entry."""
        if self._early:
            meta = {**self._ledger.flow.meta, **self._noted(self._early)}
            self._early = {}
            self._ledger.note(meta)

    def _store(self, pairs: Mapping[str, Any]) -> None:
        self._ledger.update_meta(self._noted(pairs))

    def _noted(self, pairs: Mapping[str, Any]) -> dict[str, Any]:
        return {META_INJECTED: {**self._ledger.flow.meta.get(META_INJECTED, _NOTHING), **pairs}}

    def _check(self, pairs: Mapping[str, Any]) -> None:
        if self._ledger.backend is not None:
            check_storable(pairs, self._ledger.flow.name, self._ledger.backend)


def check_storable(pairs: Mapping[str, Any], flow_name: str, backend: Backend) -> None:
    """Check that values given to a flow have a stored form.

    Args:
        pairs: the values by name.
        flow_name: the flow, for the message.
        backend: where they are to be stored.

    Raises:
        NotSerializable: a value has no JSON form.
    """
    for name, value in pairs.items():
        try:
            backend.codec.encode(value)
        except exc.NotSerializable as error:
            raise exc.NotSerializable(
                f"value '{name}' given to flow '{flow_name}': {error};"
                f" or inject it with transient=True, which keeps it in this process only",
                cause=error.cause,
            ) from error
