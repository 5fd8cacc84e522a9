"""Converts details to records and back; the only place where values become text."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import NoneType
from typing import Any, Final, NamedTuple

from stackl_flow import codec as codecs
from stackl_flow import error_text, redaction
from stackl_flow import exceptions as exc
from stackl_flow.codec import TextCodec
from stackl_flow.failure import Failure
from stackl_flow.persistence import models
from stackl_flow.persistence.metadata import MAX_INLINE, PARTS, FlowMeta
from stackl_flow.persistence.records import (
    VALUE_COLUMNS,
    AtomRecord,
    AtomRows,
    AtomUpdate,
    AtomValue,
    AttemptRow,
    AttemptsChange,
    BookRecord,
    Checkpoint,
    FlowRecord,
    InputRow,
    StoredText,
    is_reference,
    reference_to,
)

_LOG = redaction.get_logger(__name__)

#: The arguments of an exception repeat its message in most cases; larger ones are left out.
_MAX_ARGS: Final = 4096
_new_tuple: Any = tuple.__new__


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


class EncodedAtom(NamedTuple):
    """What is to be written of an atom after a step.

    Attributes:
        update: the columns that change while the atom runs.
        values: those of its long values that changed.
        attempts: how the history of a retry changed, or None.
        stored: what will be stored then; see `models.StoredParts`.
    """

    update: AtomUpdate
    values: Sequence[AtomValue]
    attempts: AttemptsChange | None
    stored: models.StoredParts | None


def encode_atom(
    codec: TextCodec, detail: models.AtomDetail, encoded: tuple[Any, str] | None = None
) -> EncodedAtom:
    """Encode what changes of an atom while it runs, without the long values that are stored already.

    Args:
        codec: the codec.
        detail: the detail of the atom.
        encoded: a value and its text, which are used if the value is the atom's result.

    Raises:
        NotSerializable: a value has no JSON form; the message names the atom.
    """
    is_retry = type(detail) is models.RetryDetail
    stored = detail.stored
    if stored is None and not is_retry and detail.has_only_result and type(detail.results) in _UNCHANGEABLE:
        text = _encode_result(codec, detail, encoded)
        if text is None or len(text) <= MAX_INLINE:  # nearly always, and called for each transition
            return _only_result(detail, text)
    return _encode_all(codec, detail, encoded, is_retry=is_retry)


def _only_result(detail: models.AtomDetail, text: str | None) -> EncodedAtom:
    # Made by tuple itself: the constructors of named tuples take twice as long.
    update = _new_tuple(
        AtomUpdate,
        (
            detail.uuid, detail.state, detail.intention, text, None, None, None, None,
            detail.attempt, detail.started_at, None,
        ),
    )  # fmt: skip
    encoded: EncodedAtom = _new_tuple(EncodedAtom, (update, (), None, None))
    return encoded


class _Columns:
    """Encodes columns of an atom, but for what is stored already.

    Attributes:
        values: the rows of long values to write.
        marks: what is stored then, see `models.StoredParts`.
    """

    def __init__(self, codec: TextCodec, detail: models.AtomDetail, encoded: tuple[Any, str] | None) -> None:
        self._codec = codec
        self._detail = detail
        self._encoded = encoded
        self._known = _NO_VALUES if detail.stored is None else detail.stored.values
        self.values: list[AtomValue] = []
        self.marks: dict[str, tuple[Any, str]] = {}

    def column(self, name: str, value: Any, encode: Callable[[TextCodec, Any], str]) -> str | None:
        """Return what is to be written to a column: a text, or a reference to a row for it."""
        before = self._known.get(name)
        text = None
        if value is not None:
            if before is not None and before[0] is value:
                self.marks[name] = before
                return before[1]
            try:
                is_encoded = self._encoded is not None and self._encoded[0] is value
                text = self._encoded[1] if self._encoded and is_encoded else encode(self._codec, value)
            except exc.NotSerializable as error:
                if before is None or name not in _CHANGED_IN_PLACE:
                    raise
                _LOG.warning(
                    "a change of the %s of atom '%s' is not stored: %s", name, self._detail.name, error
                )
                self.marks[name] = before
                return before[1]
        return self._place(name, value, text, None if before is None else before[1])

    def _place(self, name: str, value: Any, text: str | None, before: str | None) -> str | None:
        """Decide whether a text has a row of its own."""
        column = text
        if text is not None and len(text) > MAX_INLINE:
            column = reference_to(text)
            if before != column:
                self.values.append(AtomValue(self._detail.uuid, name, text))
        elif is_reference(before):
            self.values.append(AtomValue(self._detail.uuid, name, None))
        if column is not None and (column is not text or type(value) not in _UNCHANGEABLE):
            # Programs change metadata in place, so only the text says whether it changed.
            self.marks[name] = (None if name in _CHANGED_IN_PLACE else value, column)
        return column


def _encode_all(
    codec: TextCodec, detail: models.AtomDetail, encoded: tuple[Any, str] | None, *, is_retry: bool
) -> EncodedAtom:
    stored = detail.stored
    columns = _Columns(codec, detail, encoded)
    column = columns.column
    try:
        update = AtomUpdate(
            detail.uuid,
            detail.state,
            detail.intention,
            None if is_retry else column("results", detail.results, _encode),
            column("failure", detail.failure, _encode_failure),
            column("revert_results", detail.revert_results, _encode),
            column("revert_failure", detail.revert_failure, _encode_failure),
            column("meta", detail.stored_meta(), _encode),
            detail.attempt,
            detail.started_at,
            column("progress", detail.stored_progress(), _encode),
        )
        if not is_retry:
            marks = columns.marks
            return EncodedAtom(update, columns.values, None, models.StoredParts(marks) if marks else None)
        attempts = _encode_attempts(codec, detail)
        after = _stored_parts(detail, columns.marks, attempts)
    except exc.NotSerializable as error:
        raise exc.NotSerializable(f"atom '{detail.name}': {error}", cause=error.cause) from error
    changed = attempts.rows or (stored is not None and attempts.keep < stored.rows)
    return EncodedAtom(update, columns.values, attempts if changed else None, after)


def _encode_result(
    codec: TextCodec, detail: models.AtomDetail, encoded: tuple[Any, str] | None
) -> str | None:
    result = detail.results
    if result is None:
        return None
    if encoded is not None and encoded[0] is result:
        return encoded[1]
    try:
        return codec.encode(result)
    except exc.NotSerializable as error:
        raise exc.NotSerializable(f"atom '{detail.name}': {error}", cause=error.cause) from error


def _encode_attempts(codec: TextCodec, detail: models.AtomDetail) -> AttemptsChange:
    """Encode what was added to the history of a retry, or all of it if it is not the one that was stored."""
    results, stored = detail.results, detail.stored
    count, failures, keep = 0, 0, 0
    if stored is not None and 0 < stored.attempts <= len(results):
        value, known = results[stored.attempts - 1]
        if value is stored.last and len(known) >= stored.failures:
            count, failures, keep = stored.attempts, stored.failures, stored.rows
    rows: list[AttemptRow] = []

    def add(attempt: int, atom: str | None, text: str) -> None:
        rows.append(AttemptRow(detail.uuid, keep + len(rows), attempt, atom, text))

    for number in range(max(count - 1, 0), len(results)):
        value, known = results[number]
        if number >= count:
            add(number + 1, None, codec.encode(value))
        for name, failure in itertools.islice(known.items(), failures if number == count - 1 else 0, None):
            add(number + 1, name, _encode_failure(codec, failure))
    return AttemptsChange(detail.uuid, keep, rows)


def _stored_parts(
    detail: models.AtomDetail, values: Mapping[str, tuple[Any, str]], attempts: AttemptsChange
) -> models.StoredParts:
    results = detail.results
    last, failures = results[-1] if results else (None, {})
    return models.StoredParts(values, attempts.keep + len(attempts.rows), len(results), len(failures), last)


def atom_rows(codec: TextCodec, flow_uuid: str, details: Iterable[models.AtomDetail]) -> list[AtomRows]:
    """Encode atoms of a flow, with all their values.

    Raises:
        NotSerializable: a value has no JSON form; the message names the atom.
    """
    # Nearly all atoms of a flow have the same version, which is encoded once.
    version, text = None, None
    found = []
    for detail in details:
        if detail.version is not version:
            version = detail.version
            text = None if version is None else codec.encode(_version_to_json(version))
        found.append(_atom_rows(codec, flow_uuid, detail, text))
    return found


def _atom_rows(codec: TextCodec, flow_uuid: str, detail: models.AtomDetail, version: str | None) -> AtomRows:
    stored, detail.stored = detail.stored, None
    try:
        _, values, attempts, _ = encoded = encode_atom(codec, detail)
    finally:
        detail.stored = stored
    kind = models.atom_detail_type(detail)
    record = AtomRecord(detail.uuid, flow_uuid, kind, detail.name, version, *encoded.update[1:])
    texts: dict[str, Any] = {value.name: value.value for value in values}
    return AtomRows(record._replace(**texts), () if attempts is None else tuple(attempts.rows))


def atom_detail(codec: TextCodec, rows: AtomRows) -> models.AtomDetail:
    """Decode an atom.

    Raises:
        InvalidFormat: the stored text cannot be decoded; the message names the atom.
    """
    record = rows.record
    detail = models.atom_detail_class(record.kind)(record.name, record.uuid)
    detail.state = record.state
    detail.intention = record.intention
    detail.attempt = record.attempt
    detail.started_at = record.started_at
    try:
        # A resumed flow may have a hundred thousand atoms, and most columns are empty.
        if record.kind == "TASK_DETAIL":
            detail.results = None if record.results is None else codec.decode(record.results)
        else:
            detail.results = _decode_attempts(codec, rows)
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
        if record.progress is not None:
            progress = codec.decode(record.progress)
            detail.reported_progress = progress.get("progress")
            detail.progress_details = progress.get("progress_details")
    except exc.InvalidFormat as error:
        raise exc.InvalidFormat(f"atom '{record.name}': {error}", cause=error.cause) from error
    detail.stored = _parts_read(detail, rows)
    return detail


def _parts_read(detail: models.AtomDetail, rows: AtomRows) -> models.StoredParts | None:
    """Return what of an atom that was just read is stored in rows of its own."""
    values: dict[str, tuple[Any, str]] = {}
    for name in VALUE_COLUMNS:
        text = getattr(rows.record, name)
        if text is None:
            continue
        value = None if name in _CHANGED_IN_PLACE else getattr(detail, name)
        if type(text) is StoredText:
            values[name] = (value, text.reference)
        elif name in _CHANGED_IN_PLACE or type(value) not in _UNCHANGEABLE:
            values[name] = (value, text)
    if rows.attempts:
        return _stored_parts(detail, values, AttemptsChange(detail.uuid, len(rows.attempts), ()))
    return models.StoredParts(values) if values else None


def _decode_attempts(codec: TextCodec, rows: AtomRows) -> models.RetryResults:
    # Before each part of the history had a row of its own, all of it was the result.
    old = () if rows.record.results is None else codec.decode(rows.record.results)
    results: models.RetryResults = [
        (value, {name: Failure.from_dict(failure) for name, failure in failures.items()})
        for value, failures in old
    ]
    for row in rows.attempts:
        value = codec.decode(row.value)
        if row.atom is None:
            results.append((value, {}))
        else:
            results[-1][1][row.atom] = Failure.from_dict(value)
    return results


_CHANGED_IN_PLACE: Final = frozenset({"meta", "progress"})
#: The types of results that programs cannot change in place, and that are encoded again at no cost.
_UNCHANGEABLE: Final = frozenset({NoneType, bool, int, float, str})
_NO_VALUES: Final[Mapping[str, tuple[Any, str]]] = {}


def _encode(codec: TextCodec, value: Any) -> str:
    return codec.encode(value)


def _encode_failure(codec: TextCodec, failure: Failure) -> str:
    return codec.encode(failure_to_json(failure, codec))


def _version_to_json(version: Any) -> Any:
    # A list is decoded many times faster than a tagged tuple, and every atom has a version.
    return list(version) if isinstance(version, tuple) else version


def _version_from_json(version: Any) -> Any:
    return tuple(version) if isinstance(version, list) else version


# ---------------------------------------------------------------------- flows and logbooks


def flow_record(
    codec: TextCodec,
    book_uuid: str,
    detail: models.FlowDetail,
    inline: Mapping[str, Any],
    at: float,
    old: FlowRecord | None = None,
) -> FlowRecord:
    """Encode a flow without its atoms and its inputs.

    Args:
        codec: the codec.
        book_uuid: UUID of the logbook that it belongs to.
        detail: the detail of the flow.
        inline: the part of its metadata that belongs to this row.
        at: the current time, in seconds since the epoch (UTC).
        old: the stored record, whose owner and creation time are kept.

    Raises:
        NotSerializable: a value of the metadata has no JSON form.
    """
    meta = _encode_meta(codec, inline, f"flow '{detail.name}'")
    if old is not None:
        return old._replace(state=detail.state, meta=meta, updated_at=at)
    return FlowRecord(detail.uuid, book_uuid, detail.name, detail.state, meta, 0, None, at, None)


def flow_detail(
    codec: TextCodec,
    record: FlowRecord,
    atoms: Iterable[AtomRows] = (),
    load: Callable[[], Iterable[InputRow]] = tuple,
    store: object = None,
) -> models.FlowDetail:
    """Decode a flow and its atoms.

    Args:
        codec: the codec.
        record: its row.
        atoms: the rows of its atoms.
        load: reads the inputs of the flow, when they are needed.
        store: a key for where the flow is stored.

    Raises:
        InvalidFormat: the stored text cannot be decoded.
    """
    detail = models.FlowDetail(record.name, record.uuid)
    detail.state = record.state
    detail.meta = _decode_meta(codec, record)
    if record.inputs_version:
        detail.meta = FlowMeta(
            detail.meta, lambda: decode_inputs(codec, load()), (store, record.uuid), record.inputs_version
        )
    for rows in atoms:
        detail.add(atom_detail(codec, rows))
    return detail


# ---------------------------------------------------------------------- inputs and other large metadata


#: The longest name that is stored in a column.
_MAX_NAME: Final = 200


class MetaLayout(NamedTuple):
    """Which keys of a flow's metadata are stored with its row, and which have rows of their own."""

    inline: AbstractSet[str] = frozenset()
    parts: AbstractSet[str] = frozenset()


