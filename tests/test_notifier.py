"""Who is called back, with what, and in which order."""

import contextlib
import logging

import pytest

from stackl_flow.notifier import Notifier, RestrictedNotifier, register_deregister


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


def test_those_of_the_event_then_those_of_any_in_the_order_of_registration(calls, listen):
    notifier = Notifier()
    notifier.register("*", listen("any"))
    notifier.register("e", listen("first"))
    notifier.register("e", listen("second"))
    notifier.register("other", listen("other"))
    notifier.notify("e", {"n": 1})
    assert calls == [("first", "e", {"n": 1}), ("second", "e", {"n": 1}), ("any", "e", {"n": 1})]


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


def test_details_are_a_copy(listen):
    def spoil(event, details):
        details["n"] = 5

    notifier, details = Notifier(), {"n": 1}
    notifier.register("e", spoil)
    notifier.notify("e", details)
    assert details == {"n": 1}


def test_any_itself_cannot_be_told(calls, listen):
    notifier = Notifier()
    notifier.register("*", listen("any"))
    notifier.notify("*", {})
    assert calls == []
    assert not notifier.can_trigger_notification("*")
    assert notifier.can_trigger_notification("e")


def test_one_that_raises_is_logged_once_by_name_and_others_are_called(calls, listen, caplog):
    def broken(event, details):
        raise LookupError("oh")

    notifier = Notifier()
    notifier.register("e", broken)
    notifier.register("e", listen("good"))
    with caplog.at_level(logging.ERROR):
        notifier.notify("e", {})
        notifier.notify("e", {})
    assert len(calls) == 2
    assert len(caplog.records) == 1
    assert "broken" in caplog.text
    assert "LookupError: oh" in caplog.text


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
        ({"callback": print, "kwargs": {"details": 1}}, "Reserved key 'details'"),
    ],
)
def test_what_cannot_be_registered(kwargs, words):
    notifier = Notifier()
    with pytest.raises(ValueError, match=words):
        notifier.register("e", **kwargs)
    assert not notifier


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
