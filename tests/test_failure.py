"""Failures: read, compared, stored, sent and raised again."""

import copy
import pickle

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.failure import Failure


class Odd(LookupError):
    """An error of our own."""


def caught(error, cause=None):
    """Return the failure of an error that was really raised."""
    try:
        raise error from cause
    except type(error):
        return Failure()


@pytest.fixture(params=["live", "stored"])
def failure(request):
    made = caught(Odd("lost", 3))
    return made if request.param == "live" else Failure.from_dict(made.to_dict())


def test_what_it_tells(failure):
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


def test_pformat_without_a_traceback_says_so():
    text = Failure.from_exception(Odd("x")).pformat(traceback=True)
    assert text == f"Failure: {__name__}.Odd: x\nTraceback not available."


@pytest.mark.parametrize(
    ("classes", "found"),
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
def test_check(failure, classes, found):
    assert failure.check(*classes) == found


def test_the_live_error_is_there_only_while_it_lives():
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


def test_reraise_of_a_stored_one():
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


def test_causes_are_followed_as_python_shows_them():
    deep = caught(Odd("top"), cause=caught(ValueError("middle"), cause=KeyError("low")).exception)
    assert [cause.exception_str for cause in deep.causes] == ["middle", "'low'"]


def handled(*, hide):
    """Return the failure of an error raised while another was handled."""

    def look_up():
        try:
            return {}["low"]
        except KeyError:
            if hide:
                raise Odd("top") from None
            raise Odd("top")  # noqa: B904  that is what is tested

    try:
        look_up()
    except Odd:
        return Failure()


def test_an_error_met_while_handling_another_is_a_cause():
    assert [cause.exception_str for cause in handled(hide=False).causes] == ["'low'"]


def test_from_none_hides_the_cause():
    assert handled(hide=True).causes == ()


def test_a_ring_of_causes_ends():
    one, two = Odd("one"), Odd("two")
    one.__cause__, two.__cause__ = two, one
    assert [cause.exception_str for cause in Failure.from_exception(one).causes] == ["two"]


@pytest.mark.parametrize("include_args", [True, False])
def test_through_a_dictionary_and_back(include_args):
    failure = caught(Odd("lost", 3), cause=KeyError("low"))
    data = failure.to_dict(include_args=include_args)
    assert data["version"] == 1
    assert data["exc_args"] == (("lost", 3) if include_args else ())
    back = Failure.from_dict(data)
    assert back.matches(failure)
    assert failure.matches(back)
    assert back.traceback_str == failure.traceback_str
    assert [cause.exception_str for cause in back.causes] == ["'low'"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "not a stored failure"),
        ({"exception_str": "x"}, "not a stored failure"),
        ({"exc_type_names": ["E"], "version": 9}, "version 9, this code reads 1"),
    ],
)
def test_what_is_no_stored_failure_is_refused(data, words):
    with pytest.raises(exc.InvalidFormat, match=words):
        Failure.from_dict(data)


def test_made_of_what_is_known_of_an_error_elsewhere():
    cause = caught(KeyError("low"))
    made = Failure(
        exception_str="lost", exc_type_names=["Odd", "Exception"], exc_args=["lost"], causes=[cause]
    )
    assert str(made) == "Failure: Odd: lost"
    assert made.exception is None
    assert made.exception_args == ("lost",)
    assert made.causes == (cause,)
    assert str(Failure(exception_str="lost")) == "Failure: lost"
    with pytest.raises(TypeError, match=r"unexpected keyword argument.*: colour, size"):
        Failure(exception_str="lost", size=1, colour="red")


def stored_form(**changes):
    return {**caught(Odd("lost"), cause=KeyError("low")).to_dict(), **changes}


def test_a_stored_form_is_valid():
    Failure.validate(stored_form())
    Failure.validate(stored_form(causes=[], exc_type_names=["Odd", "Exception", "BaseException"]))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "no dictionary"),
        ({"exception_str": "", "exc_type_names": ["Exception"]}, "'traceback_str' is missing"),
        (stored_form(exc_type_names=[]), "must end in one of"),
        (stored_form(exc_type_names=["Junk"]), "Junk"),
        (stored_form(exception_str=5), "'exception_str' holds 5"),
        (stored_form(version=-1), "'version' is below zero"),
        (stored_form(causes=[stored_form(causes=[5])]), "no dictionary but 5"),
    ],
)
def test_what_is_no_valid_stored_form(data, words):
    with pytest.raises(exc.InvalidFormat, match=words):
        Failure.validate(data)


def test_comparing():
    one = caught(Odd("lost"))
    assert one == caught(Odd("lost"))
    assert one != caught(Odd("found"))
    assert one != caught(LookupError("lost"))
    assert one != caught(Odd("lost"), cause=KeyError("low"))
    assert one != "lost"
    assert one != Failure.from_exception(Odd("lost"))  # raised nowhere
    stored = Failure.from_dict(one.to_dict())
    assert one != stored
    assert one.matches(stored)
    assert stored == Failure.from_dict(one.to_dict())
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_copies():
    one = caught(Odd("lost"))
    twin = one.copy()
    assert twin is not one
    assert twin == one
    assert twin.exception is one.exception
    deep = copy.deepcopy(one)
    assert deep == one
    assert deep.exception is one.exception


def test_it_travels_as_plain_data():
    one = caught(Odd("lost", object()))
    back = pickle.loads(pickle.dumps(one))  # noqa: S301  our own
    assert back.exc_type_names == one.exc_type_names
    assert back.exception is None


def test_there_must_be_an_error():
    with pytest.raises(ValueError, match="needs an error"):
        Failure()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_what_no_flow_may_swallow_is_refused(error):
    with pytest.raises(TypeError, match=type(error).__name__):
        Failure.from_exception(error)