def split_meta(
    codec: TextCodec,
    detail: models.FlowDetail,
    keys: Iterable[str] | None = None,
    large: AbstractSet[str] = PARTS,
) -> tuple[dict[str, Any], list[InputRow]]:
    """Split metadata into what belongs to the row of the flow, and the rows of inputs and large values.

    Args:
        codec: the codec.
        detail: the detail of the flow.
        keys: only these keys; all by default.
        large: the keys that have rows of their own whatever their size.

    Raises:
        NotSerializable: a value has no JSON form; the message names the flow.
    """
    meta: dict[str, Any] | None = detail.meta
    if meta is None:  # TaskFlow's programs may set it
        return {}, []
    inline: dict[str, Any] = {}
    rows: list[InputRow] = []
    try:
        for key in meta if keys is None else keys:
            if key in meta:
                own = _input_rows(codec, detail.uuid, key, meta[key], is_large=key in large)
                rows += own
                if not own:
                    inline[key] = meta[key]
    except exc.NotSerializable as error:
        raise exc.NotSerializable(f"meta of flow '{detail.name}': {error}", cause=error.cause) from error
    return inline, rows


def _input_rows(codec: TextCodec, flow_uuid: str, key: str, value: Any, *, is_large: bool) -> list[InputRow]:
    """Encode a value of a flow's metadata; empty if it belongs to the row of the flow."""
    if not _is_name(key):
        return []
    if not is_large:
        text = codec.encode(value)
        if len(text) <= MAX_INLINE:
            return []
    if has_named_items(value):
        return [InputRow(flow_uuid, key, name, codec.encode(item)) for name, item in value.items()]
    return [InputRow(flow_uuid, key, "", codec.encode(value))]


