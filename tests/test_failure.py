"""Failures: attributes, comparison, dictionary form, pickling and reraising."""

import copy
import pickle

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.failure import Failure


class Odd(LookupError):
    """A custom exception."""


def caught(error, cause=None):
    """Raise an exception and return its failure."""
    try:
        raise error from cause
    except type(error):
        return Failure()


@pytest.fixture(params=["live", "stored"])
def failure(request):
    live = caught(Odd("lost", 3))
    return live if request.param == "live" else Failure.from_dict(live.to_dict())


def test_attributes(failure):
    assert failure.exception_str == "('lost', 3)"
    assert failure.exception_args == ("lost", 3)
    assert failure.exc_type_names == (f"{__name__}.Odd", "LookupError", "Exception")
    assert list(failure) == list(failure.exc_type_names)
    assert "raise error from cause" in failure.traceback_str
    assert str(failure) == f"Failure: {__name__}.Odd: ('lost', 3)"
    assert repr(failure) == f"<{failure}>"


def test_pformat_with_traceback(failure):
    text = failure.pformat(traceback=True)
    assert text.startswith(f"{failure}\nTraceback (most recent call last):\n")
    assert "raise error from cause" in text


def test_pformat_without_a_traceback():
    text = Failure.from_exception(Odd("x")).pformat(traceback=True)
    assert text == f"Failure: {__name__}.Odd: x\nTraceback not available."


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([Odd], Odd),
        ([ValueError, LookupError], LookupError),
        ([Exception], Exception),
        ([f"{__name__}.Odd"], f"{__name__}.Odd"),
        (["LookupError"], "LookupError"),
        ([ValueError, "Odd"], None),
        ([BaseException], None),
        ([KeyboardInterrupt], None),
        ([], None),
    ],
)
def test_check(failure, classes, expected):
    assert failure.check(*classes) == expected


def test_the_dictionary_form_drops_the_live_exception():
    error = Odd("lost")
    live = caught(error)
    assert live.exception is error
    assert live.exc_info[:2] == (Odd, error)
    stored = Failure.from_dict(live.to_dict())
    assert stored.exception is None
    assert stored.exc_info is None


def test_reraise():
    error = Odd("lost")
    with pytest.raises(Odd) as again:
        caught(error).reraise()
    assert again.value is error
    assert "caught" in [entry.name for entry in again.traceback]


def test_reraise_of_a_stored_failure():
    stored = Failure.from_dict(caught(Odd("lost")).to_dict())
    with pytest.raises(exc.WrappedFailure, match="lost") as again:
        stored.reraise()
    assert list(again.value) == [stored]


def test_reraise_if_any():
    Failure.reraise_if_any([])
    one, two = caught(Odd("lost")), caught(ValueError("bad"))
    with pytest.raises(Odd):
        Failure.reraise_if_any(iter([one]))
    with pytest.raises(exc.WrappedFailure) as both:
        Failure.reraise_if_any(iter([one, two]))
    assert list(both.value) == [one, two]


def test_causes_follow_raise_from():
    deep = caught(Odd("top"), cause=caught(ValueError("middle"), cause=KeyError("low")).exception)
    assert [cause.exception_str for cause in deep.causes] == ["middle", "'low'"]


def handled(*, hide):
    """Return the failure of an exception raised while another was handled."""

    def look_up():
        try:
            return {}["low"]
        except KeyError:
            if hide:
                raise Odd("top") from None
            raise Odd("top")  # noqa: B904  tested here

    try:
        look_up()
    except Odd:
        return Failure()


def test_an_exception_being_handled_is_a_cause():
    assert [cause.exception_str for cause in handled(hide=False).causes] == ["'low'"]


def test_raise_from_none_suppresses_the_cause():
    assert handled(hide=True).causes == ()


def test_circular_causes():
    one, two = Odd("one"), Odd("two")
    one.__cause__, two.__cause__ = two, one
    assert [cause.exception_str for cause in Failure.from_exception(one).causes] == ["two"]


