"""Notifiers: callbacks registered by event.

Callbacks for any event are called first, then those for the event itself, each in the order of registration.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Self

from stackl_flow import redaction
from stackl_flow.error_text import short_name

_LOG = redaction.get_logger(__name__)

Callback = Callable[..., Any]
DetailsFilter = Callable[[dict[str, Any]], bool]


def _callback_name(callback: Callback) -> str:
    """Return the name by which a callback can be found in the source."""
    while isinstance(callback, functools.partial):
        callback = callback.func
    owner = getattr(callback, "__self__", None)
    if owner is None or isinstance(owner, type):
        target = callback if hasattr(callback, "__qualname__") else type(callback)
        return f"{target.__module__}.{target.__qualname__}"
    return f"{type(owner).__module__}.{type(owner).__qualname__}.{callback.__name__}"


class Listener:
    """A registered callback with its arguments.

    Args:
        callback: called as ``callback(event, *args, **kwargs, details={...})``.
        args: further positional arguments.
        kwargs: further keyword arguments.
        details_filter: called with the details first; if it returns False, the callback is not called.
    """

    __slots__ = ("args", "callback", "details_filter", "kwargs", "warned")

    def __init__(
        self,
        callback: Callback,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        details_filter: DetailsFilter | None = None,
    ) -> None:
        self.callback = callback
        self.args = tuple(args or ())
        self.kwargs = dict(kwargs or {})
        self.details_filter = details_filter
        self.warned = False

    def __call__(self, event: str, details: dict[str, Any]) -> None:
        """Call the callback, unless the filter rejects the details."""
        if self.details_filter is None or self.details_filter(details):
            self.callback(event, *self.args, **self.kwargs, details=details)

    def is_equivalent(self, callback: Callback, details_filter: DetailsFilter | None = None) -> bool:
        """Return whether this listener has that callback and that filter."""
        return self.callback == callback and self.details_filter == details_filter

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Listener):
            return NotImplemented
        return self.is_equivalent(other.callback, other.details_filter)

    __hash__ = None  # type: ignore[assignment]  # callbacks need not be hashable

    def __repr__(self) -> str:
        return f"<Listener {_callback_name(self.callback)}>"


class Notifier:
    """A registry of callbacks by event.

    A callback receives the event and, by keyword, ``details``: a dictionary. An exception of a callback is
    logged once per callback and never affects the code that notifies.

    Attributes:
        ANY: register for this event to receive all events.
        RESERVED_KEYS: keyword arguments that cannot be registered with a callback.
    """

    ANY: Final = "*"
    RESERVED_KEYS: Final = ("details",)
    _DISALLOWED: Final = frozenset({ANY})

    def __init__(self) -> None:
        self._topics: dict[str, list[Listener]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._topics.values()))

    def __bool__(self) -> bool:
        return bool(self._topics)  # the engine tests this at every step

    def is_registered(
        self, event_type: str, callback: Callback, details_filter: DetailsFilter | None = None
    ) -> bool:
        """Return whether the callback is registered for the event with that filter."""
        listeners = self._topics.get(event_type, ())
        return any(listener.is_equivalent(callback, details_filter) for listener in listeners)

    def reset(self) -> None:
        """Remove all registrations."""
        self._topics.clear()

    def notify(self, event_type: str, details: Mapping[str, Any] | None) -> None:
        """Call the callbacks for any event, then those for this event.

        Args:
            event_type: the event.
            details: the details; each callback receives its own copy.
        """
        listeners = (*self._topics.get(self.ANY, ()), *self._topics.get(event_type, ()))
        if not listeners or not self.can_trigger_notification(event_type):
            return
        for listener in listeners:
            try:
                listener(event_type, dict(details or {}))
            except Exception as error:  # noqa: BLE001  callbacks must not affect the caller
                if not listener.warned:
                    listener.warned = True
                    _LOG.warning(
                        "listener %s raised %s for event %s; it stays registered, but its further errors are"
                        " not logged", _callback_name(listener.callback), short_name(type(error)), event_type,
                        exc_info=True,
                    )  # fmt: skip

    def register(
        self,
        event_type: str,
        callback: Callback,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        details_filter: DetailsFilter | None = None,
    ) -> None:
        """Register a callback for an event.

        Args:
            event_type: the event, or ``ANY``.
            callback: called as ``callback(event, *args, **kwargs, details={...})``.
            args: further positional arguments.
            kwargs: further keyword arguments; ``details`` is reserved.
            details_filter: called with the details first; if it returns False, the callback is not called.

        Raises:
            ValueError: the callback or filter is not callable or is registered already, or the notifier does
                not support the event.
            KeyError: ``kwargs`` contains a reserved keyword.
        """
        if not callable(callback):
            raise ValueError(  # noqa: TRY004  TaskFlow raises this
                f"Event callback must be callable, not {callback!r}"
            )
        if details_filter is not None and not callable(details_filter):
            raise ValueError(f"Details filter must be callable, not {details_filter!r}")
        if not self.can_be_registered(event_type):
            raise ValueError(f"cannot register for event '{event_type}': this notifier does not support it")
        if self.is_registered(event_type, callback, details_filter):
            raise ValueError(f"Event callback already registered for '{event_type}' with the same filter")
        if kwargs and not set(self.RESERVED_KEYS).isdisjoint(kwargs):
            raise KeyError("Reserved key 'details' not allowed in the keyword arguments of a callback")
        listener = Listener(callback, args, kwargs, details_filter)
        self._topics.setdefault(event_type, []).append(listener)

    def deregister(
        self, event_type: str, callback: Callback, details_filter: DetailsFilter | None = None
    ) -> bool:
        """Remove a registration; return whether it existed."""
        listeners = self._topics.get(event_type, [])
        for index, listener in enumerate(listeners):
            if listener.is_equivalent(callback, details_filter):
                del listeners[index]
                if not listeners:
                    del self._topics[event_type]
                return True
        return False

    def deregister_event(self, event_type: str) -> int:
        """Remove all registrations for an event; return their number."""
        return len(self._topics.pop(event_type, ()))

    def copy(self) -> Self:
        """Return a new notifier with the same registrations."""
        clone = type(self).__new__(type(self))
        clone.__dict__.update(self.__dict__)
        clone._topics = {  # noqa: SLF001  an instance of its own class
            event: list(listeners) for event, listeners in self._topics.items()
        }
        return clone

    def listeners_iter(self) -> Iterator[tuple[str, list[Listener]]]:
        """Iterate over pairs of event and registered listeners."""
        for event, listeners in self._topics.items():
            yield event, list(listeners)

    def can_be_registered(self, event_type: str) -> bool:
        """Return whether callbacks can be registered for the event."""
        del event_type
        return True

    def can_trigger_notification(self, event_type: str) -> bool:
        """Return whether the event can be notified; ``ANY`` cannot."""
        return event_type not in self._DISALLOWED


class RestrictedNotifier(Notifier):
    """A notifier with a fixed set of events.

    Args:
        watchable_events: the events to register for.
        allow_any: allow registering for ``ANY``.
    """

    def __init__(self, watchable_events: Sequence[str], allow_any: bool = True) -> None:
        super().__init__()
        self._watchable = frozenset(watchable_events)
        self._allow_any = allow_any

    def events_iter(self) -> Iterator[str]:
        """Iterate over the events to register for, sorted."""
        return iter(sorted(self._watchable))

    def can_be_registered(self, event_type: str) -> bool:
        """Return whether callbacks can be registered for the event."""
        return event_type in self._watchable or (event_type == self.ANY and self._allow_any)


@contextlib.contextmanager
def register_deregister(
    notifier: Notifier,
    event_type: str,
    callback: Callback | None = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    details_filter: DetailsFilter | None = None,
) -> Iterator[None]:
    """Register a callback for the duration of a ``with`` block; see `Notifier.register`.

    Args:
        notifier: the notifier.
        event_type: the event, or ``Notifier.ANY``.
        callback: the callback; None registers nothing.
        args: further positional arguments.
        kwargs: further keyword arguments.
        details_filter: called with the details first; if it returns False, the callback is not called.
    """
    if callback is None:
        yield
        return
    notifier.register(event_type, callback, args, kwargs, details_filter)
    try:
        yield
    finally:
        notifier.deregister(event_type, callback, details_filter)