def has_named_items(value: Any) -> bool:
    """Return whether each item of a value has a row of its own, under its name."""
    return type(value) is dict and bool(value) and all(map(_is_name, value))


def _is_name(key: Any) -> bool:
    # Databases differ in what they do with spaces at the end of a name.
    return type(key) is str and 0 < len(key) <= _MAX_NAME and key == key.strip() and "\0" not in key


def encode_changed_meta(
    codec: TextCodec,
    detail: models.FlowDetail,
    changed: Mapping[str, AbstractSet[str] | None],
    layout: MetaLayout,
) -> tuple[str | None, list[InputRow], MetaLayout]:
    """Encode the metadata that changed in a step.

    Args:
        codec: the codec.
        detail: the detail of the flow.
        changed: the keys that changed; for values with a row for each item the names of the items that
            changed, else None.
        layout: which keys are stored where.

    Returns:
        The text of all that is to be stored with the row of the flow, or None if it does not change; the rows
        to delete, then those to write; and which keys will be stored where then.

    Raises:
        NotSerializable: a value has no JSON form; the message names the flow.
    """
    meta = detail.meta
    inline, parts = set(layout.inline), set(layout.parts)
    deleted: list[InputRow] = []
    written: list[InputRow] = []
    for key, names in changed.items():
        if names is not None and key in parts and has_named_items(meta.get(key)):
            items = meta[key]
            deleted += [InputRow(detail.uuid, key, name, None) for name in names if name not in items]
            if present := {name: items[name] for name in items if name in names}:
                part = models.FlowDetail(detail.name, detail.uuid)
                part.meta = {key: present}
                written += split_meta(codec, part, large={key})[1]
            continue
        if key in parts:
            deleted.append(InputRow(detail.uuid, key, None, None))
        small, rows = split_meta(codec, detail, [key])
        written += rows
        for keys, is_there in ((inline, bool(small)), (parts, bool(rows))):
            keys.discard(key)
            keys.update([key] if is_there else ())
    text = None
    if not (layout.inline | inline).isdisjoint(changed):
        small = {key: meta[key] for key in meta if key in inline}
        text = _encode_meta(codec, small, f"flow '{detail.name}'") or codec.encode({})
    return text, deleted + written, MetaLayout(inline, parts)


