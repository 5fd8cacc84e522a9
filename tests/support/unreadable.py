"""Errors that cannot be read, or only with care; each is made anew by a function without arguments."""

# These classes break the rules of their base classes on purpose.
# mypy: ignore-errors

from __future__ import annotations

import types


class LazyText(str):
    """A text that is translated when it is shown, as those of oslo_i18n; it does not support ``+``."""

    __slots__ = ()

    def __str__(self):
        return LazyText(str.__str__(self))

    def __add__(self, other):
        raise TypeError("lazy texts cannot be joined")

    __radd__ = __add__


class StuckText(LazyText):
    """A lazy text whose translation fails."""

    __slots__ = ()

    def __str__(self):
        raise LookupError("no catalogue")


class Unprintable:
    """Can be neither shown nor stored, and does not say what it is."""

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__
    __hash__ = None

    def __eq__(self, other):
        raise RuntimeError("not comparable")

    @property
    def __class__(self):
        raise RuntimeError("no class")


class NoText(Exception):
    def __str__(self):
        raise ValueError("no text")


class NoTextEver(Exception):
    def __str__(self):
        raise type(self)("and this one cannot be read either")

    __repr__ = __str__


class EndlessText(Exception):
    def __str__(self):
        return str(self)


class ExitsForText(Exception):
    def __str__(self):
        raise SystemExit("no text")


class NotText(Exception):
    def __str__(self):
        return 5  # noqa: PLE0307  the point of this class


class LazyError(Exception):
    def __str__(self):
        return self.args[0]


class NoArgs(Exception):
    @property
    def args(self):
        raise ValueError("no args")


class OddArgs(Exception):
    args = 5


class NoLinks(Exception):
    def _refuse(self, *_):
        raise ValueError("no links")

    __cause__ = property(_refuse)
    __context__ = property(_refuse)
    __suppress_context__ = property(_refuse)
    __traceback__ = property(_refuse)
    __notes__ = property(_refuse)
    __dict__ = property(_refuse)


class OwnCause(Exception):
    @property
    def __cause__(self):
        return type(self)()  # a new cause for each, without end

    __context__ = __cause__


class NoClass(Exception):
    @property
    def __class__(self):
        raise ValueError("no class")


class FalseClass(Exception):
    __class__ = int


class NoReduce(Exception):
    def __reduce__(self):
        raise ValueError("no reduce")

    __reduce_ex__ = __copy__ = __deepcopy__ = __reduce__


class NoAttributes(Exception):
    def __getattribute__(self, name):
        raise ValueError(f"no {name}")


class NoComparison(Exception):
    def __eq__(self, other):
        raise ValueError("not comparable")

    __hash__ = None

    def __bool__(self):
        raise ValueError("neither true nor false")


class TwoArguments(Exception):
    def __init__(self, one, two):
        super().__init__(one)
        self.two = two


class NoRaise(Exception):
    def with_traceback(self, tb):
        raise ValueError("no traceback")

    def add_note(self, note):
        raise ValueError("no notes")


class _Secretive(type):
    def __getattribute__(cls, name):
        raise ValueError(f"{name} of the class is secret")

    def _refuse(cls, *_):
        raise ValueError("the class is secret")

    __str__ = __repr__ = _refuse


class SecretClass(Exception, metaclass=_Secretive):
    pass


Homeless = type("Homeless", (Exception,), {"__module__": None})
LongName = type("N" * 100_000, (Exception,), {})


def _raised(error, cause=None):
    try:
        raise error from cause
    except type(error):
        return error


def chain(length):
    """Return an error with a chain of causes."""
    error = _raised(ConnectionError("first"))
    for number in range(length):
        error = _raised(ConnectionError(f"attempt {number} failed"), error)
    return error


def _circle():
    one, two = OSError("one"), OSError("two")
    one.__cause__, two.__cause__ = two, one
    return one


