"""Details to records and back: the only place where a detail's values become text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from stackl_flow import codec as codecs
from stackl_flow import exceptions as exc
from stackl_flow.codec import TextCodec
from stackl_flow.failure import Failure
from stackl_flow.persistence import models
from stackl_flow.persistence.records import AtomRecord, AtomUpdate, BookRecord, FlowRecord

# A result may hold failures (a retry's history, a task that gives one on): they are values like any other.
codecs.register(Failure, name="Failure", to_json=Failure.to_dict, from_json=Failure.from_dict)


def encode_failure(codec: TextCodec, failure: Failure) -> str:
    """Write a failure; arguments of its error that have no JSON form are left out, so that it always works.

    Args:
        codec: makes the text.
        failure: the failure.

    Returns:
        The text.
    """
    return codec.encode(_failure_dict(codec, failure))


def _failure_dict(codec: TextCodec, failure: Failure) -> dict[str, Any]:
    data = failure.to_dict(include_args=True)
    try:
        codec.encode(data)
    except exc.NotSerializable:
        return failure.to_dict(include_args=False)
    return data


def decode_failure(codec: TextCodec, text: str | None) -> Failure | None:
    """Read a failure.

    Args:
        codec: reads the text.
        text: what ``encode_failure`` gave.

    Returns:
        The failure, or None.
    """
    return None if text is None else Failure.from_dict(codec.decode(text))


def encode_results(codec: TextCodec, detail: models.AtomDetail) -> str | None:
    """Write what an atom gave; a retry's attempts with the failures of each.

    Args:
        codec: makes the text.
        detail: the atom's detail.

    Returns:
        The text, or None when a retry made no attempt.
    """
    if not isinstance(detail, models.RetryDetail):
        return codec.encode(detail.results)
    attempts = [
        [value, {name: _failure_dict(codec, f) for name, f in failures.items()}]
        for value, failures in detail.results
    ]
    return codec.encode(attempts) if attempts else None


def _decode_results(codec: TextCodec, record: AtomRecord) -> Any:
    found = None if record.results is None else codec.decode(record.results)
    if record.kind == "TASK_DETAIL":
        return found
    return [
        (value, {name: Failure.from_dict(f) for name, f in failures.items()})
        for value, failures in found or ()
    ]


def atom_update(
    codec: TextCodec, detail: models.AtomDetail, encoded: tuple[Any, str] | None = None
) -> AtomUpdate:
    """Write all of an atom that can change while it runs.

    Args:
        codec: makes the text.
        detail: the atom's detail.
        encoded: a value that may be its result, and the text of that value.

    Returns:
        The move, for a checkpoint.

    Raises:
        NotSerializable: a value has no JSON form; the message names the atom.
    """
    return AtomUpdate(detail.uuid, *_moving(codec, detail, encoded))


def _moving(
    codec: TextCodec, detail: models.AtomDetail, encoded: tuple[Any, str] | None = None
) -> tuple[str | None, ...]:
    results, failure = detail.results, detail.failure
    undone, trouble = detail.revert_results, detail.revert_failure
    try:
        meta = detail.stored_meta()
        if results is None:
            text = None
        elif encoded is not None and encoded[0] is results:
            text = encoded[1]
        else:
            text = encode_results(codec, detail)
        return (
            detail.state,
            detail.intention,
            text,
            None if failure is None else encode_failure(codec, failure),
            None if undone is None else codec.encode(undone),
            None if trouble is None else encode_failure(codec, trouble),
            None if meta is None else codec.encode(meta),
        )
    except exc.NotSerializable as error:
        raise exc.NotSerializable(f"atom '{detail.name}': {error}", cause=error.cause) from error


def _version_form(version: Any) -> Any:
    # A list is read many times faster than a tagged tuple, and every atom has a version.
    return list(version) if isinstance(version, tuple) else version


def _version(form: Any) -> Any:
    return tuple(form) if isinstance(form, list) else form


def atom_records(codec: TextCodec, flow_uuid: str, details: Iterable[models.AtomDetail]) -> list[AtomRecord]:
    """Write whole atoms.

    Args:
        codec: makes the text.
        flow_uuid: the flow they belong to.
        details: the atoms' details.

    Returns:
        The records.

    Raises:
        NotSerializable: a value has no JSON form; the message names the atom.
    """
    # Nearly all atoms of a flow have the same version: the text of one serves for the next.
    version, text = None, None
    records = []
    for detail in details:
        if detail.version is not version:
            version = detail.version
            text = None if version is None else codec.encode(_version_form(version))
        kind = models.atom_detail_type(detail)
        records.append(AtomRecord(detail.uuid, flow_uuid, kind, detail.name, text, *_moving(codec, detail)))
    return records


def atom_detail(codec: TextCodec, record: AtomRecord) -> models.AtomDetail:
    """Read an atom.

    Args:
        codec: reads the text.
        record: the record.

    Returns:
        A new detail.

    Raises:
        InvalidFormat: the stored text cannot be read; the message names the atom.
    """
    detail = models.atom_detail_class(record.kind)(record.name, record.uuid)
    detail.state = record.state
    detail.intention = record.intention
    try:
        # A resumed flow may have a hundred thousand of these, and most columns are empty.
        detail.results = _decode_results(codec, record)
        if record.version is not None:
            detail.version = _version(codec.decode(record.version))
        if record.failure is not None:
            detail.failure = decode_failure(codec, record.failure)
        if record.revert_results is not None:
            detail.revert_results = codec.decode(record.revert_results)
        if record.revert_failure is not None:
            detail.revert_failure = decode_failure(codec, record.revert_failure)
        if record.meta is not None:
            detail.load_meta(codec.decode(record.meta))
    except exc.InvalidFormat as error:
        raise exc.InvalidFormat(f"atom '{record.name}': {error}", cause=error.cause) from error
    return detail


def flow_record(
    codec: TextCodec, book_uuid: str, detail: models.FlowDetail, at: float, old: FlowRecord | None = None
) -> FlowRecord:
    """Write a flow without its atoms.

    Args:
        codec: makes the text.
        book_uuid: the book it belongs to.
        detail: the flow's detail.
        at: seconds since 1970, UTC.
        old: its present record, whose owner and time of birth are kept.

    Returns:
        The record.
    """
    try:
        meta = codec.encode(detail.meta) if detail.meta else None
    except exc.NotSerializable as error:
        raise exc.NotSerializable(f"meta of flow '{detail.name}': {error}", cause=error.cause) from error
    if old is not None:
        return old._replace(state=detail.state, meta=meta, updated_at=at)
    return FlowRecord(detail.uuid, book_uuid, detail.name, detail.state, meta, 0, None, at, None)


def _notes(codec: TextCodec, record: FlowRecord | BookRecord) -> dict[str, Any]:
    notes = codec.decode(record.meta) if record.meta else {}
    if not isinstance(notes, dict):
        raise exc.InvalidFormat(
            f"what is stored of '{record.name}' was not written by the codec that reads it: "
            "give the other one as codec=, or in the address, as ?codec=module:name"
        )
    return notes


def flow_detail(codec: TextCodec, record: FlowRecord, atoms: Iterable[AtomRecord] = ()) -> models.FlowDetail:
    """Read a flow.

    Args:
        codec: reads the text.
        record: the record.
        atoms: the records of its atoms.

    Returns:
        A new detail.
    """
    detail = models.FlowDetail(record.name, record.uuid)
    detail.state = record.state
    detail.meta = _notes(codec, record)
    for atom in atoms:
        detail.add(atom_detail(codec, atom))
    return detail


def book_record(codec: TextCodec, book: models.LogBook, at: float) -> BookRecord:
    """Write a book without its flows.

    Args:
        codec: makes the text.
        book: the book.
        at: seconds since 1970, UTC, for a book that does not know when it was made.

    Returns:
        The record.
    """
    try:
        meta = codec.encode(book.meta) if book.meta else None
    except exc.NotSerializable as error:
        raise exc.NotSerializable(f"meta of log book '{book.name}': {error}", cause=error.cause) from error
    created = book.created_at.timestamp() if book.created_at else at
    return BookRecord(
        book.uuid, book.name, meta, created, book.updated_at.timestamp() if book.updated_at else None
    )


def log_book(codec: TextCodec, record: BookRecord, flows: Iterable[models.FlowDetail] = ()) -> models.LogBook:
    """Read a book.

    Args:
        codec: reads the text.
        record: the record.
        flows: the details of its flows.

    Returns:
        A new book.
    """
    book = models.LogBook(record.name, record.uuid)
    book.meta = _notes(codec, record)
    book.created_at = dt.datetime.fromtimestamp(record.created_at, dt.UTC)
    book.updated_at = (
        None if record.updated_at is None else dt.datetime.fromtimestamp(record.updated_at, dt.UTC)
    )
    return book.fill(list(flows))
