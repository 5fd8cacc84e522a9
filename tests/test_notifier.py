"""Who is called back, with what, and in which order."""

import contextlib
import functools
import logging

import pytest

from stackl_flow.notifier import Listener, Notifier, RestrictedNotifier, register_deregister


@pytest.fixture
def calls():
    return []


@pytest.fixture
def listen(calls):
    """Give a maker of callbacks that write (name, event, details) down."""

    def make(name):
        def callback(event, *args, details, **kwargs):
            calls.append((name, event, dict(details), *args, *sorted(kwargs.items())))

        return callback

    return make


def test_those_of_any_then_those_of_the_event_in_the_order_of_registration(calls, listen):
    notifier = Notifier()
    notifier.register("e", listen("first"))
    notifier.register("*", listen("any"))
    notifier.register("e", listen("second"))
    notifier.register("other", listen("other"))
    notifier.notify("e", {"n": 1})
    assert calls == [("any", "e", {"n": 1}), ("first", "e", {"n": 1}), ("second", "e", {"n": 1})]


def test_arguments_are_handed_on(calls, listen):
    notifier = Notifier()
    notifier.register("e", listen("a"), args=[1, 2], kwargs={"k": 3})
    notifier.notify("e", {})
    assert calls == [("a", "e", {}, 1, 2, ("k", 3))]


def test_a_filter_decides_by_the_details(calls, listen):
    notifier = Notifier()
    notifier.register("e", listen("big"), details_filter=lambda details: details["n"] > 1)
    notifier.notify("e", {"n": 1})
    notifier.notify("e", {"n": 2})
    assert calls == [("big", "e", {"n": 2})]


def test_each_gets_a_copy_of_the_details(calls, listen):
    def spoil(event, details):
        details["n"] = 5

    notifier, details = Notifier(), {"n": 1}
    notifier.register("e", spoil)
    notifier.register("e", listen("next"))
    notifier.notify("e", details)
    assert details == {"n": 1}
    assert calls == [("next", "e", {"n": 1})]


def test_no_details_are_empty_details(calls, listen):
    notifier = Notifier()
    notifier.register("e", listen("a"))
    notifier.notify("e", None)
    assert calls == [("a", "e", {})]


def test_any_itself_cannot_be_told(calls, listen):
    notifier = Notifier()
    notifier.register("*", listen("any"))
    notifier.notify("*", {})
    assert calls == []
    assert not notifier.can_trigger_notification("*")
    assert notifier.can_trigger_notification("e")


def test_one_that_raises_is_logged_once_and_is_called_again_as_are_others(calls, listen, caplog):
    def broken(event, details):
        calls.append("broken")
        raise LookupError("oh")

    notifier = Notifier()
    notifier.register("e", broken)
    notifier.register("e", listen("good"))
    notifier.notify("e", {})
    notifier.notify("e", {})
    assert [call if call == "broken" else call[0] for call in calls] == ["broken", "good"] * 2
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "raised LookupError when told of e" in record.message
    assert "LookupError: oh" in caplog.text


class Teller:
    """Callbacks of each kind, all broken."""

    def method(self, event, details):
        raise LookupError

    def __call__(self, event, details):
        raise LookupError

    @classmethod
    def of_class(cls, event, details):
        raise LookupError


class Heir(Teller):
    """Inherits its callbacks."""


def function(event, details):
    raise LookupError


@pytest.mark.parametrize(
    ("callback", "name"),
    [
        (function, "function"),
        (Heir().method, "Heir.method"),
        (Heir(), "Heir"),
        (Heir.of_class, "Teller.of_class"),
        (functools.partial(functools.partial(function)), "function"),
    ],
)
def test_one_that_raises_is_named_so_that_it_can_be_found(callback, name, caplog):
    notifier = Notifier()
    notifier.register("*", callback)
    notifier.notify("e", {})
    assert caplog.records[0].args[0] == f"{__name__}.{name}"
    ((_, (listener,)),) = notifier.listeners_iter()
    assert repr(listener) == f"<Listener {__name__}.{name}>"


