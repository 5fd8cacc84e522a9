"""TaskFlow's `taskflow.persistence.path_based`: the base of backends that store items under paths.

Logbooks, flows and atoms are in three folders. The folder of a logbook contains links to its flows, the
folder of a flow links to its atoms.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from stackl_flow import exceptions as exc
from stackl_flow.compat.persistence import base
from stackl_flow.persistence import models

_Model = TypeVar("_Model", models.LogBook, models.FlowDetail, models.AtomDetail)


class PathBasedBackend(base.Backend):
    """Base class of backends whose items are below a path.

    Args:
        conf: the settings; "path" is the path.
    """

    DEFAULT_PATH: str | None = None

    def __init__(self, conf: Mapping[str, Any] | None = None) -> None:
        super().__init__(conf)
        self._path = self.conf.get("path") or self.DEFAULT_PATH

    @property
    def path(self) -> str | None:
        """The path below which everything is stored."""
        return self._path


class PathBasedConnection(base.Connection):
    """Implements the methods of a connection on a few operations on paths.

    Args:
        backend: the backend of this connection.
    """

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._book_path = self._join_path(backend.path, "books")
        self._flow_path = self._join_path(backend.path, "flow_details")
        self._atom_path = self._join_path(backend.path, "atom_details")

    @property
    def backend(self) -> Any:
        """The backend of this connection."""
        return self._backend

    @property
    def book_path(self) -> Any:
        """The folder of the logbooks."""
        return self._book_path

    @property
    def flow_path(self) -> Any:
        """The folder of the flows."""
        return self._flow_path

    @property
    def atom_path(self) -> Any:
        """The folder of the atoms."""
        return self._atom_path

    # ------------------------------------------------------------- operations of a backend

    @abc.abstractmethod
    def _join_path(self, *parts: Any) -> Any:
        """Join the parts of a path."""

    @abc.abstractmethod
    def _get_item(self, path: Any) -> Any:
        """Read an item; raise NotFound if it does not exist."""

    @abc.abstractmethod
    def _set_item(self, path: Any, value: Any, transaction: Any) -> None:
        """Write an item."""

    @abc.abstractmethod
    def _del_tree(self, path: Any, transaction: Any) -> None:
        """Delete an item and its descendants."""

    @abc.abstractmethod
    def _get_children(self, path: Any) -> Iterable[str]:
        """List the names of the items in a folder."""

    @abc.abstractmethod
    def _ensure_path(self, path: Any) -> None:
        """Create a folder unless it exists."""

    @abc.abstractmethod
    def _create_link(self, src_path: Any, dest_path: Any, transaction: Any) -> None:
        """Create a link at ``dest_path`` to ``src_path``."""

    @abc.abstractmethod
    def _transaction(self) -> AbstractContextManager[Any]:
        """Open a transaction."""

    # ------------------------------------------------------------- public methods

    def close(self) -> None:
        """Do nothing: the connection has no resources."""

    def upgrade(self) -> None:
        """Create the folders that do not exist."""
        for path in (self.book_path, self.flow_path, self.atom_path):
            self._ensure_path(path)

    def clear_all(self) -> None:
        """Delete everything."""
        with self._transaction() as transaction:
            for path in (self.book_path, self.flow_path, self.atom_path):
                self._del_tree(path, transaction)

    def save_logbook(self, book: models.LogBook) -> models.LogBook:
        """Store a logbook with its flows and their atoms."""
        book_path = self._join_path(self.book_path, book.uuid)
        with self._transaction() as transaction:
            self._update(book, transaction, ignore_missing=True)
            for flow in book:
                self._update_flow(flow, transaction, ignore_missing=True)
                flow_path = self._join_path(self.flow_path, flow.uuid)
                self._create_link(flow_path, self._join_path(book_path, flow.uuid), transaction)
        return book

    def update_flow_details(
        self, flow_detail: models.FlowDetail, ignore_missing: bool = False
    ) -> models.FlowDetail:
        """Store a flow with its atoms; it must exist unless ``ignore_missing`` is true."""
        with self._transaction() as transaction:
            return self._update_flow(flow_detail, transaction, ignore_missing)

    def update_atom_details(
        self, atom_detail: models.AtomDetail, ignore_missing: bool = False
    ) -> models.AtomDetail:
        """Store an atom; it must exist unless ``ignore_missing`` is true."""
        with self._transaction() as transaction:
            return self._update(atom_detail, transaction, ignore_missing)

    def destroy_logbook(self, book_uuid: str) -> None:
        """Delete a logbook with its flows and their atoms."""
        book_path = self._join_path(self.book_path, book_uuid)
        with self._transaction() as transaction:
            for flow_uuid in list(self._get_children(book_path)):
                flow_path = self._join_path(self.flow_path, flow_uuid)
                for atom_uuid in list(self._get_children(flow_path)):
                    self._del_tree(self._join_path(self.atom_path, atom_uuid), transaction)
                self._del_tree(flow_path, transaction)
            self._del_tree(book_path, transaction)

    def get_logbook(self, book_uuid: str, lazy: bool = False) -> models.LogBook:
        """Read a logbook."""
        data = self._get_item(self._join_path(self.book_path, book_uuid))
        book = models.LogBook.from_dict(data, unmarshal_time=True)
        return book if lazy else book.add_stored(list(self.get_flows_for_book(book_uuid)))

    def get_logbooks(self, lazy: bool = False) -> Iterator[models.LogBook]:
        """Read all logbooks."""
        for uuid in self._get_children(self.book_path):
            yield self.get_logbook(uuid, lazy=lazy)

    def get_flows_for_book(self, book_uuid: str, lazy: bool = False) -> Iterator[models.FlowDetail]:
        """Read the flows of a logbook."""
        for uuid in self._get_children(self._join_path(self.book_path, book_uuid)):
            yield self.get_flow_details(uuid, lazy)

    def get_flow_details(self, fd_uuid: str, lazy: bool = False) -> models.FlowDetail:
        """Read a flow."""
        flow = models.FlowDetail.from_dict(self._get_item(self._join_path(self.flow_path, fd_uuid)))
        for atom in () if lazy else self.get_atoms_for_flow(fd_uuid):
            flow.add(atom)
        return flow

    def get_atoms_for_flow(self, fd_uuid: str) -> Iterator[models.AtomDetail]:
        """Read the atoms of a flow."""
        for uuid in self._get_children(self._join_path(self.flow_path, fd_uuid)):
            yield self.get_atom_details(uuid)

    def get_atom_details(self, ad_uuid: str) -> models.AtomDetail:
        """Read an atom."""
        return _read_atom(self._get_item(self._join_path(self.atom_path, ad_uuid)))

    # ------------------------------------------------------------- items

    def _update_flow(
        self, flow: models.FlowDetail, transaction: Any, ignore_missing: bool
    ) -> models.FlowDetail:
        self._update(flow, transaction, ignore_missing)
        flow_path = self._join_path(self.flow_path, flow.uuid)
        for atom in flow:
            atom_path = self._join_path(self.atom_path, atom.uuid)
            self._create_link(atom_path, self._join_path(flow_path, atom.uuid), transaction)
            self._update(atom, transaction, ignore_missing=True)
        return flow

    def _update(self, item: _Model, transaction: Any, ignore_missing: bool) -> _Model:
        path = self._join_path(self._folder(item), item.uuid)
        try:
            item = _from_dict(item, self._get_item(path)).merge(item)
        except exc.NotFound:
            if not ignore_missing:
                raise
        self._set_item(path, _to_dict(item), transaction)
        return item

    def _folder(self, item: object) -> Any:
        if isinstance(item, models.LogBook):
            return self.book_path
        return self.flow_path if isinstance(item, models.FlowDetail) else self.atom_path


def _to_dict(item: models.LogBook | models.FlowDetail | models.AtomDetail) -> dict[str, Any]:
    if isinstance(item, models.LogBook):
        return item.to_dict(marshal_time=True)
    if isinstance(item, models.FlowDetail):
        return item.to_dict()
    return {"atom": item.to_dict(), "type": models.atom_detail_type(item)}


def _from_dict(template: _Model, data: dict[str, Any]) -> Any:
    if isinstance(template, models.LogBook):
        return models.LogBook.from_dict(data, unmarshal_time=True)
    if isinstance(template, models.FlowDetail):
        return models.FlowDetail.from_dict(data)
    return _read_atom(data)


def _read_atom(data: dict[str, Any]) -> models.AtomDetail:
    return models.atom_detail_class(data["type"]).from_dict(data["atom"])
