"""A property that is worked out once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Self


class cachedproperty:  # noqa: N801  TaskFlow's name
    """A property that is worked out when it is first read, by one thread only, and then kept.

    Args:
        fget: what works it out; or, written ``@cachedproperty("name")``, the attribute to keep it in, which
            is the method's name after an underscore if left out.
        require_lock: whether several threads may read it.
    """

    def __init__(self, fget: Callable[[Any], Any] | str | None = None, require_lock: bool = True) -> None:
        self._lock = threading.RLock() if require_lock else None
        self._kept_as = fget if isinstance(fget, str) else ""
        self.__doc__ = None
        if callable(fget):
            self(fget)

    def __call__(self, fget: Callable[[Any], Any]) -> Self:
        """Take what works it out, when written with a name."""
        self._fget = fget
        self._kept_as = self._kept_as or f"_{fget.__name__}"
        self.__doc__ = fget.__doc__
        return self

    def __set__(self, instance: Any, value: Any) -> None:
        """Refuse: it is worked out."""
        raise AttributeError("can't set attribute")

    def __delete__(self, instance: Any) -> None:
        """Refuse: it is kept."""
        raise AttributeError("can't delete attribute")

    def __get__(self, instance: Any, owner: Any) -> Any:
        """Return what was worked out, or work it out."""
        if instance is None:
            return self
        if not hasattr(instance, self._kept_as):
            if self._lock is None:
                self._keep(instance)
            else:
                with self._lock:
                    # Somebody else may have done it while this one waited.
                    if not hasattr(instance, self._kept_as):
                        self._keep(instance)
        return getattr(instance, self._kept_as)

    def _keep(self, instance: Any) -> None:
        setattr(instance, self._kept_as, self._fget(instance))
