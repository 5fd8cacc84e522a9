"""Reads items in the order of their keys, opening no more folders than it has to."""

from __future__ import annotations

from typing import Any, Final

from kazoo.protocol.serialization import GetChildren, GetData

from stackl_flow.kv.backends.zookeeper.link import Ask
from stackl_flow.kv.backends.zookeeper.paths import Entry, Paths
from stackl_flow.kv.backends.zookeeper.words import read_item
from stackl_flow.kv.items import Item
from stackl_flow.kv.shelf import above

#: How many folders are opened, and items read, in one go.
_FOLDERS: Final = 16
_ITEMS: Final = 256
_UNASKED: Final = object()


class Walk:
    """One reading.

    Args:
        ask: asks the ensemble.
        paths: names nodes.
        prefix: only items whose keys begin so.
        after: only items behind this key; in reverse, before it.
        limit: at most so many.
        reverse: the last key first.
        trail: the folders that led to what the last reading of the same found first. They are asked for
            together with the first one, because it is likely that they lead there again.

    Attributes:
        emptied: folders that are empty and not used again.
    """

    def __init__(
        self,
        ask: Ask,
        paths: Paths,
        prefix: str,
        after: str,
        limit: int | None,
        *,
        reverse: bool,
        trail: list[str],
    ) -> None:
        self._ask = ask
        self._prefix = prefix
        self._after = after
        self._limit = limit
        self._reverse = reverse
        self.emptied: list[str] = []
        self._paths = paths
        self._guessed = dict.fromkeys(trail, _UNASKED)
        # What comes next stands last.
        self._entries = [paths.above(prefix)]
        self._found: list[Item] = []

    def read(self) -> list[Item]:
        """Read the items.

        Returns:
            The items; each as it was at a moment of its own.
        """
        while self._entries and self._missing > 0:
            if self._limit is None and (folders := [each for each in self._entries if not each.is_item]):
                self._entries = [each for each in self._entries if each.is_item]
                self._open(folders)
            elif self._entries[-1].is_item:
                self._fetch(self._take(_ITEMS, is_item=True))
            else:
                # Where the first of them is known already, it may be all that is wanted.
                is_known = self._entries[-1].path in self._guessed
                self._open(self._take(1 if is_known else _FOLDERS, is_item=False))
        return self._found

    @property
    def trail(self) -> list[str]:
        """The folders that led to the first item that was found."""
        if not self._found:
            return []
        start = self._paths.above(self._prefix).path
        item = self._paths.item(self._found[0].key)
        return [path for path in self._paths.parents(item) if path.startswith(start)]

    @property
    def _missing(self) -> int:
        return _ITEMS if self._limit is None else self._limit - len(self._found)

    def _take(self, most: int, *, is_item: bool) -> list[Entry]:
        taken: list[Entry] = []
        while (
            self._entries and len(taken) < min(most, self._missing) and self._entries[-1].is_item == is_item
        ):
            taken.append(self._entries.pop())
        return taken

    def _open(self, folders: list[Entry]) -> None:
        for folder, names in zip(folders, self._names([folder.path for folder in folders]), strict=True):
            if names == [] and folder.fleeting:
                self.emptied.append(folder.path)
            for name in names or ():
                entry = folder.child(name)
                if self._is_wanted(entry):
                    self._entries.append(entry)
        self._entries.sort(key=self._place, reverse=not self._reverse)

    def _names(self, paths: list[str]) -> list[Any]:
        """Tell what is in folders; None for one that is not there."""
        guesses = self._guessed
        if not all(guesses.get(path, _UNASKED) is not _UNASKED for path in paths):
            asked = list(
                dict.fromkeys([*paths, *(path for path, told in guesses.items() if told is _UNASKED)])
            )
            guesses.update(zip(asked, self._ask(GetChildren(path, None) for path in asked), strict=True))
        return [guesses.pop(path) for path in paths]

    def _place(self, entry: Entry) -> str:
        """Where an entry stands: a folder at the first of its keys that comes."""
        return above(entry.text) if self._reverse and not entry.is_item else entry.text

    def _is_wanted(self, entry: Entry) -> bool:
        text, after = entry.text, self._after
        if not text.startswith(self._prefix) and (entry.is_item or not self._prefix.startswith(text)):
            return False
        if not after:
            return True
        if self._reverse:
            return text < after
        return (text if entry.is_item else above(text)) > after

    def _fetch(self, entries: list[Entry]) -> None:
        told = self._ask(GetData(entry.path, None) for entry in entries)
        self._found += [
            read_item(entry.text, each) for entry, each in zip(entries, told, strict=True) if each is not None
        ]
