"""Who wants to know: callbacks by event.

Those who want any event come first, then those of the event itself, each in the order in which they were
registered.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Self

from stackl_flow import redaction

_LOG = redaction.get_logger(__name__)

Callback = Callable[..., Any]
DetailsFilter = Callable[[dict[str, Any]], bool]


def _name_of(callback: Callback) -> str:
    """Name a callback so that whoever reads a log finds it in the source."""
    while isinstance(callback, functools.partial):
        callback = callback.func
    owner = getattr(callback, "__self__", None)
    if owner is None or isinstance(owner, type):
        named = callback if hasattr(callback, "__qualname__") else type(callback)
        return f"{named.__module__}.{named.__qualname__}"
    return f"{type(owner).__module__}.{type(owner).__qualname__}.{callback.__name__}"


class Listener:
    """One registered callback with its arguments.

    Args:
        callback: called as ``callback(event, *args, **kwargs, details={...})``.
        args: further positional arguments.
        kwargs: further keyword arguments.
        details_filter: called with the details first; False means no call.
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
        """Call back, unless the filter says that these details are of no interest."""
        if self.details_filter is None or self.details_filter(details):
            self.callback(event, *self.args, **self.kwargs, details=details)

    def is_equivalent(self, callback: Callback, details_filter: DetailsFilter | None = None) -> bool:
        """Say whether this is that callback with that filter."""
        return self.callback == callback and self.details_filter == details_filter

    def __eq__(self, other: object) -> bool:
        """Compare by callback and filter."""
        if not isinstance(other, Listener):
            return NotImplemented
        return self.is_equivalent(other.callback, other.details_filter)

    __hash__ = None  # type: ignore[assignment]  # callbacks need not be hashable

    def __repr__(self) -> str:
        """Name what is called."""
        return f"<Listener {_name_of(self.callback)}>"


class Notifier:
    """Calls back those who registered for an event.

    A callback gets the event and, by keyword, ``details``: a dictionary. One that raises is logged
    once with its name and never disturbs the work that it watches.
    """

    ANY: Final = "*"
    RESERVED_KEYS: Final = ("details",)
    _DISALLOWED: Final = frozenset({ANY})

    def __init__(self) -> None:
        self._topics: dict[str, list[Listener]] = {}

    def __len__(self) -> int:
        """Count the registrations."""
        return sum(map(len, self._topics.values()))

    def __bool__(self) -> bool:
        """Say whether anyone is registered at all (asked at every step of an engine)."""
        return bool(self._topics)

    def is_registered(
        self, event_type: str, callback: Callback, details_filter: DetailsFilter | None = None
    ) -> bool:
        """Say whether that callback is registered for that event.

        Args:
            event_type: the event, or ``ANY``.
            callback: what would be called.
            details_filter: the filter it was registered with.

        Returns:
            True when it is.
        """
        known = self._topics.get(event_type, ())
        return any(listener.is_equivalent(callback, details_filter) for listener in known)

    def reset(self) -> None:
        """Forget every registration."""
        self._topics.clear()

    def notify(self, event_type: str, details: Mapping[str, Any] | None) -> None:
        """Call those who want any event, then those who registered for this one.

        Args:
            event_type: what happened.
            details: what is known of it; each callback gets a copy of its own.
        """
        if not self._topics or not self.can_trigger_notification(event_type):
            return
        for listener in (*self._topics.get(self.ANY, ()), *self._topics.get(event_type, ())):
            try:
                listener(event_type, dict(details or {}))
            except Exception as error:  # noqa: BLE001  a listener never breaks what it watches
                if not listener.warned:
                    listener.warned = True
                    _LOG.warning(
                        "listener %s raised %s when told of %s; it is still called, but what it raises is"
                        " not logged again", _name_of(listener.callback), type(error).__name__, event_type,
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
        """Ask to be called when an event happens.

        Args:
            event_type: the event, or ``ANY``.
            callback: called as ``callback(event, *args, **kwargs, details={...})``.
            args: further positional arguments.
            kwargs: further keyword arguments; ``details`` is taken.
            details_filter: called with the details first; False means no call.

        Raises:
            ValueError: not callable, registered already, or an event that this notifier does not tell.
            KeyError: ``kwargs`` holds a reserved keyword.
        """
        if not callable(callback):
            raise ValueError(  # noqa: TRY004  TaskFlow raises this
                f"Event callback must be callable, not {callback!r}"
            )
        if details_filter is not None and not callable(details_filter):
            raise ValueError(f"Details filter must be callable, not {details_filter!r}")
        if not self.can_be_registered(event_type):
            raise ValueError(f"Disallowed event type '{event_type}' can not have a callback registered")
        if self.is_registered(event_type, callback, details_filter):
            raise ValueError(f"Event callback already registered for '{event_type}' with the same filter")
        if kwargs and not set(self.RESERVED_KEYS).isdisjoint(kwargs):
            raise KeyError("Reserved key 'details' not allowed in the keyword arguments of a callback")
        listener = Listener(callback, args, kwargs, details_filter)
        self._topics.setdefault(event_type, []).append(listener)

    def deregister(
        self, event_type: str, callback: Callback, details_filter: DetailsFilter | None = None
    ) -> bool:
        """Take a registration back.

        Args:
            event_type: the event, or ``ANY``.
            callback: what was registered.
            details_filter: the filter it was registered with.

        Returns:
            True when there was one.
        """
        known = self._topics.get(event_type, [])
        for position, listener in enumerate(known):
            if listener.is_equivalent(callback, details_filter):
                del known[position]
                if not known:
                    del self._topics[event_type]
                return True
        return False

    def deregister_event(self, event_type: str) -> int:
        """Take back every registration for an event.

        Args:
            event_type: the event, or ``ANY``.

        Returns:
            How many there were.
        """
        return len(self._topics.pop(event_type, ()))

    def copy(self) -> Self:
        """Return a notifier of its own with the same registrations."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._topics = {  # noqa: SLF001  a twin of its own class
            event: list(known) for event, known in self._topics.items()
        }
        return twin

    def listeners_iter(self) -> Iterator[tuple[str, list[Listener]]]:
        """Go over each event and those registered for it."""
        for event, known in self._topics.items():
            yield event, list(known)

    def can_be_registered(self, event_type: str) -> bool:
        """Say whether anyone may register for that event."""
        del event_type
        return True

    def can_trigger_notification(self, event_type: str) -> bool:
        """Say whether that event can be told of (``ANY`` is for registering only)."""
        return event_type not in self._DISALLOWED


class RestrictedNotifier(Notifier):
    """A notifier that knows a fixed set of events.

    Args:
        watchable_events: the events one may register for.
        allow_any: whether one may register for any of them at once.
    """

    def __init__(self, watchable_events: Sequence[str], allow_any: bool = True) -> None:
        super().__init__()
        self._watchable = frozenset(watchable_events)
        self._allow_any = allow_any

    def events_iter(self) -> Iterator[str]:
        """Go over the events one may register for."""
        return iter(sorted(self._watchable))

    def can_be_registered(self, event_type: str) -> bool:
        """Say whether anyone may register for that event."""
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
    """Be registered for as long as the block lasts.

    Args:
        notifier: with whom.
        event_type: the event, or ``Notifier.ANY``.
        callback: what to call; None registers nothing.
        args: further positional arguments.
        kwargs: further keyword arguments.
        details_filter: called with the details first; False means no call.
    """
    if callback is None:
        yield
        return
    notifier.register(event_type, callback, args, kwargs, details_filter)
    try:
        yield
    finally:
        notifier.deregister(event_type, callback, details_filter)
