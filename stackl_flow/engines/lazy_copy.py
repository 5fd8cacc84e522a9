"""A dictionary that copies another one when it is first used.

Each of n reverts receives the failures of n atoms, as a dictionary of its own that it may change. Most never
look at it, and n copies of n entries would be too many.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, Final


class LazyCopy(dict[Any, Any]):
    """A copy of a dictionary, made on first use.

    Args:
        source: the dictionary; it must not change any more.
    """

    __slots__ = ("_source",)

    def __init__(self, source: Mapping[Any, Any]) -> None:
        # With its first item: C code, such as that of json, looks whether the dictionary itself is empty.
        super().__init__(itertools.islice(source.items(), 1))
        self._source: Mapping[Any, Any] | None = source

    def _copy(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            dict.update(self, source)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()

    __hash__ = None  # as of a dictionary


def _on_copy(name: str) -> Callable[..., Any]:
    method = getattr(dict, name)

    def call(self: LazyCopy, *args: Any, **kwargs: Any) -> Any:
        self._copy()
        return method(self, *args, **kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = method.__doc__
    return call


#: Everything that reads or changes a dictionary.
_METHODS: Final = (
    "__contains__ __delitem__ __eq__ __getitem__ __ior__ __iter__ __len__ __ne__ __or__ __repr__ __reversed__"
    " __ror__ __setitem__ clear copy get items keys pop popitem setdefault update values"
)

for _name in _METHODS.split():
    setattr(LazyCopy, _name, _on_copy(_name))
