"""Builds a flow from its spec, with this library or with TaskFlow, which has the same public names."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from stackl_flow import engines, retry, task
from stackl_flow.patterns import deciders, graph_flow, linear_flow, unordered_flow
from tests.support.random_flows.record import Call, PlannedError, Recorder, arguments
from tests.support.random_flows.spec import ALWAYS, Case, FlowSpec, LinkSpec, RetrySpec, TaskSpec


@dataclass(frozen=True, slots=True)
class Library:
    """The public modules of a library.

    Attributes:
        task: the module with Task.
        retry: the module with Times and the others.
        patterns: the module with Flow, by kind of flow.
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
    """Builds the objects of one case.

    Attributes:
        library: what to build from.
        recorder: records the calls of the atoms.
        suspend: called by a task that suspends; set when the engine exists.
    """

    library: Library
    recorder: Recorder
    suspend: Callable[[], None] = lambda: None

    def flow(self, spec: FlowSpec) -> Any:
        """Build a flow.

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
        made = _task_class(self.library.task.Task)(
            name=spec.name, provides=spec.provides, requires=spec.requires, inject=dict(spec.inject) or None
        )
        made.priority = spec.priority
        made.spec, made.builder = spec, self
        return made

    def _retry(self, spec: RetrySpec) -> Any:
        base = getattr(self.library.retry, spec.kind)
        made = _retry_class(base)(**_retry_arguments(spec))
        made.recorder = self.recorder
        return made


@functools.cache
def _task_class(base: Any) -> Any:
    return type("SpecTask", (base,), {"execute": _execute, "revert": _revert})


@functools.cache
def _retry_class(base: Any) -> Any:
    methods = {what: _recorded(base, what) for what in ("execute", "revert", "on_failure")}
    return type("SpecRetry", (base,), methods)


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
    """The execute method of tasks: record the call, then fail or return a value; both name the execution."""
    spec: TaskSpec = self.spec
    recorder = self.builder.recorder
    count = recorder.count(spec.name, "execute") + 1
    fails = spec.fails == ALWAYS or count <= spec.fails
    result = f"{spec.name} execute {count}" if fails else f"{spec.name}#{count}"
    recorder.record(spec.name, Call("execute", arguments(seen), result))
    if spec.suspends and count == 1:
        self.builder.suspend()
    if fails:
        raise PlannedError(result)
    return result


def _revert(self: Any, result: object, flow_failures: Mapping[str, object], **seen: object) -> None:
    """The revert method of tasks: record the call, then fail if planned."""
    spec: TaskSpec = self.spec
    shown = result if isinstance(result, str) else type(result).__name__
    call = Call("revert", arguments(seen), shown, tuple(sorted(flow_failures)))
    count = self.builder.recorder.record(spec.name, call)
    if spec.revert_fails == ALWAYS or count <= spec.revert_fails:
        raise PlannedError(f"{spec.name} revert {count}")


def _recorded(base: Any, what: str) -> Callable[..., Any]:
    """Wrap a method of a retry so that it records its calls, and keep its signature."""
    method = getattr(base, what)

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen = dict(kwargs)
        history = seen.pop("history", ())
        failures = tuple(sorted(seen.pop("flow_failures", ())))
        past = str([(provided, sorted(failed)) for provided, failed in history])
        self.recorder.record(self.name, Call(what, arguments(seen), past, failures))
        return method(self, *args, **kwargs)

    return call


def _decide(answer: str, history: Mapping[str, object]) -> bool:
    """The deciders: 'second' lets the target run when a source has run at least twice."""
    if answer == "second":
        return any(isinstance(value, str) and not value.endswith("#1") for value in history.values())
    return answer == "yes"


def load(case: Case, library: Library = OURS, **options: Any) -> tuple[Any, Recorder]:
    """Build a case and an engine for it.

    Returns:
        The engine and the recorder of its atoms.
    """
    builder = Builder(library, Recorder())
    flow = builder.flow(case.flow)
    engine = library.engines.load(flow, store=dict(case.store), **{**dict(case.options), **options})
    builder.suspend = engine.suspend
    return engine, builder.recorder