@pytest.mark.parametrize("include_args", [True, False])
def test_dictionary_round_trip(include_args):
    failure = caught(Odd("lost", 3), cause=KeyError("low"))
    data = failure.to_dict(include_args=include_args)
    assert data["version"] == 1
    assert data["exc_args"] == (("lost", 3) if include_args else ())
    restored = Failure.from_dict(data)
    assert restored.matches(failure)
    assert failure.matches(restored)
    assert restored.traceback_str == failure.traceback_str
    assert [cause.exception_str for cause in restored.causes] == ["'low'"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "not the dictionary form"),
        ({"exception_str": "x"}, "not the dictionary form"),
        ({"exc_type_names": ["E"], "version": 9}, "version 9: this release reads version 1"),
    ],
)
def test_from_dict_rejects_other_data(data, message):
    with pytest.raises(exc.InvalidFormat, match=message):
        Failure.from_dict(data)


def test_failure_from_a_description():
    cause = caught(KeyError("low"))
    failure = Failure(
        exception_str="lost", exc_type_names=["Odd", "Exception"], exc_args=["lost"], causes=[cause]
    )
    assert str(failure) == "Failure: Odd: lost"
    assert failure.exception is None
    assert failure.exception_args == ("lost",)
    assert failure.causes == (cause,)
    assert str(Failure(exception_str="lost")) == "Failure: lost"
    with pytest.raises(TypeError, match=r"unexpected keyword argument.*: colour, size"):
        Failure(exception_str="lost", size=1, colour="red")


def dict_form(**changes):
    return {**caught(Odd("lost"), cause=KeyError("low")).to_dict(), **changes}


def test_validate():
    Failure.validate(dict_form())
    Failure.validate(dict_form(causes=[], exc_type_names=["Odd", "Exception", "BaseException"]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "not a dictionary"),
        ({"exception_str": "", "exc_type_names": ["Exception"]}, "'traceback_str' is missing"),
        (dict_form(exc_type_names=[]), "must end in one of"),
        (dict_form(exc_type_names=["Junk"]), "Junk"),
        (dict_form(exception_str=5), "'exception_str' has the wrong type: 5"),
        (dict_form(version=-1), "'version' is negative"),
        (dict_form(causes=[dict_form(causes=[5])]), "not a dictionary: 5"),
    ],
)
def test_validate_rejects_invalid_data(data, message):
    with pytest.raises(exc.InvalidFormat, match=message):
        Failure.validate(data)


def test_equality():
    one = caught(Odd("lost"))
    assert one == caught(Odd("lost"))
    assert one != caught(Odd("found"))
    assert one != caught(LookupError("lost"))
    assert one != caught(Odd("lost"), cause=KeyError("low"))
    assert one != "lost"
    assert one != Failure.from_exception(Odd("lost"))  # never raised, so without a traceback
    stored = Failure.from_dict(one.to_dict())
    assert one != stored
    assert one.matches(stored)
    assert stored == Failure.from_dict(one.to_dict())
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_copies():
    one = caught(Odd("lost"))
    clone = one.copy()
    assert clone is not one
    assert clone == one
    assert clone.exception is one.exception
    deep = copy.deepcopy(one)
    assert deep == one
    assert deep.exception is one.exception


def test_pickling_drops_the_live_exception():
    one = caught(Odd("lost", object()))
    restored = pickle.loads(pickle.dumps(one))  # noqa: S301  pickled here
    assert restored.exc_type_names == one.exc_type_names
    assert restored.exception is None


def test_an_exception_is_required():
    with pytest.raises(ValueError, match="needs an exception"):
        Failure()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_exceptions_that_do_not_derive_from_exception_are_rejected(error):
    with pytest.raises(TypeError, match=type(error).__name__):
        Failure.from_exception(error)
