"""Every error this library raises, as one tree.

::

    StacklFlowError
    |- StorageFailure               the place of storage said no
    |  |- OwnershipLost             another process has taken this flow over
    |  |- Conflict                  somebody else wrote what we had read
    |  |- LeaseLost                 a lease ran out before it was extended
    |- ConductorFailure             a conductor could not do its work
    |- JobFailure                   a job could not be worked on
    |  |- UnclaimableJob            somebody else has it
    |- ExecutionFailure             the engine could not go on
    |  |- RequestTimeout            a remote request was never picked up
    |  |- InvalidState              that move is not allowed from here
    |- DependencyFailure            the atoms cannot be put in an order
    |  |- AmbiguousDependency       two providers for one name
    |  |- MissingDependencies       nobody provides a name
    |- CompilationFailure           the flow cannot be made into a plan
    |  |- FlowChanged               the flow is not the one that was stored
    |  |- NotAnAtom                 that is neither a task nor a flow
    |- IncompatibleVersion          a server or a schema of another age
    |- Duplicate, NotFound, Empty, MultipleChoices
    |  NotFound <- FactoryNotFound  a flow factory cannot be imported
    |- InvalidFormat                that is not what was expected
    |  |- NotSerializable           that value has no JSON form
    |- DisallowedAccess             not readable in this state
    |- NotSupported                 a backend cannot do that
    WrappedFailure                  several failures, raised as one

The names are TaskFlow's, so that a program moving over catches what it always caught.
Backends translate foreign errors into this tree at their own edge.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn, Protocol

from stackl_flow import redaction


class StacklFlowError(Exception):
    """Root of every error raised by this library.

    Args:
        message: what went wrong and what to do next.
        cause: the error that led to this one, if any.
    """

    def __init__(self, message: str, cause: BaseException | None = None) -> None:
        super().__init__(redaction.redact(message))
        self._cause = cause

    @property
    def cause(self) -> BaseException | None:
        """The error that led to this one, or None."""
        return self._cause

    def pformat(self, indent: int = 2, indent_text: str = " ", show_root_class: bool = False) -> str:
        """Write this error and the chain of its causes, one a line.

        Args:
            indent: how many times ``indent_text`` is added for each step down the chain.
            indent_text: what a line is indented with.
            show_root_class: begin the first line, too, with the class of the error.

        Returns:
            The text, without a final line break.

        Raises:
            ValueError: the indent is negative.
        """
        if indent < 0:
            raise ValueError(f"indent must be zero or more, not {indent}")
        lines: list[str] = []
        seen: set[int] = set()
        error: BaseException | None = self
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            text = error.args[0] if error.args else ""
            name = f"{type(error).__name__}: " if lines or show_root_class else ""
            lines.append(f"{indent_text * indent * len(lines)}{name}{text}")
            error = error.cause if isinstance(error, StacklFlowError) else error.__cause__
        return redaction.redact("\n".join(lines))  # the causes may be anybody's

    def __str__(self) -> str:
        """Say the message and, below it, what led to it."""
        return super().__str__() if self._cause is None else self.pformat()


def raise_with_cause(exc_cls: type[StacklFlowError], message: str, *args: Any, **kwargs: Any) -> NoReturn:
    """Raise an error of this tree, led to by the error that is being handled.

    Args:
        exc_cls: the class of the error.
        message: what went wrong.
        args: more arguments for the error.
        kwargs: more arguments for the error; ``cause`` takes the place of the error being handled.

    Raises:
        StacklFlowError: always, of the class that was asked for.
        ValueError: that class is not of this tree.
    """
    if not issubclass(exc_cls, StacklFlowError):
        raise ValueError(  # noqa: TRY004  TaskFlow raises this
            f"an error class of this library is needed, not {exc_cls.__name__}"
        )
    cause = kwargs.setdefault("cause", sys.exception())
    raise exc_cls(message, *args, **kwargs) from cause


class StorageFailure(StacklFlowError):
    """The place where states are kept could not be read or written."""


class OwnershipLost(StorageFailure):
    """Another process has taken over this flow, so nothing more of this one is written."""


class Conflict(StorageFailure):
    """An item is no longer what the writer had read, so nothing of the write landed: read it again."""


class LeaseLost(StorageFailure):
    """A lease ran out or was given up; what stood on it is gone."""


class ConductorFailure(StacklFlowError):
    """A conductor could not do its work."""


class JobFailure(StacklFlowError):
    """A job could not be worked on."""


class UnclaimableJob(JobFailure):
    """The job is claimed by somebody else."""


class ExecutionFailure(StacklFlowError):
    """The engine could not go on."""


class RequestTimeout(ExecutionFailure):
    """A remote request was not picked up in time."""


class InvalidState(ExecutionFailure):
    """The asked-for move is not allowed from the present state."""


class DependencyFailure(StacklFlowError):
    """The atoms cannot be put in an order that satisfies them all."""


class AmbiguousDependency(DependencyFailure):
    """More than one atom provides a required name."""


class MissingDependencies(DependencyFailure):
    """Nobody provides what an atom needs.

    Args:
        who: the atom or the flow in need.
        requirements: the names that nobody provides.
        cause: the error about the next atom in need, if there are several.
        method: the method in need, "execute" or "revert".
        hint: what may help besides, at the end of the message.
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
        of = f"method '{method}' of {who}" if method else str(who)
        super().__init__(
            f"{of} needs {names}, which nobody provides: "
            f"give them in store= or inject=, or let an earlier atom provide them{hint}",
            cause=cause,
        )
        self.missing_requirements = names


