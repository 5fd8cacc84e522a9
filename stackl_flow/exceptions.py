"""Every exception this library raises, as one tree.

::

    StacklFlowError                 TaskFlowException in TaskFlow
    |- StorageFailure               a store could not be read or written
    |  |- OwnershipLost             another process has taken over this flow
    |  |  |- ForkedProcess          a child that a task forked came back to the engine
    |  |- Conflict                  optimistic check failed: the data changed since it was read
    |  |- LeaseLost                 a lease expired or was released
    |- ConductorFailure             a conductor cannot run
    |- JobFailure                   a job cannot be processed
    |  |- UnclaimableJob            the job is claimed by another owner
    |- ExecutionFailure             the engine cannot continue
    |  |- RequestTimeout            no worker picked up a remote request in time
    |  |- TaskExit                  a task raised SystemExit, KeyboardInterrupt or the like
    |  |- InvalidState              the state transition is not allowed
    |- DependencyFailure            the atoms cannot be ordered
    |  |- AmbiguousDependency       several providers of one name
    |  |- MissingDependencies       a required name has no provider
    |- CompilationFailure           the flow cannot be compiled into a plan
    |  |- FlowChanged               the flow differs from the stored one
    |  |- NotAnAtom                 an object is neither a task nor a flow
    |  |- NotABody                  a function cannot serve as a method of an atom or as a decider
    |- IncompatibleVersion          unsupported version of a server, file or schema
    |- Duplicate, NotFound, Empty, MultipleChoices
    |  NotFound <- FactoryNotFound  a flow factory cannot be imported
    |  NotFound <- ValueNotProvided an argument has no value, as its provider did not provide it
    |     |- FactoryNotAllowed        a flow factory is not on the allow-list
    |- InvalidFormat                malformed input or stored data
    |  |- NotSerializable           a value has no JSON representation
    |  |- ValueTooLarge             a value or a commit is larger than the store accepts
    |- DisallowedAccess             not readable in the current state
    |- NotSupported                 NotImplementedError in TaskFlow: unsupported operation
    WrappedFailure                  several failures, raised as one

The other names are those of TaskFlow, so ported programs catch what they caught before. Backends translate
foreign errors into this tree at their own edge. Messages mask the secrets registered with
`stackl_flow.redaction`.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final, NoReturn, Protocol

from stackl_flow import error_text, redaction

#: Each line of a chain of causes is indented further than the one before.
_MAX_LINES: Final = 50


class StacklFlowError(Exception):
    """Base class of every exception raised by this library, except `WrappedFailure`.

    Args:
        message: what happened and what to do next.
        cause: the error that led to this one.
    """

    _cause: BaseException | None = None

    def __init__(self, message: str, cause: BaseException | None = None) -> None:
        super().__init__(redaction.redact(message))
        self._cause = cause

    @property
    def cause(self) -> BaseException | None:
        """The error that led to this one, or None."""
        return self._cause

    def pformat(self, indent: int = 2, indent_text: str = " ", show_root_class: bool = False) -> str:
        """Format this error and the chain of its causes, at most 50, one per line.

        Args:
            indent: how many times ``indent_text`` is repeated per level of the chain.
            indent_text: the text to indent with.
            show_root_class: prefix the first line with its class, as on the lines below.

        Raises:
            ValueError: ``indent`` is negative.
        """
        if indent < 0:
            raise ValueError(f"indent must be zero or more, not {indent}")
        lines: list[str] = []
        seen: set[int] = set()
        error: BaseException | None = self
        while error is not None and id(error) not in seen:
            if len(lines) == _MAX_LINES:
                lines.append(f"{indent_text * indent * len(lines)}(further causes left out)")
                break
            seen.add(id(error))
            args = error_text.args_of(error)
            text = error_text.text_of(args[0]) if args else ""
            name = f"{error_text.short_name(type(error))}: " if lines or show_root_class else ""
            lines.append(f"{indent_text * indent * len(lines)}{name}{text}")
            error = error.cause if error_text.is_a(error, StacklFlowError) else error_text.cause_of(error)
        return redaction.redact("\n".join(lines))  # causes from other libraries are not redacted yet

    def __str__(self) -> str:
        return super().__str__() if self._cause is None else self.pformat()


def raise_with_cause(exc_cls: type[StacklFlowError], message: str, *args: Any, **kwargs: Any) -> NoReturn:
    """Raise an error of this tree, with the exception being handled as its cause.

    Args:
        exc_cls: the class to raise.
        message: the error message.
        args: further positional arguments of the class.
        kwargs: further keyword arguments of the class; ``cause`` replaces the exception being handled.

    Raises:
        StacklFlowError: always, as ``exc_cls``.
        ValueError: ``exc_cls`` does not derive from `StacklFlowError`.
    """
    if not issubclass(exc_cls, StacklFlowError):
        raise ValueError(  # noqa: TRY004  TaskFlow raises this
            f"exc_cls must derive from StacklFlowError, not {exc_cls.__name__}"
        )
    cause = kwargs.setdefault("cause", sys.exception())
    raise exc_cls(message, *args, **kwargs) from cause


class StorageFailure(StacklFlowError):
    """A persistence backend or key-value store could not be read or written."""


class OwnershipLost(StorageFailure):
    """Another process has taken over this flow; none of this process's further writes are stored."""


class ForkedProcess(OwnershipLost):
    """A process that a task forked returned to the engine; the flow stays with the process that runs it."""


class Conflict(StorageFailure):
    """The data changed since it was read, so the whole commit was rejected. Read again and retry."""


class LeaseLost(StorageFailure):
    """A lease expired or was released; the items attached to it are deleted."""


class ConductorFailure(StacklFlowError):
    """A conductor cannot start or continue."""


