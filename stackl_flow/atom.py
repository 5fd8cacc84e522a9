"""An atom: the smallest named thing a flow is made of, with what it takes and what it gives.

What an atom takes is read off its methods' signatures once, checked when the atom is made, and kept
in a compact form: a flow may hold a million of them.
"""

from __future__ import annotations

import abc
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

Pairs = tuple[tuple[str, str], ...]
Provides = str | Sequence[str] | AbstractSet[str] | None
Requires = str | Iterable[str] | None
Rebind = Mapping[str, str] | Sequence[str] | None

_REVERT_EXTRAS = ("result", "flow_failures")


class Signature(NamedTuple):
    """What a callable can be handed by name."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    accepts_any: bool

    @property
    def names(self) -> frozenset[str]:
        """Every name it mentions."""
        return frozenset(self.required + self.optional)


@functools.lru_cache(maxsize=2048)
def _read(function: Callable[..., Any], bound: bool) -> Signature:
    required: list[str] = []
    optional: list[str] = []
    accepts_any = False
    parameters = list(inspect.signature(function).parameters.values())[bound:]
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            accepts_any = True
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            into = required if parameter.default is parameter.empty else optional
            into.append(parameter.name)
    return Signature(tuple(required), tuple(optional), accepts_any)


def signature_of(function: Callable[..., Any]) -> Signature:
    """Read what a callable takes; decorators that keep ``__wrapped__`` are looked through.

    Args:
        function: a function, method or other callable.

    Returns:
        Its names, without ``self``, ``*args`` and ``**kwargs``.
    """
    plain = getattr(function, "__func__", None)
    if plain is not None and not hasattr(plain, "__signature__"):
        return _read(plain, True)
    try:
        return _read(function, False)
    except TypeError:  # not hashable, so not to be remembered
        return _read.__wrapped__(function, False)


class Bindings(NamedTuple):
    """What one method of an atom is handed: pairs of its own argument and the name looked up."""

    required: Pairs
    optional: Pairs


def _rebound(names: Sequence[str], rebind: Rebind) -> dict[str, str]:
    if rebind is None:
        return {}
    if isinstance(rebind, Mapping):
        return dict(rebind)
    if isinstance(rebind, (list, tuple)):
        surplus = rebind[len(names) :]
        return {**dict(zip(names, rebind, strict=False)), **{name: name for name in surplus}}
    raise TypeError(
        f"Invalid rebind value {rebind!r}: give a dict of argument -> name, or a list or tuple of names"
    )


def bind_arguments(
    who: str | None,
    function: Callable[..., Any],
    requires: Requires = None,
    rebind: Rebind = None,
    auto_extract: bool = True,
    ignore: Sequence[str] = (),
) -> Bindings:
    """Work out what a method is to be handed, and check that it can take it.

    Args:
        who: the atom's name, for the error.
        function: the method.
        requires: names to hand over besides those in the signature.
        rebind: other names to look up: by argument, or in the order of the required arguments.
        auto_extract: read the signature; otherwise only ``requires`` and ``rebind`` count.
        ignore: arguments that somebody else fills.

    Returns:
        The pairs, required and optional.

    Raises:
        ValueError: a name that the method cannot take, or a required one that is left out.
    """
    read = signature_of(function)
    needed = tuple(name for name in read.required if name not in ignore)
    required = {name: name for name in needed} if auto_extract else {}
    if requires:
        required.update({n: n for n in ([requires] if isinstance(requires, str) else requires)})
    required.update(_rebound(needed, rebind))
    optional: Pairs = ()
    if auto_extract:
        left = (name for name in read.optional if name not in required and name not in ignore)
        optional = tuple((name, name) for name in left)
    if not read.accepts_any:
        known = read.names
        extra = [name for name in required if name not in known]
        if extra:
            raise ValueError(f"Extra arguments given to atom {who}: {extra}")
    missing = [name for name in needed if name not in required]
    if missing:
        raise ValueError(f"Missing arguments for atom {who}: {missing}")
    return Bindings(tuple(required.items()), optional)


def parse_provides(provides: Provides) -> tuple[tuple[str, Any], ...]:
    """Turn ``provides`` into pairs of a name and where in the result its value is.

    Args:
        provides: one name (the whole result), a list or tuple (by position), a set (by key).

    Returns:
        The pairs; None as the place means the whole result.

    Raises:
        TypeError: it is none of these.
    """
    if provides is None:
        return ()
    if isinstance(provides, str):
        return ((provides, None),)
    if isinstance(provides, Sequence):
        return tuple((name, place) for place, name in enumerate(provides))
    if isinstance(provides, AbstractSet):
        return tuple((name, name) for name in sorted(provides))
    raise TypeError(f"Atom provides parameter should be str, set or tuple/list, not {provides!r}")


def class_name(thing: object) -> str:
    """Return the full name of a thing's class."""
    kind = type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"