def _own_cause():
    error = ValueError("own cause")
    error.__cause__ = error
    return error


def _nested_groups():
    group = ExceptionGroup("inner", [NoText(), ValueError("member")])
    for _ in range(40):  # written out, this has 2 ** 40 members
        group = ExceptionGroup("outer", [group, group])
    return group


def _odd_notes():
    error = ValueError("with notes")
    error.__notes__ = ["plain", LazyText("lazy"), Unprintable(), "\ud800", *map(str, range(1000))]
    return error


def _notes_are_no_list():
    error = ValueError("with notes")
    error.__notes__ = 5
    return error


def _deep_traceback():
    def down(left):
        return up(left - 1) if left else 1 / 0

    def up(left):
        return down(left - 1) if left else 1 / 0

    try:
        down(400)
    except ZeroDivisionError as error:
        return error


def _false_traceback():
    code = compile("raise ValueError('made up')", "no\ud800file", "exec")
    loader = types.SimpleNamespace(get_source=_refuse_source)
    try:
        exec(code, {"__name__": "made.up", "__loader__": loader})  # noqa: S102  the code is the line above
    except ValueError as error:
        return error


def _refuse_source(name):
    raise NoText


def _with_cause(cause):
    return lambda: _raised(ValueError("top"), cause())


def _cyclic_args():
    items = []
    items.append(items)
    return ValueError(items, {"a": Unprintable()})


#: Functions that make the errors, by what is odd about them.
ERRORS = {
    "__str__ raises": NoText,
    "__str__ raises its own class": NoTextEver,
    "__str__ never ends": EndlessText,
    "__str__ exits": ExitsForText,
    "__str__ returns no text": NotText,
    "lazy text": lambda: LazyError(LazyText("lazy")),
    "lazy text that fails": lambda: LazyError(StuckText("stuck")),
    "lazy argument": lambda: ValueError(LazyText("lazy"), StuckText("stuck")),
    "args raises": lambda: NoArgs("hidden"),
    "args is a number": lambda: OddArgs("hidden"),
    "argument cannot be read": lambda: ValueError(Unprintable()),
    "arguments contain themselves": _cyclic_args,
    "causes and traceback raise": lambda: NoLinks("alone"),
    "a new cause each time": OwnCause,
    "__class__ raises": lambda: NoClass("classless"),
    "__class__ lies": lambda: FalseClass("five"),
    "__reduce__ raises": lambda: NoReduce("fixed"),
    "no attribute can be read": lambda: NoAttributes("closed"),
    "not comparable": lambda: NoComparison("unlike"),
    "two arguments needed": lambda: TwoArguments("one", object()),
    "with_traceback raises": lambda: NoRaise("not raised"),
    "class cannot be read": lambda: SecretClass("secret"),
    "class without module": lambda: Homeless("where from?"),
    "class with a long name": lambda: LongName("long name"),
    "surrogates": lambda: ValueError("text\udcff", "\ud800"),
    "long text": lambda: ValueError("x" * 10_000_000),
    "long text that is escaped": lambda: ValueError("\N{GRINNING FACE}\0" * 1_000_000),
    "circular causes": _circle,
    "its own cause": _own_cause,
    "long chain": lambda: chain(10_000),
    "group": lambda: ExceptionGroup("group", [ValueError("a"), NoText(), KeyError("b")]),
    "nested groups": _nested_groups,
    "notes": _odd_notes,
    "notes are no list": _notes_are_no_list,
    "deep traceback": _deep_traceback,
    "traceback without source": _false_traceback,
    "interrupted": _with_cause(KeyboardInterrupt),
    "exit as cause": _with_cause(lambda: SystemExit(Unprintable())),
    "group with an exit as cause": _with_cause(lambda: BaseExceptionGroup("g", [SystemExit(), NoText()])),
    "unreadable cause": _with_cause(NoTextEver),
    "cause without a readable class": _with_cause(lambda: SecretClass("secret")),
}