def changed_meta(codec: TextCodec, detail: models.FlowDetail, cp: Checkpoint) -> dict[str, Any]:
    """Return the metadata of a flow after a checkpoint, where all of it is stored together."""
    inline, stored = split_meta(codec, detail)
    rows = {row[1:3]: row for row in stored}
    for row in cp.inputs:
        for key in [key for key in rows if key[0] == row.part and row.name in (None, key[1])]:
            del rows[key]
        if row.value is not None:
            rows[row[1:3]] = row
    if cp.flow_meta is not None:
        inline = codec.decode(cp.flow_meta)
    return {**inline, **decode_inputs(codec, rows.values())}


def decode_inputs(codec: TextCodec, rows: Iterable[InputRow]) -> dict[str, Any]:
    """Decode the inputs and the other large metadata of a flow.

    Raises:
        InvalidFormat: the stored text cannot be decoded.
    """
    meta: dict[str, Any] = {}
    for row in rows:
        value = None if row.value is None else codec.decode(row.value)
        if row.name:
            meta.setdefault(row.part, {})[row.name] = value
        else:
            meta[row.part] = value
    return meta


def input_changes(old: Sequence[InputRow], new: Sequence[InputRow]) -> list[InputRow]:
    """Return the rows to delete and those to write, so that the old ones become the new ones."""
    before, after = ({row[:3]: row.value for row in rows} for rows in (old, new))
    deleted = [InputRow(*key, None) for key in before if key not in after]
    return deleted + [row for row in new if before.get(row[:3]) != row.value]


# ---------------------------------------------------------------------- logbooks


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


def _encode_meta(codec: TextCodec, meta: Mapping[str, Any], owner: str) -> str | None:
    try:
        return codec.encode(dict(meta)) if meta else None
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
