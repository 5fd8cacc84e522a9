"""Notes kept with a book, a flow or an atom: out of storage, into it, and written out for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stackl_flow import secrecy

_OF_PROGRESS: Final = ("progress", "progress_details")


def plain_meta(data: dict[str, Any]) -> dict[str, Any]:
    """Take the metadata out of a stored form, whatever an older writer left there.

    Args:
        data: the stored form.

    Returns:
        A dictionary, empty if there is none.
    """
    meta = data.get("meta")
    return meta if isinstance(meta, dict) else {}


def joined_meta(meta: Mapping[str, Any] | None, progress: float | None, details: Any) -> dict[str, Any]:
    """Join an atom's notes and its progress, which stand together in storage.

    Args:
        meta: the notes.
        progress: how far the atom got, or None.
        details: what it said about that, or None.

    Returns:
        One dictionary.
    """
    joined = {name: note for name, note in meta.items() if name not in _OF_PROGRESS} if meta else {}
    if progress is not None:
        joined["progress"] = progress
    if details is not None:
        joined["progress_details"] = details
    return joined


def show_progress(meta: dict[str, Any], progress: float | None, details: Any) -> dict[str, Any]:
    """Have an atom's notes show its progress as it is now: there, and nowhere else, programs look for it.

    Args:
        meta: the notes.
        progress: how far the atom got, or None.
        details: what it said about that, or None.

    Returns:
        The same notes.
    """
    if progress is None and details is None:
        for name in _OF_PROGRESS:
            meta.pop(name, None)
    else:
        meta["progress"] = progress
        meta["progress_details"] = details
    return meta


def meta_lines(meta: dict[str, Any] | None, indent: int) -> list[str]:
    """Write notes out for people: progress in percent, and what they mark as secret left out.

    Args:
        meta: the notes.
        indent: spaces before each line.

    Returns:
        The lines; none when there are no notes.
    """
    if not meta:
        return []
    lines = [f"{' ' * indent}- metadata:"]
    for key, value in secrecy.mask(meta, secrecy.names_in(meta)).items():
        shown = f"{value * 100.0:.2f}%" if key == "progress" and isinstance(value, (int, float)) else value
        lines.append(f"{' ' * (indent + 2)}+ {key} = {shown}")
    return lines