class JobFailure(StacklFlowError):
    """A job cannot be processed."""


class UnclaimableJob(JobFailure):
    """The job is claimed by another owner."""


class ExecutionFailure(StacklFlowError):
    """The engine cannot continue."""


class RequestTimeout(ExecutionFailure):
    """No worker picked up a remote request in time."""


class TaskExit(ExecutionFailure, RuntimeError):
    """A task raised SystemExit, KeyboardInterrupt or the like, which count as its failure; see the cause."""


class InvalidState(ExecutionFailure):
    """The requested state transition is not allowed from the current state."""


class DependencyFailure(StacklFlowError):
    """The atoms cannot be put in an order that satisfies all dependencies."""


class AmbiguousDependency(DependencyFailure):
    """Several atoms provide a required name."""


class MissingDependencies(DependencyFailure):
    """A required name has no provider.

    Args:
        who: the atom or flow with the missing inputs.
        requirements: the names without a provider.
        cause: the error of the next atom with missing inputs, if there are several.
        method: the method with the missing inputs, "execute" or "revert".
        hint: appended to the message.

    Attributes:
        missing_requirements: the names without a provider, sorted.
    """

    def __init__(
        self,
        who: object,
        requirements: Iterable[str],
        cause: BaseException | None = None,
        method: str | None = None,
        hint: str = "",
    ) -> None:
        names = sorted(requirements)
        subject = f"method '{method}' of {who}" if method else str(who)
        super().__init__(
            f"{subject} is missing required inputs {names}: "
            f"pass them in store= or inject=, or let an earlier atom provide them{hint}",
            cause=cause,
        )
        self.missing_requirements = names


class CompilationFailure(StacklFlowError):
    """The flow cannot be compiled into a plan."""


class FlowChanged(CompilationFailure):
    """The flow differs from the stored one in a way that cannot be resumed."""


class NotAnAtom(CompilationFailure, TypeError):
    """An object in a flow is neither a task nor a flow."""


class NotABody(CompilationFailure, TypeError, ValueError):
    """A function cannot serve as a method of an atom or as a decider: it would never run."""


class IncompatibleVersion(StacklFlowError):
    """A server, file or schema has a version that this release does not support."""


class Duplicate(StacklFlowError):
    """An object that must be unique exists already."""


class NotFound(StacklFlowError):
    """The requested object does not exist."""


class ValueNotProvided(NotFound):
    """An atom cannot be called, because an argument has no value: its provider did not provide it."""


class FactoryNotFound(NotFound, ImportError):
    """A flow factory cannot be imported by its name."""


class FactoryNotAllowed(FactoryNotFound):
    """A stored or received name of a flow factory is not on the allow-list of this process."""


class Empty(StacklFlowError):
    """An object that must not be empty is empty."""


class MultipleChoices(StacklFlowError):
    """Several candidates match where one was expected."""


class InvalidFormat(StacklFlowError):
    """An argument, URL, option or stored value is malformed."""


class NotSerializable(InvalidFormat):
    """A value has no JSON representation, so it cannot be stored or sent."""


class ValueTooLarge(InvalidFormat):
    """A value, or everything that one commit writes, is larger than the store accepts. Nothing was stored.

    Args:
        message: what is too large, its size, the limit and what to do next.
        cause: the error that led to this one.
        size: the size in bytes, if it is known.
        limit: the largest size that the store accepts, in bytes, if it is known.

    Attributes:
        size: the size in bytes, or None.
        limit: the largest size that the store accepts, in bytes, or None.
    """

    def __init__(
        self,
        message: str,
        cause: BaseException | None = None,
        size: int | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__(message, cause=cause)
        self.size = size
        self.limit = limit


class DisallowedAccess(StacklFlowError):
    """A value cannot be read while its owner is in the current state.

    Args:
        message: what was refused and why.
        cause: the error that led to this one.
        state: the state that forbids the access.

    Attributes:
        state: the state that forbids the access, or None.
    """

    def __init__(self, message: str, cause: BaseException | None = None, state: str | None = None) -> None:
        super().__init__(message, cause=cause)
        self.state = state


class NotSupported(StacklFlowError, builtins.NotImplementedError):
    """A backend, executor or pattern does not support the requested operation."""


TaskFlowException = StacklFlowError
"""TaskFlow's name of `StacklFlowError`."""
NotImplementedError = NotSupported  # noqa: A001  TaskFlow's own name
"""TaskFlow's name of `NotSupported`."""


class _FailureLike(Protocol):
    """The part of `stackl_flow.failure.Failure` that `WrappedFailure` uses."""

    @property
    def exception_str(self) -> str: ...

    def check(self, *exc_classes: Any) -> Any: ...


class WrappedFailure(Exception):
    """Several failures, raised together as one exception.

    Iterate over it to get the `Failure` objects, in the order in which they occurred.

    Args:
        causes: the failures; nested wrapped failures are flattened.
    """

    def __init__(self, causes: Iterable[Any]) -> None:
        super().__init__()
        self._causes: list[_FailureLike] = []
        for cause in causes:
            inner = getattr(cause, "exception", None)
            self._causes.extend(inner if error_text.is_a(inner, WrappedFailure) else [cause])

    def __iter__(self) -> Iterator[Any]:
        return iter(self._causes)

    def __len__(self) -> int:
        return len(self._causes)

    def check(self, *exc_classes: type[BaseException] | str) -> Any:
        """Return the first of ``exc_classes`` that matches any of the failures, or None.

        Args:
            exc_classes: exception classes, or their full names.
        """
        for cause in self._causes:
            match = cause.check(*exc_classes)
            if match:
                return match
        return None

    def __str__(self) -> str:
        return f"WrappedFailure: [{', '.join(str(cause) for cause in self._causes)}]"
