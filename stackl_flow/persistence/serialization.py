"""Converts details to records and back; the only place where values become text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, Final

from stackl_flow import codec as codecs
from stackl_flow import error_text
from stackl_flow import exceptions as exc
from stackl_flow.codec import TextCodec
from stackl_flow.failure import Failure
from stackl_flow.persistence import models
from stackl_flow.persistence.records import AtomRecord, AtomUpdate, BookRecord, FlowRecord

#: The arguments of an exception repeat its message in most cases; larger ones are left out.
_MAX_ARGS: Final = 4096


def failure_to_json(failure: Failure, codec: TextCodec = codecs.DEFAULT) -> dict[str, Any]:
    """Convert a failure; arguments of its exceptions that have no JSON form, or a large one, are left out."""
    data = failure.to_dict()
    for each in (data, *data["causes"]):
        each["exc_args"] = _storable_args(codec, each["exc_args"])
    return data


def _storable_args(codec: TextCodec, args: tuple[Any, ...]) -> tuple[Any, ...]:
    plain = tuple(error_text.text_of(arg) if error_text.is_a(arg, str) else arg for arg in args)
    try:
        return plain if len(codec.encode(plain)) <= _MAX_ARGS else ()
    except exc.NotSerializable:
        return ()


# A result may contain failures, as the history of a retry does.
codecs.register(Failure, name="Failure", to_json=failure_to_json, from_json=Failure.from_dict)


# ---------------------------------------------------------------------- atoms


def atom_update(
    codec: TextCodec, detail: models.AtomDetail, encoded: tuple[Any, str] | None = None
) -> AtomUpdate:
    """Encode all of an atom that changes while it runs.

    Args:
        codec: the codec.
        detail: the detail of the atom.
        encoded: a value and its text, which are used if the value is the atom's result.

    Raises:
        NotSerializable: a value has no JSON form; the message names the atom.
    """
    return AtomUpdate(detail.uuid, *_changing_columns(codec, detail, encoded))


def atom_records(codec: TextCodec, flow_uuid: str, details: Iterable[models.AtomDetail]) -> list[AtomRecord]:
    """Encode atoms of a flow.

    Raises:
        NotSerializable: a value has no JSON form; the message names the atom.
    """
    # Nearly all atoms of a flow have the same version, which is encoded once.
    version, text = None, None
    records = []
    for detail in details:
        if detail.version is not version:
            version = detail.version
            text = None if version is None else codec.encode(_version_to_json(version))
        kind = models.atom_detail_type(detail)
        columns = _changing_columns(codec, detail)
        records.append(AtomRecord(detail.uuid, flow_uuid, kind, detail.name, text, *columns))
    return records


def atom_detail(codec: TextCodec, record: AtomRecord) -> models.AtomDetail:
    """Decode an atom.

    Raises:
        InvalidFormat: the stored text cannot be decoded; the message names the atom.
    """
    detail = models.atom_detail_class(record.kind)(record.name, record.uuid)
    detail.state = record.state
    detail.intention = record.intention
    detail.attempt = record.attempt
    detail.started_at = record.started_at
    try:
        # A resumed flow may have a hundred thousand atoms, and most columns are empty.
        detail.results = _decode_results(codec, record)
        if record.version is not None:
            detail.version = _version_from_json(codec.decode(record.version))
        if record.failure is not None:
            detail.failure = Failure.from_dict(codec.decode(record.failure))
        if record.revert_results is not None:
            detail.revert_results = codec.decode(record.revert_results)
        if record.revert_failure is not None:
            detail.revert_failure = Failure.from_dict(codec.decode(record.revert_failure))
        if record.meta is not None:
            detail.load_meta(codec.decode(record.meta))
    except exc.InvalidFormat as error:
        raise exc.InvalidFormat(f"atom '{record.name}': {error}", cause=error.cause) from error
    return detail


def _changing_columns(
    codec: TextCodec, detail: models.AtomDetail, encoded: tuple[Any, str] | None = None
) -> tuple[Any, ...]:
    results, failure = detail.results, detail.failure
    revert_results, revert_failure = detail.revert_results, detail.revert_failure
    try:
        meta = detail.stored_meta()
        if results is None:
            text = None
        elif encoded is not None and encoded[0] is results:
            text = encoded[1]
        else:
            text = _encode_results(codec, detail)
        return (
            detail.state,
            detail.intention,
            text,
            None if failure is None else _encode_failure(codec, failure),
            None if revert_results is None else codec.encode(revert_results),
            None if revert_failure is None else _encode_failure(codec, revert_failure),
            None if meta is None else codec.encode(meta),
            detail.attempt,
            detail.started_at,
        )
    except exc.NotSerializable as error:
        raise exc.NotSerializable(f"atom '{detail.name}': {error}", cause=error.cause) from error


def _encode_results(codec: TextCodec, detail: models.AtomDetail) -> str | None:
    if not isinstance(detail, models.RetryDetail):
        return codec.encode(detail.results)
    attempts = [
        [value, {name: failure_to_json(f, codec) for name, f in failures.items()}]
        for value, failures in detail.results
    ]
    return codec.encode(attempts) if attempts else None


def _decode_results(codec: TextCodec, record: AtomRecord) -> Any:
    results = None if record.results is None else codec.decode(record.results)
    if record.kind == "TASK_DETAIL":
        return results
    return [
        (value, {name: Failure.from_dict(f) for name, f in failures.items()})
        for value, failures in results or ()
    ]


def _encode_failure(codec: TextCodec, failure: Failure) -> str:
    return codec.encode(failure_to_json(failure, codec))


def _version_to_json(version: Any) -> Any:
    # A list is decoded many times faster than a tagged tuple, and every atom has a version.
    return list(version) if isinstance(version, tuple) else version


def _version_from_json(version: Any) -> Any:
    return tuple(version) if isinstance(version, list) else version


# ---------------------------------------------------------------------- flows and logbooks


def flow_record(
    codec: TextCodec, book_uuid: str, detail: models.FlowDetail, at: float, old: FlowRecord | None = None
) -> FlowRecord:
    """Encode a flow without its atoms.

    Args:
        codec: the codec.
        book_uuid: UUID of the logbook that it belongs to.
        detail: the detail of the flow.
        at: the current time, in seconds since the epoch (UTC).
        old: the stored record, whose owner and creation time are kept.

    Raises:
        NotSerializable: a value of the metadata has no JSON form.
    """
    meta = _encode_meta(codec, detail.meta, f"flow '{detail.name}'")
    if old is not None:
        return old._replace(state=detail.state, meta=meta, updated_at=at)
    return FlowRecord(detail.uuid, book_uuid, detail.name, detail.state, meta, 0, None, at, None)


def flow_detail(codec: TextCodec, record: FlowRecord, atoms: Iterable[AtomRecord] = ()) -> models.FlowDetail:
    """Decode a flow and its atoms.

    Raises:
        InvalidFormat: the stored text cannot be decoded.
    """
    detail = models.FlowDetail(record.name, record.uuid)
    detail.state = record.state
    detail.meta = _decode_meta(codec, record)
    for atom in atoms:
        detail.add(atom_detail(codec, atom))
    return detail


def book_record(codec: TextCodec, book: models.LogBook, at: float) -> BookRecord:
    """Encode a logbook without its flows.

    Args:
        codec: the codec.
        book: the logbook.
        at: the current time, in seconds since the epoch (UTC), for a logbook without a creation time.

    Raises:
        NotSerializable: a value of the metadata has no JSON form.
    """
    meta = _encode_meta(codec, book.meta, f"logbook '{book.name}'")
    created = book.created_at.timestamp() if book.created_at else at
    updated = book.updated_at.timestamp() if book.updated_at else None
    return BookRecord(book.uuid, book.name, meta, created, updated)


def log_book(codec: TextCodec, record: BookRecord, flows: Iterable[models.FlowDetail] = ()) -> models.LogBook:
    """Decode a logbook, and add flows that were decoded.

    Raises:
        InvalidFormat: the stored text cannot be decoded.
    """
    book = models.LogBook(record.name, record.uuid)
    book.meta = _decode_meta(codec, record)
    book.created_at = dt.datetime.fromtimestamp(record.created_at, dt.UTC)
    book.updated_at = (
        None if record.updated_at is None else dt.datetime.fromtimestamp(record.updated_at, dt.UTC)
    )
    return book.add_stored(flows)


def _encode_meta(codec: TextCodec, meta: dict[str, Any], owner: str) -> str | None:
    try:
        return codec.encode(meta) if meta else None
    except exc.NotSerializable as error:
        raise exc.NotSerializable(f"meta of {owner}: {error}", cause=error.cause) from error


def _decode_meta(codec: TextCodec, record: FlowRecord | BookRecord) -> dict[str, Any]:
    meta = codec.decode(record.meta) if record.meta else {}
    if not isinstance(meta, dict):
        raise exc.InvalidFormat(
            f"'{record.name}' was stored with another codec: "
            "pass that codec as codec=, or name it in the URL, as ?codec=module:name"
        )
    return meta