class CompilationFailure(StacklFlowError):
    """The flow could not be made into a plan."""


class FlowChanged(CompilationFailure):
    """The flow differs from the one that was stored in a way that cannot be resumed."""


class NotAnAtom(CompilationFailure, TypeError):
    """Something in a flow is neither a task nor a flow."""


class IncompatibleVersion(StacklFlowError):
    """A server, a file or a schema is of a version that this code cannot work with."""


class Duplicate(StacklFlowError):
    """Something that must be unique exists already."""


class NotFound(StacklFlowError):
    """Something that was asked for does not exist."""


class FactoryNotFound(NotFound, ImportError):
    """A flow factory cannot be imported by its name."""


class Empty(StacklFlowError):
    """Something that must have content has none."""


class MultipleChoices(StacklFlowError):
    """There are several candidates where one was expected."""


class InvalidFormat(StacklFlowError):
    """A value is not of the form that was expected."""


class NotSerializable(InvalidFormat):
    """A value has no JSON form, so it cannot be stored or sent."""


class DisallowedAccess(StacklFlowError):
    """Something may not be read while its owner is in the present state.

    Args:
        message: what was refused and why.
        cause: the error that led to this one, if any.
        state: the state that forbids the access.
    """

    def __init__(self, message: str, cause: BaseException | None = None, state: str | None = None) -> None:
        super().__init__(message, cause=cause)
        self.state = state


class NotSupported(StacklFlowError, builtins.NotImplementedError):
    """A backend or pattern does not offer what was asked of it."""


class _Reason(Protocol):
    """The part of a failure that a wrapped failure looks at."""

    @property
    def exception_str(self) -> str: ...

    def check(self, *exc_classes: Any) -> Any: ...


class WrappedFailure(Exception):
    """Several failures, raised together as one error.

    Args:
        causes: the failures; wrapped failures among them are unfolded.
    """

    def __init__(self, causes: Iterable[Any]) -> None:
        super().__init__()
        self._causes: list[_Reason] = []
        for cause in causes:
            inner = getattr(cause, "exception", None)
            self._causes.extend(inner if isinstance(inner, WrappedFailure) else [cause])

    def __iter__(self) -> Iterator[Any]:
        """Go over the failures in the order in which they came."""
        return iter(self._causes)

    def __len__(self) -> int:
        """Count the failures."""
        return len(self._causes)

    def check(self, *exc_classes: type[BaseException] | str) -> Any:
        """Find out whether any of the failures is of one of these classes.

        Args:
            exc_classes: exception classes, or their full names.

        Returns:
            The first class that matched, or None.
        """
        for cause in self._causes:
            found = cause.check(*exc_classes)
            if found:
                return found
        return None

    def __str__(self) -> str:
        """List what went wrong."""
        return f"WrappedFailure: [{', '.join(str(cause) for cause in self._causes)}]"


#: TaskFlow's names for two of these classes.
TaskFlowException = StacklFlowError
NotImplementedError = NotSupported  # noqa: A001  TaskFlow's own name
