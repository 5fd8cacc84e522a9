"""The `cachedproperty` of `taskflow.utils.misc`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Self


class cachedproperty:  # noqa: N801  TaskFlow's name
    """A property that is computed on first access and then cached, by one thread only.

    Args:
        fget: computes the value; or, as in ``@cachedproperty("name")``, the attribute to cache it in, which
            defaults to the name of the method with a leading underscore.
        require_lock: allow access by several threads.
    """

    def __init__(self, fget: Callable[[Any], Any] | str | None = None, require_lock: bool = True) -> None:
        self._lock = threading.RLock() if require_lock else None
        self._attribute = fget if isinstance(fget, str) else ""
        self.__doc__ = None
        if callable(fget):
            self(fget)

    def __call__(self, fget: Callable[[Any], Any]) -> Self:
        """Set the function, when used with a name."""
        self._fget = fget
        self._attribute = self._attribute or f"_{fget.__name__}"
        self.__doc__ = fget.__doc__
        return self

    def __set__(self, instance: Any, value: Any) -> None:
        raise AttributeError("can't set attribute")

    def __delete__(self, instance: Any) -> None:
        raise AttributeError("can't delete attribute")

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self
        if not hasattr(instance, self._attribute):
            if self._lock is None:
                self._compute(instance)
            else:
                with self._lock:
                    # Another thread may have computed it in the meantime.
                    if not hasattr(instance, self._attribute):
                        self._compute(instance)
        return getattr(instance, self._attribute)

    def _compute(self, instance: Any) -> None:
        setattr(instance, self._attribute, self._fget(instance))
