"""The wire format of calls and reports: JSON messages for executors that perform calls in other processes.

A message is a JSON object with the version of the format and a type. Values in it (arguments, results,
details of progress, failures) are texts of the codec inside the JSON text, so that a program can route a
message without decoding what it carries. ``docs/reference/wire.md`` specifies all messages.

A call names its atom, not its code. The receiver finds the atom by the flow's **factory**, which it calls
once for each flow, or by the atom's **class**, if the class can be imported and its constructor takes nothing
beyond the arguments of `Task`: then an instance without arguments does the same. What can be found in neither
way is refused by ``validate()`` of the engine (see `Encoder`), before anything runs.
"""

from __future__ import annotations

import contextvars
import inspect
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from stackl_flow import codec as codecs
from stackl_flow import exceptions as exc
from stackl_flow import plugins
from stackl_flow.atom import Atom
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.codec import TextCodec
from stackl_flow.engines.executors.calls import (
    EXECUTE,
    REVERT,
    Call,
    CallId,
    Cancelled,
    Completion,
    Interrupted,
    Process,
    Progress,
    Report,
    Run,
    Started,
    perform,
)
from stackl_flow.engines.factories import META_FACTORY, AllowList, make_flow
from stackl_flow.engines.lazy_copy import LazyCopy
from stackl_flow.engines.plan import TASK, Plan, compile_flow
from stackl_flow.failure import Failure
from stackl_flow.persistence.serialization import failure_to_json
from stackl_flow.task import Task

#: The version of the format that this code writes; it reads this and all older ones.
VERSION: Final = 1
#: Where an executor sends calls: to processes of this machine that this program started, or elsewhere.
PROCESSES: Final = "processes"
REMOTE: Final = "remote"
#: How many flows a receiver keeps.
MAX_FLOWS: Final = 32

_FORMAT: Final = "stackl_flow"
_MAIN: Final = "__main__"
#: The parameters that the constructor of every task has.
_TASK_PARAMETERS: Final = frozenset(inspect.signature(Task.__init__).parameters)
#: Those of them that a receiver gives.
_GIVEN: Final = frozenset({"self", "name"})
_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_SHOWN: Final = 5


# ---------------------------------------------------------------------- how an atom is found


class FactorySource(NamedTuple):
    """The atom is in the flow that a factory makes; ``arguments`` is the text of its args and kwargs."""

    factory: str
    arguments: str


class ClassSource(NamedTuple):
    """The atom is an instance of a class, ``module:Class``, made without arguments."""

    name: str


Source = FactorySource | ClassSource


class CallMessage(NamedTuple):
    """A call as it was received.

    Attributes:
        id: identifies the call.
        flow_name: the name of the flow.
        source: how the atom is found.
        arguments: the arguments of the method.
        deadline: when the call has to be complete, in seconds since the epoch; None for no limit.
    """

    id: CallId
    flow_name: str
    source: Source
    arguments: dict[str, Any]
    deadline: float | None


