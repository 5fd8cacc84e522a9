"""The exception tree."""

import inspect

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.failure import Failure

OURS = [
    kind for _, kind in inspect.getmembers(exc, inspect.isclass)
    if issubclass(kind, BaseException) and kind.__module__ == exc.__name__
]  # fmt: skip


@pytest.mark.parametrize("kind", OURS)
def test_every_class_is_in_the_tree_of_the_module_docstring(kind):
    assert kind.__name__ in exc.__doc__


@pytest.mark.parametrize("kind", OURS)
def test_every_class_but_wrapped_failure_has_the_common_base(kind):
    assert issubclass(kind, exc.StacklFlowError) is not (kind is exc.WrappedFailure)


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (exc.OwnershipLost, exc.StorageFailure),
        (exc.Conflict, exc.StorageFailure),
        (exc.LeaseLost, exc.StorageFailure),
        (exc.UnclaimableJob, exc.JobFailure),
        (exc.RequestTimeout, exc.ExecutionFailure),
        (exc.InvalidState, exc.ExecutionFailure),
        (exc.AmbiguousDependency, exc.DependencyFailure),
        (exc.MissingDependencies, exc.DependencyFailure),
        (exc.FlowChanged, exc.CompilationFailure),
        (exc.NotAnAtom, (exc.CompilationFailure, TypeError)),
        (exc.FactoryNotFound, (exc.NotFound, ImportError)),
        (exc.NotSerializable, exc.InvalidFormat),
        (exc.ValueTooLarge, exc.InvalidFormat),
        (exc.NotSupported, NotImplementedError),
    ],
)
def test_base_classes(kind, base):
    for each in base if isinstance(base, tuple) else (base,):
        assert issubclass(kind, each)


def test_causes_are_printed_below_the_message():
    error = exc.StacklFlowError("top", cause=exc.NotFound("middle", cause=KeyError("low")))
    assert error.cause.cause.args == ("low",)
    assert str(error) == error.pformat() == "top\n  NotFound: middle\n    KeyError: low"
    assert error.pformat(indent=0, show_root_class=True).splitlines() == [
        "StacklFlowError: top",
        "NotFound: middle",
        "KeyError: low",
    ]
    with pytest.raises(ValueError, match="zero or more"):
        error.pformat(indent=-1)


def test_circular_causes_are_printed_once():
    first = exc.StacklFlowError("first")
    second = exc.StacklFlowError("second", cause=first)
    first._cause = second
    assert str(first) == "first\n  StacklFlowError: second"


def _handle(low):
    try:
        raise low
    except KeyError:
        exc.raise_with_cause(exc.NotFound, "top")


def test_raise_with_cause_uses_the_exception_being_handled():
    low = KeyError("low")
    with pytest.raises(exc.NotFound, match="top") as caught:
        _handle(low)
    assert caught.value.cause is low
    assert caught.value.__cause__ is low
    with pytest.raises(ValueError, match="KeyError"):
        exc.raise_with_cause(KeyError, "not a StacklFlowError")


def test_without_a_cause_only_the_message_is_printed():
    assert str(exc.StorageFailure("full")) == "full"
    assert exc.StorageFailure("full").cause is None


def test_causes_set_by_raise_from_are_followed():
    low = ValueError("middle")
    low.__cause__ = KeyError("low")
    assert str(exc.NotFound("top", cause=low)).splitlines()[-1].strip() == "KeyError: low"


def test_missing_dependencies():
    first = exc.MissingDependencies("atom a", {"y", "x"}, method="execute")
    assert first.missing_requirements == ["x", "y"]
    assert "method 'execute' of atom a" in str(first)
    assert "['x', 'y']" in str(first)
    both = exc.MissingDependencies("flow f", ["z"], cause=first)
    assert str(both).count("\n") == 1


def test_disallowed_access_carries_the_state():
    assert exc.DisallowedAccess("no", state="RUNNING").state == "RUNNING"


def test_wrapped_failure():
    one, two = Failure.from_exception(ValueError("one")), Failure.from_exception(KeyError("two"))
    error = exc.WrappedFailure([one, two])
    assert (list(error), len(error)) == ([one, two], 2)
    assert error.check(KeyError) is KeyError
    assert error.check("ValueError") == "ValueError"
    assert error.check(OSError) is None
    assert "ValueError: one" in str(error)
    assert "KeyError: 'two'" in str(error)


def test_nested_wrapped_failures_are_flattened():
    one, two, three = (Failure.from_exception(ValueError(word)) for word in ("one", "two", "three"))
    inner = Failure.from_exception(exc.WrappedFailure([one, two]))
    assert list(exc.WrappedFailure([inner, three])) == [one, two, three]


def test_taskflow_names_are_aliases():
    assert exc.TaskFlowException is exc.StacklFlowError
    assert exc.NotImplementedError is exc.NotSupported


def test_too_large_says_how_much():
    error = exc.ValueTooLarge("too large", size=11, limit=10)
    assert (error.size, error.limit) == (11, 10)
    assert exc.ValueTooLarge("too large").size is exc.ValueTooLarge("too large").limit is None
