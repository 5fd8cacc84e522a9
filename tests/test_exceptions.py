"""The tree of errors."""

import inspect

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.failure import Failure

OURS = [
    kind for _, kind in inspect.getmembers(exc, inspect.isclass)
    if issubclass(kind, BaseException) and kind.__module__ == exc.__name__
]  # fmt: skip


@pytest.mark.parametrize("kind", OURS)
def test_every_error_stands_in_the_tree_drawn_at_the_top(kind):
    assert kind.__name__ in exc.__doc__


@pytest.mark.parametrize("kind", OURS)
def test_every_error_but_the_collected_one_grows_from_one_root(kind):
    assert issubclass(kind, exc.StacklFlowError) is not (kind is exc.WrappedFailure)


@pytest.mark.parametrize(
    ("kind", "above"),
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
        (exc.NotSupported, NotImplementedError),
    ],
)
def test_what_catches_what(kind, above):
    for each in above if isinstance(above, tuple) else (above,):
        assert issubclass(kind, each)


def test_causes_are_written_below():
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


def test_causes_in_a_ring_are_written_once():
    first = exc.StacklFlowError("first")
    second = exc.StacklFlowError("second", cause=first)
    first._cause = second
    assert str(first) == "first\n  StacklFlowError: second"


def _handle(low):
    try:
        raise low
    except KeyError:
        exc.raise_with_cause(exc.NotFound, "top")


def test_raised_with_the_error_being_handled_as_its_cause():
    low = KeyError("low")
    with pytest.raises(exc.NotFound, match="top") as caught:
        _handle(low)
    assert caught.value.cause is low
    assert caught.value.__cause__ is low
    with pytest.raises(ValueError, match="KeyError"):
        exc.raise_with_cause(KeyError, "no error of this tree")


def test_without_a_cause_the_message_is_all():
    assert str(exc.StorageFailure("full")) == "full"
    assert exc.StorageFailure("full").cause is None


def test_a_cause_in_pythons_own_chain_is_followed():
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


def test_disallowed_access_knows_the_state():
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


def test_wrapped_failures_within_are_unfolded():
    one, two, three = (Failure.from_exception(ValueError(word)) for word in ("one", "two", "three"))
    inner = Failure.from_exception(exc.WrappedFailure([one, two]))
    assert list(exc.WrappedFailure([inner, three])) == [one, two, three]
