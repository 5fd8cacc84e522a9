"""The secrets that are kept at present in this process, and the text without them."""

from __future__ import annotations

import re
import threading
import weakref
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from stackl_flow.secrecy.forms import Form, forms_of

#: What stands in place of a value that is not to be seen.
MASK: Final = "***"

#: Not inside a word, and not a part of a date, a time, a version or a decimal number.
_ALONE: Final = r"(?<!\w)(?<!\d[-.:,/])(?:{})(?!\w)(?![-.:,/]\d)"


class _Known:
    """The forms that are kept; any thread may come, also one that happens to collect garbage."""

    def __init__(self) -> None:
        self._forms: Counter[Form] = Counter()
        self._gone: deque[frozenset[Form]] = deque()
        self._lock = threading.RLock()
        self._pattern: re.Pattern[str] | None = None
        self._stale = False

    def add(self, forms: frozenset[Form]) -> None:
        """Keep forms."""
        with self._lock:
            self._forms.update(forms)
            self._stale = True

    def remove(self, forms: frozenset[Form]) -> None:
        """Note that a keeper of forms is gone; it may be in the middle of anything, so no lock is taken."""
        self._gone.append(forms)

    def pattern(self) -> re.Pattern[str] | None:
        """Return what finds every form that is kept, None if there is none."""
        if not (self._stale or self._gone):
            return self._pattern
        with self._lock:
            while self._gone:
                self._forms.subtract(self._gone.popleft())
                self._stale = True
            if self._stale:
                self._forms = +self._forms
                self._pattern = _pattern_of(self._forms)
                self._stale = False
            return self._pattern


def _pattern_of(forms: Iterable[Form]) -> re.Pattern[str] | None:
    # The longest that fits is taken out.
    ordered = sorted(forms, key=lambda form: (-len(form.text), form.text))
    parts = [form.pattern for form in ordered if not form.alone]
    alone = "|".join(form.pattern for form in ordered if form.alone)
    if alone:
        parts.append(_ALONE.format(alone))
    return re.compile("|".join(parts)) if parts else None


_KNOWN: Final = _Known()


def _all_forms(values: Iterable[Any]) -> frozenset[Form]:
    return frozenset(form for value in values for form in forms_of(value))


def keep(holder: object, values: Iterable[Any]) -> None:
    """Hide values in every text for as long as an object lives.

    Args:
        holder: the object, such as an engine.
        values: the values; what they hold counts, too.
    """
    forms = _all_forms(values)
    if forms:
        _hold(holder, forms)


def _hold(holder: object, forms: frozenset[Form]) -> None:
    _KNOWN.add(forms)
    weakref.finalize(holder, _KNOWN.remove, forms).atexit = False


@contextmanager
def keeping(values: Iterable[Any]) -> Iterator[None]:
    """Hide values in every text for the length of a block and, when an error leaves it, while that lives.

    Args:
        values: the values; what they hold counts, too.
    """
    forms = _all_forms(values)
    _KNOWN.add(forms)
    try:
        yield
    except BaseException as error:
        if forms:
            holder = _Holder()
            _hold(holder, forms)
            error.__dict__[f"_{__name__}_{id(holder)}"] = holder  # most errors take no weak reference
        raise
    finally:
        _KNOWN.remove(forms)


class _Holder:
    """Lives as long as the error that has it."""


def any_kept() -> bool:
    """Say whether there is anything to be hidden at present."""
    return _KNOWN.pattern() is not None


def redact(text: str) -> str:
    """Take every secret that is kept at present out of a text.

    Args:
        text: the text; anything else is given back as it is.

    Returns:
        The text with ``***`` in their place.
    """
    pattern = _KNOWN.pattern()
    return pattern.sub(MASK, text) if pattern is not None and isinstance(text, str) else text
