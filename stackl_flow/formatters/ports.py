"""What a formatter asks of an engine, so that it can tell of any that answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from stackl_flow.atom import Atom


class Scope(Protocol):
    """What is asked of a flow in a plan: its name, and the numbers of the nodes where it begins and ends."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def begin(self) -> int:
        """Where it begins."""

    @property
    def end(self) -> int:
        """Where it ends."""


class Plan(Protocol):
    """What is asked of a compiled flow."""

    @property
    def atoms(self) -> Sequence[Atom]:
        """The atoms, by number."""

    @property
    def index(self) -> Mapping[str, int]:
        """Their numbers, by name."""

    @property
    def preds(self) -> Sequence[Sequence[int]]:
        """For each node, the numbers of those right before it."""

    @property
    def scopes(self) -> Sequence[Scope]:
        """The flows."""


class Storage(Protocol):
    """What is asked of an engine's storage."""

    def get_atom_intention(self, atom_name: str) -> str:
        """Return what is meant to be done with an atom."""

    def get_atom_state(self, atom_name: str) -> str:
        """Return its state."""

    def get_execute_result(self, atom_name: str) -> Any:
        """Return what it gave."""

    def fetch_mapped_args(
        self,
        args_mapping: Mapping[str, str],
        atom_name: str | None = None,
        scope_walker: Any = None,
        optional_args: Iterable[str] | None = None,
    ) -> dict[str, Any]:
        """Return what it is given."""


class Engine(Protocol):
    """What is asked of an engine."""

    @property
    def storage(self) -> Storage | None:
        """Answers what there is to know of the flow."""

    @property
    def compilation(self) -> Plan | None:
        """The plan, or None before ``compile``."""
