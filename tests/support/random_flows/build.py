"""A spec made into a real flow, of this library or of any other with the same public names.

TaskFlow's public names are ours, so one builder serves both; which library it is comes in as a `Library`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from stackl_flow import engines, retry, task
from stackl_flow.patterns import deciders, graph_flow, linear_flow, unordered_flow
from tests.support.random_flows.record import Call, FlowBoom, Recorder, arguments
from tests.support.random_flows.spec import ALWAYS, Case, FlowSpec, LinkSpec, RetrySpec, TaskSpec


@dataclass(frozen=True, slots=True)
class Library:
    """The public modules that a flow is built from.

    Attributes:
        task: the module with Task.
        retry: the module with Times and the others.
        patterns: module with Flow, for each kind of flow.
        depth: the enumeration of decider depths.
        engines: the module with load.
    """

    task: ModuleType
    retry: ModuleType
    patterns: Mapping[str, ModuleType]
    depth: Any
    engines: ModuleType


OURS = Library(
    task,
    retry,
    {"linear": linear_flow, "unordered": unordered_flow, "graph": graph_flow},
    deciders.Depth,
    engines,
)


@dataclass(slots=True)
class Builder:
    """Makes the objects of one case.

    Attributes:
        library: what to build from.
        recorder: where the atoms write their calls.
        suspend: called by a task that suspends; set once there is an engine.
    """

    library: Library
    recorder: Recorder
    suspend: Callable[[], None] = lambda: None

    def flow(self, spec: FlowSpec) -> Any:
        """Build a flow.

        Args:
            spec: what to build.

        Returns:
            The library's flow object.
        """
        made = self.library.patterns[spec.kind].Flow(
            spec.name, retry=self._retry(spec.retry) if spec.retry else None
        )
        nodes: dict[str, Any] = {}
        for child in spec.children:
            nodes[child.name] = self.flow(child) if isinstance(child, FlowSpec) else self._task(child)
            made.add(nodes[child.name])
        for link in spec.links:
            self._link(made, nodes, link)
        return made

    def _link(self, flow: Any, nodes: Mapping[str, Any], link: LinkSpec) -> None:
        source, target = nodes[link.source], nodes[link.target]
        if link.answer == "none":
            flow.link(source, target)
            return
        depth = getattr(self.library.depth, link.depth)
        flow.link(source, target, decider=functools.partial(_decide, link.answer), decider_depth=depth)

    def _task(self, spec: TaskSpec) -> Any:
        kind = type("SpecTask", (self.library.task.Task,), {"execute": _execute, "revert": _revert})
        made = kind(
            name=spec.name, provides=spec.provides, requires=spec.requires, inject=dict(spec.inject) or None
        )
        made.priority = spec.priority
        made.spec, made.builder = spec, self
        return made

    def _retry(self, spec: RetrySpec) -> Any:
        base = getattr(self.library.retry, spec.kind)
        methods = {what: _recorded(base, what) for what in ("execute", "revert", "on_failure")}
        made = type("SpecRetry", (base,), methods)(**_retry_arguments(spec))
        made.recorder = self.recorder
        return made


def _retry_arguments(spec: RetrySpec) -> dict[str, Any]:
    given: dict[str, Any] = {"name": spec.name, "provides": spec.provides}
    if spec.kind in {"Times", "ForEach", "ParameterizedForEach"}:
        given["revert_all"] = spec.revert_all
    if spec.kind == "Times":
        given["attempts"] = spec.attempts
    if spec.kind == "ForEach":
        given["values"] = [f"{spec.name}={number}" for number in range(spec.attempts)]
    return given


def _execute(self: Any, **seen: object) -> str:
    """Be a task's execute: write the call down, then fail or return a value; both name this execution."""
    spec: TaskSpec = self.spec
    recorder = self.builder.recorder
    count = recorder.count(spec.name, "execute") + 1
    fails = spec.fails == ALWAYS or count <= spec.fails
    result = f"{spec.name} execute {count}" if fails else f"{spec.name}#{count}"
    recorder.note(spec.name, Call("execute", arguments(seen), result))
    if spec.suspends and count == 1:
        self.builder.suspend()
    if fails:
        raise FlowBoom(result)
    return result


def _revert(self: Any, result: object, flow_failures: Mapping[str, object], **seen: object) -> None:
    """Be a task's revert: write down what it was shown, then fail if the spec says so."""
    spec: TaskSpec = self.spec
    shown = result if isinstance(result, str) else type(result).__name__
    call = Call("revert", arguments(seen), shown, tuple(sorted(flow_failures)))
    count = self.builder.recorder.note(spec.name, call)
    if spec.revert_fails == ALWAYS or count <= spec.revert_fails:
        raise FlowBoom(f"{spec.name} revert {count}")


def _recorded(base: Any, what: str) -> Callable[..., Any]:
    """Wrap a method of a retry so that it writes its calls down; its signature stays what it was."""
    method = getattr(base, what)

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen = dict(kwargs)
        history = seen.pop("history", ())
        failures = tuple(sorted(seen.pop("flow_failures", ())))
        past = str([(provided, sorted(failed)) for provided, failed in history])
        self.recorder.note(self.name, Call(what, arguments(seen), past, failures))
        return method(self, *args, **kwargs)

    return call


def _decide(answer: str, history: Mapping[str, object]) -> bool:
    """Be a decider: 'second' lets the target run once a source has run a second time."""
    if answer == "second":
        return any(isinstance(value, str) and not value.endswith("#1") for value in history.values())
    return answer == "yes"


def load(case: Case, library: Library = OURS, **options: Any) -> tuple[Any, Recorder]:
    """Build a case and an engine for it.

    Args:
        case: what to build.
        library: what to build it from.
        **options: passed on to `engines.load`, beside the case's own.

    Returns:
        The engine, and the recorder its atoms write to.
    """
    builder = Builder(library, Recorder())
    flow = builder.flow(case.flow)
    engine = library.engines.load(flow, store=dict(case.store), **{**dict(case.options), **options})
    builder.suspend = engine.suspend
    return engine, builder.recorder