class Encoder:
    """Encodes the calls of one flow, after it checked that a receiver finds each of its tasks.

    Args:
        plan: the plan of the flow.
        meta: the metadata of the flow, with its factory if it has one.
        target: where the calls are sent, ``PROCESSES`` or ``REMOTE``.
        codec: encodes values.
        factories: the allow-list, as for ``engines.flow_from_detail``.

    Raises:
        NotSupported: a task cannot be found by a receiver; the message names all such tasks.
    """

    def __init__(
        self,
        plan: Plan,
        meta: Mapping[str, Any],
        target: str,
        codec: TextCodec = codecs.DEFAULT,
        factories: Collection[str] | None = None,
    ) -> None:
        self._codec = codec
        self._sources: dict[str, Source] = {}
        is_remote, allowed = target == REMOTE, AllowList(factories)
        tasks = {
            name: atom
            for name, atom, kind in zip(plan.names, plan.atoms, plan.kinds, strict=False)
            if kind == TASK
        }
        stored = meta.get(META_FACTORY)
        reasons: dict[str, str] = {}
        if stored:
            source, found, reason = _try_factory(stored, codec, allowed, is_remote=is_remote)
        else:
            source, found, reason = None, {}, "its flow has no factory (use load_from_factory)"
        for name, atom in tasks.items():
            if source is not None and type(found.get(name)) is type(atom):
                self._sources[name] = source
                continue
            if source is not None:
                reason = f"the flow that '{source.factory}' makes does not have it"
            class_reason = _why_not_by_class(type(atom), allowed, is_remote=is_remote)
            if class_reason is None:
                self._sources[name] = ClassSource(_class_name(type(atom)))
            else:
                reasons[name] = f"{reason}, and {class_reason}"
        if reasons:
            raise _cannot_be_sent(str(plan.name), reasons, is_remote=is_remote)

    def source_of(self, atom: str) -> Source:
        """Return how the atom of this name is found."""
        return self._sources[atom]

    def encode(self, call: Call, deadline: float | None = None) -> str:
        """Encode a call.

        Args:
            call: the call.
            deadline: when it has to be complete, in seconds since the epoch.

        Raises:
            NotSerializable: an argument has no JSON form; the message names it.
        """
        arguments = {
            name: dict(value) if isinstance(value, LazyCopy) else value
            for name, value in call.arguments.items()
        }
        message = CallMessage(call.id, call.run.flow_name, self._sources[call.id.atom], arguments, deadline)
        return encode_call(message, self._codec)

    def decode_report(self, text: str) -> Report:
        """Decode a report; see the function of this name."""
        return decode_report(text, self._codec)


def _try_factory(
    stored: Mapping[str, Any], codec: TextCodec, allowed: AllowList, *, is_remote: bool
) -> tuple[FactorySource | None, Mapping[str, Atom], str]:
    """Return how atoms are found by a factory, and the atoms; or the reason why they are not."""
    name = str(stored["name"])
    args, kwargs = list(stored.get("args") or ()), dict(stored.get("kwargs") or {})
    if is_remote and _is_main(name):
        return None, {}, f"factory '{name}' is in the script that runs here (move it to a module)"
    try:
        source = FactorySource(name, codec.encode({"args": args, "kwargs": kwargs}))
        return source, _atoms_by_name(make_flow(name, args, kwargs, allowed)), ""
    except exc.StacklFlowError as error:
        return None, {}, f"its factory cannot be used ({error.args[0]})"


def _atoms_by_name(flow: Any) -> dict[str, Atom]:
    plan = compile_flow(flow)
    return dict(zip(plan.names, plan.atoms, strict=False))


def _is_main(name: str) -> bool:
    return name.replace(":", ".").partition(".")[0] == _MAIN


def _class_name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _why_not_by_class(kind: type, allowed: AllowList, *, is_remote: bool) -> str | None:
    """Return why a receiver cannot make a task of a class; None if it can."""
    name = _class_name(kind)
    if is_remote and _is_main(name):
        return f"class '{name}' is in the script that runs here"
    needed = _needed_arguments(kind)
    if needed:
        return f"the constructor of class '{name}' takes {', '.join(needed)}"
    try:
        found = plugins.import_object(name, "task")
        allowed.check_name(name)
    except exc.StacklFlowError:
        return f"class '{name}' cannot be imported by its name, or is not on the allow-list"
    return None if found is kind else f"class '{name}' is not what its name imports"


def _needed_arguments(kind: type) -> list[str]:
    """Name the parameters of a class of tasks that tasks in general do not have, or that must be given."""
    parameters = inspect.signature(kind.__init__).parameters  # type: ignore[misc]  # the class decides
    own = [
        name
        for name, parameter in parameters.items()
        if parameter.kind not in _VARIADIC
        and (name not in _TASK_PARAMETERS or (parameter.default is parameter.empty and name not in _GIVEN))
    ]
    return [f"'{name}'" for name in own]