class Atom(abc.ABC):
    """A named unit of work that takes named values and gives named values.

    Args:
        name: what it is called; unique within a flow, and how it is found again on resumption.
        provides: names given to the result: one name, a list or tuple (by index), a set (by key).
        requires: names that ``execute`` is handed besides those in its signature.
        auto_extract: read what is required off the signatures.
        rebind: names to look up instead of the argument names: a dict, or a list in argument order.
        inject: values that only this atom sees; they beat all others.
        ignore_list: arguments of ``execute`` that are not to be looked up.
        revert_rebind: the same as ``rebind`` for ``revert``; ``rebind`` if left out.
        revert_requires: the same as ``requires`` for ``revert``; ``requires`` if left out.

    Raises:
        ValueError: a name that the method cannot take, or a required one that is left out.
        TypeError: ``provides``, ``rebind`` or ``inject`` of an unknown kind.
    """

    priority: int = 0
    default_provides: Provides = None
    version: tuple[int, int] = (1, 0)
    name: str | None

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
            raise TypeError(f"inject= of atom {name} takes values by name, as {{'size': 3}}, not {inject!r}")
        self.name = name
        self.inject = inject
        self.outputs = parse_provides(self.default_provides if provides is None else provides)
        ignore = tuple(ignore_list or ())
        self.execute_bindings = bind_arguments(name, self.execute, requires, rebind, auto_extract, ignore)
        # Most atoms undo nothing, and there may be a million of them: they share what execute takes.
        self.revert_bindings = self.execute_bindings
        if type(self).revert is not Atom.revert or revert_requires or revert_rebind:
            self.revert_bindings = bind_arguments(
                name, self.revert, revert_requires or requires, revert_rebind or rebind,
                auto_extract, ignore + _REVERT_EXTRAS,
            )  # fmt: skip

    @property
    def save_as(self) -> dict[str, Any]:
        """Each provided name and where in the result its value is (None: all of it)."""
        return dict(self.outputs)

    @property
    def provides(self) -> frozenset[str]:
        """The names that this atom provides."""
        return frozenset(name for name, _ in self.outputs)

    @property
    def rebind(self) -> dict[str, str]:
        """Each argument of ``execute`` and the name looked up for it."""
        return dict(self.execute_bindings.required + self.execute_bindings.optional)

    @property
    def revert_rebind(self) -> dict[str, str]:
        """Each argument of ``revert`` and the name looked up for it."""
        return dict(self.revert_bindings.required + self.revert_bindings.optional)

    @property
    def requires(self) -> frozenset[str]:
        """The names that this atom needs from others."""
        names = {name for _, name in self.execute_bindings.required + self.revert_bindings.required}
        return frozenset(names.difference(self.inject or ()))

    @property
    def optional(self) -> frozenset[str]:
        """The names that ``execute`` takes if there are any."""
        return frozenset({name for _, name in self.execute_bindings.optional}.difference(self.inject or ()))

    @property
    def revert_optional(self) -> frozenset[str]:
        """The names that ``revert`` takes if there are any."""
        return frozenset({n for _, n in self.revert_bindings.optional}.difference(self.inject or ()))

    def pre_execute(self) -> None:  # noqa: B027  optional hook
        """Do something before each ``execute``."""

    @abc.abstractmethod
    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work and return its result."""

    def post_execute(self) -> None:  # noqa: B027  optional hook
        """Do something after each ``execute``, whether it worked or not."""

    def pre_revert(self) -> None:  # noqa: B027  optional hook
        """Do something before each ``revert``."""

    def revert(self, *args: Any, **kwargs: Any) -> Any:  # noqa: B027  not everything needs undoing
        """Undo the work; ``result`` and ``flow_failures`` can be asked for by name."""

    def post_revert(self) -> None:  # noqa: B027  optional hook
        """Do something after each ``revert``, whether it worked or not."""

    def __str__(self) -> str:
        """Say name and version."""
        return f'"{self.name}=={".".join(map(str, self.version))}"'

    def __repr__(self) -> str:
        """Say class, name and version."""
        return f"<{class_name(self)} {self}>"
