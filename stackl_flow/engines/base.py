"""The engine interface, and the options that all engines have."""

from __future__ import annotations

import abc
import dataclasses
import difflib
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final, Self

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.engines.executors.calls import Wrapper
from stackl_flow.engines.plan import Plan
from stackl_flow.engines.storage import Storage
from stackl_flow.notifier import Notifier
from stackl_flow.patterns.base import Item
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import FlowDetail, new_uuid

_LOG = redaction.get_logger(__name__)

#: Options of the parallel engine.
_PARALLEL_OPTIONS: Final = frozenset({"executor", "max_workers"})
_FLAGS: Final = (
    "defer_reverts", "gather_statistics", "inject_transient", "never_resolve", "reset_reverted",
)  # fmt: skip
_TRUE: Final = frozenset({"1", "t", "true", "on", "y", "yes"})


class Engine(abc.ABC):
    """Runs one flow.

    Args:
        flow: the flow, or a lone task.
        flow_detail: the flow's detail.
        backend: where the detail is stored, or None.
        options: options by name; see each engine.
    """

    EXTRA_OPTIONS: ClassVar[frozenset[str]] = frozenset()
    """Options of this kind of engine besides those of ``EngineOptions``."""

    def __init__(
        self,
        flow: Item,
        flow_detail: FlowDetail,
        backend: Backend | None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._flow = flow
        self._flow_detail = flow_detail
        self._backend = backend
        self._options = dict(options or {})
        self._notifier = Notifier()
        self._atom_notifier = Notifier()

    @property
    def notifier(self) -> Notifier:
        """Notifies about transitions of the flow."""
        return self._notifier

    @property
    def atom_notifier(self) -> Notifier:
        """Notifies about transitions of tasks and retries."""
        return self._atom_notifier

    @property
    def options(self) -> dict[str, Any]:
        """The options that the engine was created with."""
        return self._options

    @property
    @abc.abstractmethod
    def storage(self) -> Storage:
        """State, results and values of the flow."""

    @property
    @abc.abstractmethod
    def statistics(self) -> dict[str, Any]:
        """Numbers about the current or last run."""

    @property
    def compilation(self) -> Plan | None:
        """The plan; None before ``compile``, and in engines that do not have one."""
        return None

    @abc.abstractmethod
    def compile(self) -> None:
        """Compile the flow into a plan."""

    @abc.abstractmethod
    def prepare(self) -> None:
        """Take ownership of the flow, and match it with what is stored."""

    @abc.abstractmethod
    def validate(self) -> None:
        """Check that every required argument has a provider."""

    @abc.abstractmethod
    def run(self, timeout: float | None = None) -> None:
        """Run the flow until it is finished or suspended."""

    def run_iter(self, timeout: float | None = None) -> Iterator[str]:
        """Run the flow step by step, if this engine can.

        Args:
            timeout: maximum seconds to wait for calls in one step.

        Returns:
            The engine's states.

        Raises:
            NotSupported: the engine only has ``run``, as an engine written for TaskFlow may.
        """
        del timeout
        raise exc.NotSupported(
            f"{type(self).__name__} cannot run '{self._flow.name}' step by step: call run()"
        )

    @abc.abstractmethod
    def suspend(self) -> None:
        """Request suspension."""

    @abc.abstractmethod
    def reset(self) -> None:
        """Reset the flow and all its atoms to PENDING."""


@dataclasses.dataclass(frozen=True, slots=True)
class EngineOptions:
    """The options that all engines have.

    Attributes:
        defer_reverts: an inner retry that gives up has everything reverted, not only its own flow.
        never_resolve: a failure stops the flow and nothing is reverted.
        inject_transient: values of an atom's ``inject=`` are kept in this process only.
        gather_statistics: collect statistics of each run.
        clock: provides the times of transitions.
        owner: name under which the flow is owned; host, process ID and a random part if left out.
        reset_reverted: ``prepare`` resets a flow that was reverted, so that it runs again from the beginning.
            Otherwise call ``reset`` for that.
        wrap: wraps the work of each call, or several that do; see ``FlowEngine.add_wrapper``.
        factories: the allow-list of factories for calls that are sent to other processes; None for that of
            the environment.
    """

    defer_reverts: bool = False
    never_resolve: bool = False
    inject_transient: bool = True
    gather_statistics: bool = True
    clock: Clock = SYSTEM
    owner: str = ""
    reset_reverted: bool = True
    wrap: tuple[Wrapper, ...] = ()
    factories: tuple[str, ...] | None = None

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any], extra: frozenset[str] = frozenset()) -> Self:
        """Read options; an unknown one is ignored with a warning (TaskFlow ignores it silently).

        Args:
            options: options by name; flags may be text such as "true" and "no".
            extra: names of options that are read elsewhere.
        """
        known = extra | _OPTION_NAMES
        for name in sorted(options.keys() - known):
            _LOG.warning("unknown engine option '%s' is ignored: %s", name, _suggest(name, known))
        return cls(
            **{name: parse_flag(options[name]) for name in _FLAGS if name in options},
            clock=options.get("clock") or SYSTEM,
            owner=options.get("owner") or f"{socket.gethostname()}:{os.getpid()}:{new_uuid()[:8]}",
            wrap=_parse_wrappers(options.get("wrap")),
            factories=None if options.get("factories") is None else tuple(options["factories"]),
        )


_OPTION_NAMES: Final = frozenset(field.name for field in dataclasses.fields(EngineOptions))


def _parse_wrappers(value: Any) -> tuple[Wrapper, ...]:
    wrappers = () if value is None else (value,) if callable(value) else tuple(value)
    for wrap in wrappers:
        if not callable(wrap):
            raise TypeError(f"option wrap= takes callables such as trace(call, perform), not {wrap!r}")
    return wrappers


def parse_flag(value: object) -> bool:
    """Return the value of an option that is a flag, which may be text such as "true" and "no"."""
    return value.strip().lower() in _TRUE if isinstance(value, str) else bool(value)


def _suggest(name: str, known: frozenset[str]) -> str:
    if name in _PARALLEL_OPTIONS:
        return "it requires engine='parallel'"
    similar = difflib.get_close_matches(name, known | _PARALLEL_OPTIONS, n=1)
    return f"did you mean '{similar[0]}'?" if similar else f"known options are {', '.join(sorted(known))}"