def _cannot_be_sent(flow: str, reasons: Mapping[str, str], *, is_remote: bool) -> exc.NotSupported:
    where = "workers" if is_remote else "other processes"
    shown = "; ".join(f"task '{name}': {reason}" for name, reason in list(reasons.items())[:_SHOWN])
    more = len(reasons) - _SHOWN
    others = f"; and {more} more" if more > 0 else ""
    return exc.NotSupported(
        f"{len(reasons)} task(s) of flow '{flow}' cannot be sent to {where}: {shown}{others}. Make the flow "
        f"by a function at the top level of a module (load_from_factory), or use classes of tasks whose "
        f"constructors take nothing beyond Task's own arguments"
    )


# ---------------------------------------------------------------------- messages


def encode_call(message: CallMessage, codec: TextCodec = codecs.DEFAULT) -> str:
    """Encode a call as a message.

    Raises:
        NotSerializable: an argument has no JSON form; the message names it.
    """
    flow, atom, action, attempt = message.id
    source = message.source
    if isinstance(source, FactorySource):
        found_by = {"factory": source.factory, "arguments": source.arguments}
    else:
        found_by = {"class": source.name}
    try:
        arguments = codec.encode(message.arguments)
    except exc.NotSerializable:
        raise _bad_argument(message, codec) from None
    return _encode(
        "call",
        flow={"uuid": flow, "name": message.flow_name},
        atom=atom,
        action=action,
        attempt=attempt,
        source=found_by,
        arguments=arguments,
        deadline=message.deadline,
    )


def _bad_argument(message: CallMessage, codec: TextCodec) -> exc.NotSerializable:
    for name, value in message.arguments.items():
        try:
            codec.encode(value)
        except exc.NotSerializable as error:
            return exc.NotSerializable(
                f"argument '{name}' of atom '{message.id.atom}' cannot be sent to another process: {error}",
                cause=error.cause,
            )
    return exc.NotSerializable(f"the arguments of atom '{message.id.atom}' cannot be sent")


def decode_call(text: str, codec: TextCodec = codecs.DEFAULT) -> CallMessage:
    """Decode a message with a call; nothing is imported.

    Raises:
        InvalidFormat: it is no such message.
        IncompatibleVersion: a newer version of this library has written it.
    """
    data = _decode(text, ("call",))
    flow, source = _typed(data, "flow", dict), _typed(data, "source", dict)
    found_by: Source
    if "factory" in source:
        found_by = FactorySource(_typed(source, "factory", str), _typed(source, "arguments", str))
    else:
        found_by = ClassSource(_typed(source, "class", str))
    action = _typed(data, "action", str)
    if action not in (EXECUTE, REVERT):
        raise exc.InvalidFormat(f"a call has action {action!r}: expected '{EXECUTE}' or '{REVERT}'")
    arguments = codec.decode(_typed(data, "arguments", str))
    if not isinstance(arguments, dict):
        raise exc.InvalidFormat("the arguments of a call are no object")
    deadline = data.get("deadline")
    if deadline is not None and not _is_number(deadline):
        raise exc.InvalidFormat(f"the deadline of a call is {deadline!r}: expected seconds since the epoch")
    call_id = CallId(
        _typed(flow, "uuid", str), _typed(data, "atom", str), action, _typed(data, "attempt", int)
    )
    return CallMessage(call_id, _typed(flow, "name", str), found_by, arguments, deadline)


def encode_report(report: Report, codec: TextCodec = codecs.DEFAULT) -> str:
    """Encode a report as a message; a result without a JSON form becomes a failure that says so.

    Raises:
        NotSupported: it is a report of another kind, for the loop alone.
    """
    match report:
        case Completion(call_id, result, started_at):
            if not isinstance(result, Failure):
                try:
                    return _encode_report("result", call_id, result=codec.encode(result), at=started_at)
                except exc.NotSerializable as error:
                    result = Failure.from_exception(
                        exc.NotSerializable(f"result of atom '{call_id.atom}': {error}", cause=error.cause)
                    )
            failure = codec.encode(failure_to_json(result, codec))
            return _encode_report("failure", call_id, failure=failure, at=started_at)
        case Started(call_id, at):
            return _encode_report("started", call_id, at=at)
        case Progress(call_id, progress, details):
            try:
                encoded = codec.encode(details)
            except exc.NotSerializable:
                encoded = codec.encode({})
            return _encode_report("progress", call_id, progress=progress, details=encoded)
        case Cancelled(call_id):
            return _encode_report("cancelled", call_id)
        case Interrupted(call_id):
            return _encode_report("interrupted", call_id)
    raise exc.NotSupported(f"{report!r} is not sent between processes")


