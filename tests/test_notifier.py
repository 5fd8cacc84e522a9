"""Callbacks: which are called, with what, and in which order."""

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
    """Return a factory of callbacks that record (name, event, details)."""

    def make(name):
        def callback(event, *args, details, **kwargs):
            calls.append((name, event, dict(details), *args, *sorted(kwargs.items())))

        return callback

    return make


def test_callbacks_for_any_run_first_then_in_order_of_registration(calls, listen):
    notifier = Notifier()
    notifier.register("e", listen("first"))
    notifier.register("*", listen("any"))
    notifier.register("e", listen("second"))
    notifier.register("other", listen("other"))
    notifier.notify("e", {"n": 1})
    assert calls == [("any", "e", {"n": 1}), ("first", "e", {"n": 1}), ("second", "e", {"n": 1})]


def test_arguments_are_passed_to_the_callback(calls, listen):
    notifier = Notifier()
    notifier.register("e", listen("a"), args=[1, 2], kwargs={"k": 3})
    notifier.notify("e", {})
    assert calls == [("a", "e", {}, 1, 2, ("k", 3))]


def test_details_filter(calls, listen):
    notifier = Notifier()
    notifier.register("e", listen("big"), details_filter=lambda details: details["n"] > 1)
    notifier.notify("e", {"n": 1})
    notifier.notify("e", {"n": 2})
    assert calls == [("big", "e", {"n": 2})]


def test_each_callback_receives_its_own_copy_of_the_details(calls, listen):
    def modify(event, details):
        details["n"] = 5

    notifier, details = Notifier(), {"n": 1}
    notifier.register("e", modify)
    notifier.register("e", listen("next"))
    notifier.notify("e", details)
    assert details == {"n": 1}
    assert calls == [("next", "e", {"n": 1})]


def test_details_of_none_are_passed_as_an_empty_dict(calls, listen):
    notifier = Notifier()
    notifier.register("e", listen("a"))
    notifier.notify("e", None)
    assert calls == [("a", "e", {})]


def test_any_cannot_be_notified(calls, listen):
    notifier = Notifier()
    notifier.register("*", listen("any"))
    notifier.notify("*", {})
    assert calls == []
    assert not notifier.can_trigger_notification("*")
    assert notifier.can_trigger_notification("e")


def test_a_failing_callback_is_logged_once_and_called_again(calls, listen, caplog):
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
    assert "raised LookupError for event e" in record.message
    assert "LookupError: oh" in caplog.text


class Callbacks:
    """Callbacks of each kind, all of which raise."""

    def method(self, event, details):
        raise LookupError

    def __call__(self, event, details):
        raise LookupError

    @classmethod
    def class_method(cls, event, details):
        raise LookupError


class Derived(Callbacks):
    """Inherits its callbacks."""


def function(event, details):
    raise LookupError


@pytest.mark.parametrize(
    ("callback", "name"),
    [
        (function, "function"),
        (Derived().method, "Derived.method"),
        (Derived(), "Derived"),
        (Derived.class_method, "Callbacks.class_method"),
        (functools.partial(functools.partial(function)), "function"),
    ],
)
def test_a_failing_callback_is_logged_with_its_qualified_name(callback, name, caplog):
    notifier = Notifier()
    notifier.register("*", callback)
    notifier.notify("e", {})
    assert caplog.records[0].args[0] == f"{__name__}.{name}"
    ((_, (listener,)),) = notifier.listeners_iter()
    assert repr(listener) == f"<Listener {__name__}.{name}>"


def test_a_failing_filter_does_not_affect_other_callbacks(calls, listen):
    notifier = Notifier()
    notifier.register("e", listen("a"), details_filter=lambda details: details["missing"])
    notifier.register("e", listen("b"))
    notifier.notify("e", {})
    assert calls == [("b", "e", {})]


def test_a_callback_registered_during_a_notification_is_called_from_the_next_one(calls, listen):
    notifier, late = Notifier(), listen("late")
    notifier.register(
        "e", lambda event, details: notifier.register("e", late), details_filter=lambda _: not calls
    )
    notifier.notify("e", {})
    assert calls == []
    notifier.deregister("e", late)


def test_a_callback_can_be_registered_again_only_with_another_filter(listen):
    notifier, callback = Notifier(), listen("a")
    details_filter = bool
    notifier.register("e", callback)
    notifier.register("e", callback, details_filter=details_filter)
    notifier.register("f", callback)
    with pytest.raises(ValueError, match="already registered for 'e'"):
        notifier.register("e", callback)
    assert notifier.is_registered("e", callback)
    assert notifier.is_registered("e", callback, details_filter)
    assert not notifier.is_registered("g", callback)
    assert len(notifier) == 3


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"callback": 5}, "must be callable, not 5"),
        ({"callback": print, "details_filter": 5}, "filter must be callable, not 5"),
    ],
)
def test_callbacks_and_filters_must_be_callable(kwargs, message):
    notifier = Notifier()
    with pytest.raises(ValueError, match=message):
        notifier.register("e", **kwargs)
    assert not notifier


def test_details_is_a_reserved_keyword():
    notifier = Notifier()
    with pytest.raises(KeyError, match="Reserved key 'details'"):
        notifier.register("e", print, kwargs={"details": 1})
    assert not notifier


def test_listeners_are_equal_by_callback_and_filter():
    one = Listener(function, args=[1])
    assert one == Listener(function)
    assert one != Listener(function, details_filter=bool)
    assert one != Listener(print)
    assert one != function


def test_deregister(listen):
    notifier, one, two = Notifier(), listen("one"), listen("two")
    notifier.register("e", one)
    notifier.register("e", two)
    assert notifier.deregister("e", one)
    assert not notifier.deregister("e", one)
    assert not notifier.deregister("f", two)
    assert notifier.deregister_event("e") == 1
    assert notifier.deregister_event("e") == 0
    assert not notifier


def test_reset_len_and_bool(listen):
    notifier = Notifier()
    assert not notifier
    notifier.register("e", listen("a"))
    assert notifier
    notifier.reset()
    assert len(notifier) == 0


def test_a_copy_has_its_own_registrations(calls, listen):
    notifier = Notifier()
    notifier.register("e", listen("a"))
    clone = notifier.copy()
    clone.register("e", listen("b"))
    notifier.notify("e", {})
    assert [name for name, *_ in calls] == ["a"]
    assert {event: len(listeners) for event, listeners in clone.listeners_iter()} == {"e": 2}


def test_a_restricted_notifier_accepts_its_events_only(listen):
    notifier = RestrictedNotifier(["b", "a"])
    assert list(notifier.events_iter()) == ["a", "b"]
    notifier.register("a", listen("a"))
    notifier.register("*", listen("any"))
    with pytest.raises(ValueError, match="'c'"):
        notifier.register("c", listen("c"))
    assert isinstance(notifier.copy(), RestrictedNotifier)
    with pytest.raises(ValueError, match="'c'"):
        notifier.copy().register("c", listen("c"))


def test_a_restricted_notifier_without_any(listen):
    with pytest.raises(ValueError, match=r"'\*'"):
        RestrictedNotifier(["a"], allow_any=False).register("*", listen("any"))


def test_register_deregister(calls, listen):
    notifier = Notifier()
    with contextlib.suppress(LookupError), register_deregister(notifier, "e", listen("a")):
        notifier.notify("e", {})
        raise LookupError
    notifier.notify("e", {})
    assert len(calls) == 1
    with register_deregister(notifier, "e"):
        assert not notifier