def test_a_broken_filter_disturbs_nobody(calls, listen):
    notifier = Notifier()
    notifier.register("e", listen("a"), details_filter=lambda details: details["missing"])
    notifier.register("e", listen("b"))
    notifier.notify("e", {})
    assert calls == [("b", "e", {})]


def test_registering_while_being_told_counts_from_the_next_time(calls, listen):
    notifier, late = Notifier(), listen("late")
    notifier.register(
        "e", lambda event, details: notifier.register("e", late), details_filter=lambda _: not calls
    )
    notifier.notify("e", {})
    assert calls == []
    notifier.deregister("e", late)


def test_the_same_callback_may_be_registered_with_different_filters_only(listen):
    notifier, callback = Notifier(), listen("a")
    keep = bool
    notifier.register("e", callback)
    notifier.register("e", callback, details_filter=keep)
    notifier.register("f", callback)
    with pytest.raises(ValueError, match="already registered for 'e'"):
        notifier.register("e", callback)
    assert notifier.is_registered("e", callback)
    assert notifier.is_registered("e", callback, keep)
    assert not notifier.is_registered("g", callback)
    assert len(notifier) == 3


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"callback": 5}, "must be callable, not 5"),
        ({"callback": print, "details_filter": 5}, "filter must be callable, not 5"),
    ],
)
def test_what_cannot_be_registered(kwargs, words):
    notifier = Notifier()
    with pytest.raises(ValueError, match=words):
        notifier.register("e", **kwargs)
    assert not notifier


def test_details_are_no_argument_of_ones_own():
    notifier = Notifier()
    with pytest.raises(KeyError, match="Reserved key 'details'"):
        notifier.register("e", print, kwargs={"details": 1})
    assert not notifier


def test_registrations_are_equal_by_callback_and_filter():
    one = Listener(function, args=[1])
    assert one == Listener(function)
    assert one != Listener(function, details_filter=bool)
    assert one != Listener(print)
    assert one != function


def test_taking_back(listen):
    notifier, one, two = Notifier(), listen("one"), listen("two")
    notifier.register("e", one)
    notifier.register("e", two)
    assert notifier.deregister("e", one)
    assert not notifier.deregister("e", one)
    assert not notifier.deregister("f", two)
    assert notifier.deregister_event("e") == 1
    assert notifier.deregister_event("e") == 0
    assert not notifier


def test_reset_and_len_and_truth(listen):
    notifier = Notifier()
    assert not notifier
    notifier.register("e", listen("a"))
    assert notifier
    notifier.reset()
    assert len(notifier) == 0


def test_a_copy_has_registrations_of_its_own(calls, listen):
    notifier = Notifier()
    notifier.register("e", listen("a"))
    twin = notifier.copy()
    twin.register("e", listen("b"))
    notifier.notify("e", {})
    assert [name for name, *_ in calls] == ["a"]
    assert {event: len(known) for event, known in twin.listeners_iter()} == {"e": 2}


def test_a_restricted_notifier_knows_its_events(listen):
    notifier = RestrictedNotifier(["b", "a"])
    assert list(notifier.events_iter()) == ["a", "b"]
    notifier.register("a", listen("a"))
    notifier.register("*", listen("any"))
    with pytest.raises(ValueError, match="'c'"):
        notifier.register("c", listen("c"))
    assert isinstance(notifier.copy(), RestrictedNotifier)
    with pytest.raises(ValueError, match="'c'"):
        notifier.copy().register("c", listen("c"))


def test_a_restricted_notifier_may_refuse_any(listen):
    with pytest.raises(ValueError, match=r"'\*'"):
        RestrictedNotifier(["a"], allow_any=False).register("*", listen("any"))


def test_registered_for_the_length_of_a_block(calls, listen):
    notifier = Notifier()
    with contextlib.suppress(LookupError), register_deregister(notifier, "e", listen("a")):
        notifier.notify("e", {})
        raise LookupError
    notifier.notify("e", {})
    assert len(calls) == 1
    with register_deregister(notifier, "e"):
        assert not notifier