def decode_report(text: str, codec: TextCodec = codecs.DEFAULT) -> Report:
    """Decode a message with a report; nothing is imported.

    Raises:
        InvalidFormat: it is no such message.
        IncompatibleVersion: a newer version of this library has written it.
    """
    data = _decode(text, ("result", "failure", "started", "progress", "cancelled", "interrupted"))
    call = _typed(data, "call", dict)
    call_id = CallId(
        _typed(call, "flow", str),
        _typed(call, "atom", str),
        _typed(call, "action", str),
        _typed(call, "attempt", int),
    )
    at = data.get("at")
    if at is not None and not _is_number(at):
        raise exc.InvalidFormat(f"a report has time {at!r}: expected seconds since the epoch")
    match data["type"]:
        case "result":
            return Completion(call_id, codec.decode(_typed(data, "result", str)), at)
        case "failure":
            failure = codec.decode(_typed(data, "failure", str))
            Failure.validate(failure)
            return Completion(call_id, Failure.from_dict(failure), at)
        case "started":
            if at is None:
                raise exc.InvalidFormat("a report 'started' has no time")
            return Started(call_id, at)
        case "progress":
            progress: Any = data.get("progress")
            details = codec.decode(_typed(data, "details", str))
            if not _is_number(progress) or not isinstance(details, dict):
                raise exc.InvalidFormat(f"a report has progress {progress!r} with details {details!r:.100}")
            return Progress(call_id, float(progress), details)
        case "cancelled":
            return Cancelled(call_id)
    return Interrupted(call_id)


def _encode_report(kind: str, call_id: CallId, **fields: Any) -> str:
    return _encode(kind, call=call_id._asdict(), **fields)


def _encode(kind: str, **fields: Any) -> str:
    return json.dumps({_FORMAT: VERSION, "type": kind, **fields}, separators=(",", ":"))


def _decode(text: str, kinds: Collection[str]) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise exc.InvalidFormat(
            f"not a message of stackl_flow: it is no JSON ({error})", cause=error
        ) from error
    if not isinstance(data, dict):
        raise exc.InvalidFormat(f"not a message of stackl_flow: {text!r:.100}")
    version = data.get(_FORMAT)
    if type(version) is not int or version < 1:
        raise exc.InvalidFormat(f"not a message of stackl_flow: {text!r:.100}")
    if version > VERSION:
        raise exc.IncompatibleVersion(
            f"a message has version {version}, this code reads {VERSION}: use the version of the library "
            f"that wrote it, or a newer one, on both sides"
        )
    if data.get("type") not in kinds:
        raise exc.InvalidFormat(f"a message has type {data.get('type')!r}: expected {' or '.join(kinds)}")
    return data


def _typed(data: Mapping[str, Any], name: str, kind: type) -> Any:
    value = data.get(name)
    if type(value) is not kind:
        raise exc.InvalidFormat(f"a message has {name} {value!r:.100}: expected {kind.__name__}")
    return value


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


# ---------------------------------------------------------------------- the receiver's side


