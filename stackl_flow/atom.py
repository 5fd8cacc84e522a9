"""Atoms: the named units of work that flows consist of, with their inputs and outputs.

The inputs of an atom come from the signatures of its methods. They are read and checked once, when the atom
is created, and kept in a compact form, because a flow may contain a million atoms.
"""

from __future__ import annotations

import abc
import functools
import inspect
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

from stackl_flow import exceptions as exc
from stackl_flow.task_context import CurrentContext

Pairs = tuple[tuple[str, str], ...]
Provides = str | Sequence[str] | AbstractSet[str] | None
Requires = str | Iterable[str] | None
Rebind = Mapping[str, str] | Sequence[str] | None

# The arguments of revert that the engine passes itself.
_REVERT_EXTRAS = ("result", "flow_failures")


class Signature(NamedTuple):
    """The arguments that a callable accepts by keyword."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    accepts_any: bool
    positional_only: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """All named arguments."""
        return frozenset(self.required + self.optional)


@functools.lru_cache(maxsize=2048)
def _read_signature(function: Callable[..., Any], bound: bool) -> Signature:
    required: list[str] = []
    optional: list[str] = []
    accepts_any = False
    positional_only: list[str] = []
    parameters = list(inspect.signature(function).parameters.values())[bound:]
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            accepts_any = True
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            names = required if parameter.default is parameter.empty else optional
            names.append(parameter.name)
            if parameter.kind is parameter.POSITIONAL_ONLY:
                positional_only.append(parameter.name)
    return Signature(tuple(required), tuple(optional), accepts_any, tuple(positional_only))


def signature_of(function: Callable[..., Any]) -> Signature:
    """Return the signature of a callable, without ``self``, ``*args`` and ``**kwargs``.

    Signatures are cached. Decorators that set ``__wrapped__`` are followed.
    """
    plain = getattr(function, "__func__", None)
    if plain is not None and not hasattr(plain, "__signature__"):
        return _read_signature(plain, True)
    try:
        return _read_signature(function, False)
    except TypeError:  # not hashable, so it cannot be cached
        return _read_signature.__wrapped__(function, False)


_ASYNC: Final = "an async"
_KINDS: Final = (
    (inspect.CO_COROUTINE, _ASYNC),
    (inspect.CO_ASYNC_GENERATOR, "an async generator"),
    (inspect.CO_GENERATOR | inspect.CO_ITERABLE_COROUTINE, "a generator"),
)
#: Wrappers that call a function and return what it returns.
_CACHED: Final = type(functools.lru_cache(lambda: None))


@functools.lru_cache(maxsize=2048)
def _read_kind(function: Callable[..., Any]) -> str | None:
    for _ in range(100):  # the function itself, below methods, partial functions, caches and callable objects
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, (types.MethodType, staticmethod, classmethod)):
            function = function.__func__
        elif isinstance(function, _CACHED):
            function = function.__wrapped__
        elif isinstance(function, types.FunctionType):
            if inspect.iscoroutinefunction(function):  # also those that are marked as such
                return _ASYNC
            return next((kind for flag, kind in _KINDS if function.__code__.co_flags & flag), None)
        elif isinstance(function, type) or not hasattr(type(function), "__call__"):  # noqa: B004  its own, not that of the instance
            return None
        else:
            function = type(function).__call__
    return None


def _kind_of(function: Callable[..., Any]) -> str | None:
    """Return what kind of function it is if a call runs nothing, or None."""
    plain = getattr(function, "__func__", function)
    try:
        return _read_kind(plain)
    except TypeError:  # not hashable, so it cannot be cached
        return _read_kind.__wrapped__(plain)


def check_body(function: Callable[..., Any], what: str) -> None:
    """Check that the body of a function runs when it is called.

    Args:
        function: the function.
        what: what it is, for the error message.

    Raises:
        NotABody: it is a generator or async, so that a call returns an object and runs nothing.
    """
    kind = _kind_of(function)
    if kind is not None:
        remedy = "call asyncio.run(...) in a plain one" if "async" in kind else "return a value, or a list"
        raise exc.NotABody(f"{what} is {kind} function, whose body would never run: {remedy}")


def check_signature(function: Callable[..., Any], what: str) -> Signature:
    """Return the signature of a function.

    Raises:
        NotABody: it has none, as some built-in functions.
    """
    try:
        return signature_of(function)
    except (ValueError, TypeError) as error:
        name = getattr(function, "__name__", None) or type(function).__name__
        raise exc.NotABody(
            f"{what} is {function!r}, which has no signature, so that its arguments are unknown: wrap it in a"
            f" function with named arguments, such as lambda x: {name}(x)"
        ) from error


class Bindings(NamedTuple):
    """The inputs of one method of an atom: pairs of its argument and the name looked up for it."""

    required: Pairs
    optional: Pairs


def _parse_rebind(arguments: Sequence[str], rebind: Rebind) -> dict[str, str]:
    if rebind is None:
        return {}
    if isinstance(rebind, Mapping):
        return dict(rebind)
    if isinstance(rebind, (list, tuple)):
        surplus = rebind[len(arguments) :]
        return {**dict(zip(arguments, rebind, strict=False)), **{name: name for name in surplus}}
    raise TypeError(
        f"Invalid rebind value {rebind!r}: pass a dict of argument -> name, or a list or tuple of names"
    )


def _describe(function: Callable[..., Any], atom_name: str | None) -> str:
    return f"'{getattr(function, '__name__', 'a function')}' of atom '{atom_name}'"


def bind_arguments(
    atom_name: str | None,
    function: Callable[..., Any],
    requires: Requires = None,
    rebind: Rebind = None,
    auto_extract: bool = True,
    ignore: Sequence[str] = (),
) -> Bindings:
    """Bind the arguments of a method to names, and check that the method accepts them.

    Args:
        atom_name: the name of the atom, for error messages.
        function: the method.
        requires: names to pass besides those in the signature.
        rebind: names to look up instead of the argument names: by argument, or in the order of the required
            arguments.
        auto_extract: read the signature; otherwise only ``requires`` and ``rebind`` count.
        ignore: arguments that are not looked up.

    Raises:
        ValueError: the method does not accept a name, or a required argument is not bound.
        NotABody: the method is a generator, or its arguments cannot be passed by keyword.
    """
    kind = _kind_of(function)
    if kind is not None and kind != _ASYNC:  # a call of an async one is refused when it is made
        check_body(function, _describe(function, atom_name))
    try:
        signature = signature_of(function)
    except (ValueError, TypeError):
        signature = check_signature(function, _describe(function, atom_name))
    if signature.positional_only and not set(signature.positional_only).isdisjoint(signature.required):
        names = list(signature.positional_only)
        raise exc.NotABody(
            f"{_describe(function, atom_name)} takes its arguments {names} by position only, and atoms pass"
            f" them by keyword: wrap it in a function with named arguments, such as lambda x: f(x)"
        )
    needed = tuple(name for name in signature.required if name not in ignore)
    required = {name: name for name in needed} if auto_extract else {}
    if requires:
        required.update({n: n for n in ([requires] if isinstance(requires, str) else requires)})
    required.update(_parse_rebind(needed, rebind))
    optional: Pairs = ()
    if auto_extract:
        unbound = (
            name
            for name in signature.optional
            if name not in required and name not in ignore and name not in signature.positional_only
        )
        optional = tuple((name, name) for name in unbound)
    if not signature.accepts_any:
        accepted = signature.names
        extra = [name for name in required if name not in accepted]
        if extra:
            raise ValueError(f"Extra arguments given to atom {atom_name}: {extra}")
    missing = [name for name in needed if name not in required]
    if missing:
        raise ValueError(f"Missing arguments for atom {atom_name}: {missing}")
    return Bindings(tuple(required.items()), optional)


def parse_provides(provides: Provides) -> tuple[tuple[str, Any], ...]:
    """Return pairs of a provided name and the index or key of its value in the result.

    Args:
        provides: one name (the whole result, with None as its key), a list or tuple (by index) or a set (by
            key).

    Raises:
        TypeError: it is none of these.
    """
    if provides is None:
        return ()
    if isinstance(provides, str):
        return ((provides, None),)
    if isinstance(provides, Sequence):
        return tuple((name, index) for index, name in enumerate(provides))
    if isinstance(provides, AbstractSet):
        return tuple((name, name) for name in sorted(provides))
    raise TypeError(f"Atom provides parameter should be str, set or tuple/list, not {provides!r}")


def class_name(instance: object) -> str:
    """Return the full name of the class of an object."""
    kind = type(instance)
    return f"{kind.__module__}.{kind.__qualname__}"


#: Methods that return nothing.
_HOOKS: Final = ("pre_execute", "post_execute", "pre_revert", "post_revert")


@functools.lru_cache(maxsize=2048)
def _check_hooks(kind: type[Atom]) -> None:
    for name in _HOOKS:
        check_body(getattr(kind, name), f"'{name}' of {kind.__qualname__}")


class Atom(abc.ABC):
    """A named unit of work with named inputs and outputs; the base of `Task` and `Retry`.

    Args:
        name: the name; must be unique within a flow, because atoms are matched by name on resumption.
        provides: names of the result: one name for all of it, a list or tuple to unpack it by index, a set to
            unpack it by key.
        requires: inputs of ``execute`` besides those in its signature.
        auto_extract: read the inputs from the signatures; otherwise only ``requires`` and ``rebind`` count.
        rebind: names to look up instead of the argument names: a dict of argument to name, or a list in the
            order of the arguments.
        inject: values for this atom only; they take precedence over all others.
        ignore_list: arguments of ``execute`` that are not looked up.
        revert_rebind: like ``rebind``, for ``revert``; defaults to ``rebind``.
        revert_requires: like ``requires``, for ``revert``; defaults to ``requires``.

    Attributes:
        name: the name.
        inject: the values for this atom only, or None.
        priority: where several atoms can start, those with the higher priority start first.
        default_provides: the value of ``provides`` if none is passed; set it in a subclass.
        version: major and minor version, stored with the atom; set it in a subclass.
        context: while the atom runs, what `stackl_flow.current_task` returns; a subclass or an instance may
            have an attribute of its own by this name.

    Raises:
        ValueError: a method does not accept a name, or a required argument is not bound.
        NotABody: ``execute`` or ``revert`` is a generator, or a hook is async or a generator.
        TypeError: ``provides``, ``rebind`` or ``inject`` has the wrong type.
    """

    priority: int = 0
    default_provides: Provides = None
    version: tuple[int, int] = (1, 0)
    name: str | None
    context = CurrentContext()

    def __init__(
        self,
        name: str | None = None,
        provides: Provides = None,
        requires: Requires = None,
        auto_extract: bool = True,
        rebind: Rebind = None,
        inject: Mapping[str, Any] | None = None,
        ignore_list: Sequence[str] | None = None,
        revert_rebind: Rebind = None,
        revert_requires: Requires = None,
    ) -> None:
        if inject is not None and not isinstance(inject, Mapping):
            raise TypeError(f"inject= of atom {name} takes a dict such as {{'size': 3}}, not {inject!r}")
        _check_hooks(type(self))
        self.name = name
        self.inject = inject
        self.outputs = parse_provides(self.default_provides if provides is None else provides)
        ignore = tuple(ignore_list or ())
        self.execute_bindings = bind_arguments(name, self.execute, requires, rebind, auto_extract, ignore)
        # Most atoms have no revert of their own, and there may be a million of them: share the bindings.
        self.revert_bindings = self.execute_bindings
        if type(self).revert is not Atom.revert or revert_requires or revert_rebind:
            self.revert_bindings = bind_arguments(
                name, self.revert, revert_requires or requires, revert_rebind or rebind,
                auto_extract, ignore + _REVERT_EXTRAS,
            )  # fmt: skip

    @property
    def save_as(self) -> dict[str, Any]:
        """Each provided name with the index or key of its value in the result (None: the whole result)."""
        return dict(self.outputs)

    @property
    def provides(self) -> frozenset[str]:
        """The names that this atom provides."""
        return frozenset(name for name, _ in self.outputs)

    @property
    def rebind(self) -> dict[str, str]:
        """Each argument of ``execute`` with the name looked up for it."""
        return dict(self.execute_bindings.required + self.execute_bindings.optional)

    @property
    def revert_rebind(self) -> dict[str, str]:
        """Each argument of ``revert`` with the name looked up for it."""
        return dict(self.revert_bindings.required + self.revert_bindings.optional)

    @property
    def requires(self) -> frozenset[str]:
        """The names that ``execute`` and ``revert`` need and that are not injected."""
        names = {name for _, name in self.execute_bindings.required + self.revert_bindings.required}
        return frozenset(names.difference(self.inject or ()))

    @property
    def optional(self) -> frozenset[str]:
        """The names that ``execute`` receives if they are provided."""
        return frozenset({name for _, name in self.execute_bindings.optional}.difference(self.inject or ()))

    @property
    def revert_optional(self) -> frozenset[str]:
        """The names that ``revert`` receives if they are provided."""
        return frozenset({n for _, n in self.revert_bindings.optional}.difference(self.inject or ()))

    def pre_execute(self) -> None:  # noqa: B027  optional hook
        """Run before each ``execute``."""

    @abc.abstractmethod
    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work.

        The inputs are passed by keyword. The result is stored and provided under the names in ``provides``.
        """

    def post_execute(self) -> None:  # noqa: B027  optional hook
        """Run after each ``execute``, even if it failed."""

    def pre_revert(self) -> None:  # noqa: B027  optional hook
        """Run before each ``revert``."""

    def revert(self, *args: Any, **kwargs: Any) -> Any:  # noqa: B027  not every atom needs it
        """Undo the work; the default does nothing.

        Besides the inputs, two arguments are passed if the signature contains them:

        * ``result``: what ``execute`` returned, or a `Failure` if it raised. Test with
          ``isinstance(result, Failure)``.
        * ``flow_failures``: the failures of ``execute`` in this flow, as a dict of atom name to `Failure`.
        """

    def post_revert(self) -> None:  # noqa: B027  optional hook
        """Run after each ``revert``, even if it failed."""

    def __str__(self) -> str:
        return f'"{self.name}=={".".join(map(str, self.version))}"'

    def __repr__(self) -> str:
        return f"<{class_name(self)} {self}>"
