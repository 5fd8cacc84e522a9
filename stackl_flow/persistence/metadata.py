"""Metadata of a flow whose large parts are read when they are first used.

What a flow is made of (its inputs, the factory with its arguments, the names of its secrets) and every other
large value of the metadata is stored in rows of its own, written when it changes and not with each step. A
program sees one dictionary: programs written for TaskFlow read ``meta["store"]`` and ``meta["factory"]``.
"""

from __future__ import annotations

import copy as copying
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Final, SupportsIndex

#: The keys that are stored in rows of their own whatever their size.
PARTS: Final = frozenset({"factory", "injected", "secret_results", "secrets", "store"})

#: The longest text of any other value that is stored with the row of the flow, in characters.
MAX_INLINE: Final = 1000

_UNREAD: Final = object()


class FlowMeta(dict[str, Any]):
    """A dictionary that reads the rest of its items when one of them is needed.

    Args:
        inline: the items that are known.
        load: reads the others.
        source: where they are stored: a key that is equal for the same flow in the same store.
        version: the version of what is stored.
    """

    __slots__ = ("_is_changed", "_load", "inline", "source", "version")

    def __init__(
        self, inline: Mapping[str, Any], load: Callable[[], Mapping[str, Any]], source: object, version: int
    ) -> None:
        super().__init__(inline)
        #: The keys that were known without reading.
        self.inline = frozenset(inline)
        self._load: Callable[[], Mapping[str, Any]] | None = load
        self._is_changed = False
        self.source = source
        self.version = version
        # Functions in C look at the size before they ask for the items.
        super().setdefault("factory", _UNREAD)

    @classmethod
    def of_stored(cls, meta: Mapping[str, Any], source: object, version: int) -> FlowMeta:
        """Return metadata that was stored just now, so that it need not be read."""
        stored = cls({}, dict, source, version)
        stored._complete(meta)
        return stored

    @property
    def is_complete(self) -> bool:
        """Whether all items were read."""
        return self._load is None

    @property
    def is_as_stored(self) -> bool:
        """Whether all items were read, and no key was set or removed since."""
        return self._load is None and not self._is_changed

    def read_items(self) -> dict[str, Any]:
        """Return the items that are known without reading."""
        return {key: value for key, value in dict.items(self) if value is not _UNREAD}

    def take_over(self, other: Mapping[str, Any]) -> None:
        """Take the rest from metadata that was read before, if it is the same version of the same flow."""
        if self._load is None or not isinstance(other, FlowMeta) or not other.is_as_stored:
            return
        if (other.source, other.version) == (self.source, self.version):
            unread = {key: value for key, value in other.items() if dict.get(self, key, _UNREAD) is _UNREAD}
            self._complete(unread)

    def _read(self) -> None:
        if self._load is not None:
            self._complete(self._load())

    def _complete(self, rest: Mapping[str, Any]) -> None:
        self._load = None
        if super().get("factory") is _UNREAD:
            super().__delitem__("factory")
        super().update(rest)

    def _find(self, key: object) -> None:
        if self._load is not None and (key == "factory" or not super().__contains__(key)):
            self._read()

    # ------------------------------------------------------------------ reading

    def __getitem__(self, key: str) -> Any:
        if self._load is not None:
            self._find(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        if self._load is not None:
            self._find(key)
        return super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or a default."""
        if self._load is not None:
            self._find(key)
        return dict.get(self, key, default)

    def __len__(self) -> int:
        self._read()
        return super().__len__()

    def __bool__(self) -> bool:
        return len(self) > 0

    def __iter__(self) -> Iterator[str]:
        self._read()
        return super().__iter__()

    def __reversed__(self) -> Iterator[str]:
        self._read()
        return super().__reversed__()

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """Return a view of the keys."""
        self._read()
        return super().keys()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """Return a view of the values."""
        self._read()
        return super().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """Return a view of the items."""
        self._read()
        return super().items()

    def __eq__(self, other: object) -> bool:
        self._read()
        if isinstance(other, FlowMeta):
            other._read()
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __repr__(self) -> str:
        self._read()
        return super().__repr__()

    def copy(self) -> dict[str, Any]:
        """Return a shallow copy; what is not read stays so."""
        if self._load is None:
            return dict(self)
        return FlowMeta(self.read_items(), self._load, self.source, self.version)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return copying.deepcopy(dict(self), memo)

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return dict, (dict(self),)

    def __or__(self, other: Any) -> Any:
        return dict(self) | other if isinstance(other, dict) else NotImplemented

    def __ror__(self, other: Any) -> Any:
        return other | dict(self) if isinstance(other, dict) else NotImplemented

    # ------------------------------------------------------------------ changing

    def __setitem__(self, key: str, value: Any) -> None:
        self._is_changed = True
        self._find(key)  # what is read later must not replace the value
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self._is_changed = True
        self._find(key)
        super().__delitem__(key)

    def pop(self, key: str, *default: Any) -> Any:
        """Remove a key and return its value."""
        self._is_changed = True
        self._find(key)
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        """Remove and return the last item."""
        self._is_changed = True
        self._read()
        return super().popitem()

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, which is set if it is missing."""
        self._is_changed = True
        self._find(key)
        return super().setdefault(key, default)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several values."""
        self._is_changed = True
        self._read()
        super().update(*args, **kwargs)

    def __ior__(self, other: Any) -> Any:
        self._is_changed = True
        self._read()
        return super().__ior__(other)

    def clear(self) -> None:
        """Remove all items."""
        self._is_changed = True
        self._load = None
        super().clear()


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """Return the keys whose values are other objects, or which only one of the two has."""
    both = old.keys() & new.keys()
    return (old.keys() ^ new.keys()) | {key for key in both if old[key] is not new[key]}