class Receiver:
    """Performs received calls. Threads may share it.

    Args:
        factories: the names or patterns of the factories and classes that may be imported, such as
            ``["shop.*"]``; None for those in the environment variable ``STACKL_FLOW_FACTORIES``, or all if
            that is not set.
        codec: decodes arguments and encodes results: the one of the engine.
        is_remote: whether the engine may run another script: names in ``__main__`` are refused.
        clock: provides the times at which calls start.
        max_flows: how many flows are kept; of more, the one that was used least recently is made again.
    """

    def __init__(
        self,
        factories: Collection[str] | None = None,
        codec: TextCodec = codecs.DEFAULT,
        *,
        is_remote: bool = False,
        clock: Clock = SYSTEM,
        max_flows: int = MAX_FLOWS,
    ) -> None:
        self._allowed = AllowList(factories)
        self._codec = codec
        self._is_remote = is_remote
        self._clock = clock
        self._max_flows = max_flows
        # By flow, too: the atoms of two flows may be called at the same time.
        self._flows: OrderedDict[tuple[str, FactorySource], dict[str, Atom]] = OrderedDict()
        self._lock = threading.Lock()

    def perform(self, text: str, send: Callable[[str], object]) -> None:
        """Perform the call of a message, and send the messages with its reports.

        These are ``started``, any number of ``progress``, and one ``result`` or ``failure``. A call whose
        atom is not found, or whose deadline has passed, is not performed: its failure says so.

        Args:
            text: the message.
            send: sends a message; any thread may call it while the call runs.

        Raises:
            InvalidFormat: it is no message with a call.
            IncompatibleVersion: a newer version of this library has written it.
        """
        message = decode_call(text, self._codec)

        def report(what: Report) -> None:
            send(encode_report(what, self._codec))

        try:
            self._check_deadline(message)
            atom = self.find(message)
        except Exception as error:  # noqa: BLE001  the factory may raise anything
            report(Completion(message.id, Failure.from_exception(error)))
            return
        run = Run(message.id.flow, message.flow_name, self._clock, (), report, Process())
        call = Call(message.id, atom, message.arguments, run, contextvars.copy_context(), 0)
        at = self._clock.now()
        report(Started(message.id, at))
        report(perform(call, at))

    def _check_deadline(self, message: CallMessage) -> None:
        if message.deadline is not None and message.deadline <= self._clock.now():
            raise exc.RequestTimeout(
                f"'{message.id.action}' of atom '{message.id.atom}' was received after its deadline"
            )

    def find(self, message: CallMessage) -> Atom:
        """Return the atom of a call.

        Raises:
            FactoryNotAllowed: its factory or class is not on the allow-list; nothing was imported.
            FactoryNotFound: it cannot be imported here.
            NotFound: the flow that the factory makes has no such atom.
        """
        source = message.source
        name = source.factory if isinstance(source, FactorySource) else source.name
        if self._is_remote and _is_main(name):
            raise exc.FactoryNotAllowed(
                f"'{name}' is in the script of the sender, which does not run here: move it to a module"
            )
        if isinstance(source, ClassSource):
            return self._make_task(source.name, message.id.atom)
        atom = self._atoms_of(message.id.flow, source).get(message.id.atom)
        if atom is None:
            raise exc.NotFound(
                f"the flow that factory '{name}' makes here has no atom '{message.id.atom}': have the same "
                f"version of the program on both sides"
            )
        return atom

    def _atoms_of(self, flow: str, source: FactorySource) -> dict[str, Atom]:
        key = (flow, source)
        with self._lock:  # a flow that several threads need is made once
            atoms = self._flows.get(key)
            if atoms is None:
                arguments = self._codec.decode(source.arguments)
                made = make_flow(source.factory, arguments["args"], arguments["kwargs"], self._allowed)
                atoms = self._flows[key] = _atoms_by_name(made)
                while len(self._flows) > self._max_flows:
                    self._flows.popitem(last=False)
            self._flows.move_to_end(key)
            return atoms

    def _make_task(self, class_name: str, atom: str) -> Atom:
        self._allowed.check_name(class_name)
        kind = plugins.import_object(class_name, f"class of atom '{atom}'")
        self._allowed.check(class_name, kind)
        if not (isinstance(kind, type) and issubclass(kind, Task)) or _needed_arguments(kind):
            raise exc.FactoryNotAllowed(
                f"'{class_name}' is no class of tasks that is made without arguments: use a factory"
            )
        make = partial(kind, name=atom) if "name" in inspect.signature(kind).parameters else kind
        made: Atom = make()
        return made
