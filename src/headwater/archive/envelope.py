"""A stream record as one flat line of JSON, and back.

An event's image becomes columns that Athena can read. Whatever the columns cannot rebuild exactly stays beside them as
DynamoDB JSON text, so nothing of an image is lost: no set, no binary, no digit of a number. What a column would hold
as null is left out; to the Hive JSON SerDe that is the same.

Columns: stream_event_id, sequence_number, captured_at, operation; of the event aggregate_id, version, event_id, type,
schema_version, occurred_at, aggregate_type, expires_at, ``payload`` (its ``data``) and ``metadata`` (both JSON text);
keys, old_image, new_image (DynamoDB JSON text); parse_error and raw_record of what could not be read.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any

import orjson

from headwater.attribute_values import AttributeMap, AttributeValue
from headwater.change_stream import dynamodb
from headwater.change_stream.records import ChangeRecord, MalformedRecordError, Operation
from headwater.clock import timestamp

#: The attributes of an event item, in the order in which `_EVENT` fetches them; activity events also expire.
_EVENT = itemgetter(
    "aggregate_id", "version", "event_id", "type", "schema_version", "occurred_at", "aggregate_type", "data", "metadata"
)
_EVENT_ATTRIBUTES = 9
#: Those that are text, by their column.
_TEXT_COLUMNS = {
    "aggregate_id": "aggregate_id",
    "event_id": "event_id",
    "type": "type",
    "occurred_at": "occurred_at",
    "aggregate_type": "aggregate_type",
    "payload": "data",
    "metadata": "metadata",
}
#: Those that are whole numbers, and the largest that the column's type holds (Hive bigint and int).
_BIGINT, _INT = 2**63 - 1, 2**31 - 1
#: What versions nearly always are.
_SMALL = {str(number): number for number in range(1, 10_000)}
_NUMBER_COLUMNS = {"version": _BIGINT, "schema_version": _INT, "expires_at": _BIGINT}
_SECONDS = [f"{second:02d}.000Z" for second in range(60)]
_REMOVALS = frozenset({Operation.REMOVE, Operation.EXPIRE})

#: Where one line ends and the next begins, in a JSON array of them. The columns are flat and this is the first, so that
#: nothing else looks like it: within a text the quotes would be escaped.
_FIRST_COLUMN = "stream_event_id"
_BOUNDARY, _NEW_LINE = f'}},{{"{_FIRST_COLUMN}":'.encode(), f'}}\n{{"{_FIRST_COLUMN}":'.encode()


class UnreadableRecordError(ValueError):
    """A line whose record could not be read when archived; ``raw_record`` is that record, parsed from its JSON."""

    def __init__(self, columns: Mapping[str, Any]) -> None:
        super().__init__(f"record {columns.get('stream_event_id')} was unreadable: {columns.get('parse_error')}")
        self.raw_record: Any = json.loads(columns["raw_record"])


#: One record's columns, which are JSON for sure; the UTC day of its capture, None where the record states no readable
#: time; why it could not be read, if so. A bare tuple: a named one costs a tenth of the whole archiver.
type Line = tuple[dict[str, Any], str | None, str | None]


def line(raw: Mapping[str, Any]) -> Line:
    """The line of one element of ``Records``. Never fails: an unreadable record becomes a line that says so."""
    try:
        return _appended_event(raw)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError):
        return _any_change(raw)


def text(lines: Iterable[Line]) -> bytes:
    """The lines as JSON Lines, in their order; at least one."""
    # All at once, as a call of orjson's for each would cost twice as much.
    array = orjson.dumps([columns for columns, _, _ in lines])
    return array[1:-1].replace(_BOUNDARY, _NEW_LINE) + b"\n"


def change_record(columns: Mapping[str, Any]) -> ChangeRecord:
    """The stream record that a line's columns hold; absent and null columns mean the same.

    Raises
    ------
    UnreadableRecordError
        The line holds a record that could not be read when it was archived.
    MalformedRecordError
        The columns are no line of this archive.
    """
    if columns.get("raw_record") is not None:
        raise UnreadableRecordError(columns)
    try:
        operation = Operation(columns["operation"])
        described, _ = _images(operation)
        images: dict[str, AttributeMap | None] = {
            name: None if columns.get(name) is None else orjson.loads(columns[name])
            for name in ("new_image", "old_image")
        }
        if images[described] is None:
            images[described] = _event_image(columns)
        keys = _event_keys(columns) if columns.get("keys") is None else orjson.loads(columns["keys"])
        if keys is None:
            raise MalformedRecordError("the line has neither keys nor the columns aggregate_id and version")
        return ChangeRecord(
            stream_event_id=columns["stream_event_id"],
            sequence_number=columns["sequence_number"],
            operation=operation,
            captured_at=datetime.fromisoformat(columns["captured_at"]).timestamp(),
            keys=keys,
            **images,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedRecordError(f"not a line of the archive: {error!r}") from error


def _any_change(raw: Any) -> Line:
    try:
        return _change(dynamodb.parse(raw))
    except (TypeError, ValueError, OverflowError, OSError) as error:
        return _unreadable(raw, error)


def _appended_event(raw: Mapping[str, Any]) -> Line:
    """The fast path: an INSERT of an item that is an event and nothing else. Raises whatever it stumbles upon.

    Gives what `_change` gives for the same record, at a fraction of its cost; a property test holds them equal.
    """
    change = raw["dynamodb"]
    image = change["NewImage"]
    aggregate_id, version, event_id, type_, schema, occurred_at, aggregate_type, data, metadata = _EVENT(image)
    expires_at = image.get("expires_at")
    # One type key in each and no attribute besides, or the columns would drop something.
    if (
        raw["eventName"] != "INSERT"
        or "OldImage" in change
        or len(image) != _EVENT_ATTRIBUTES + (expires_at is not None)
        or not 1
        == len(aggregate_id)
        == len(version)
        == len(event_id)
        == len(type_)
        == len(schema)
        == len(occurred_at)
        == len(aggregate_type)
        == len(data)
        == len(metadata)
    ):
        raise ValueError("no plain event")
    stream_event_id: str = raw["eventID"]
    sequence_number: str = change["SequenceNumber"]
    captured_at, day = _capture_time(change["ApproximateCreationDateTime"])
    columns: dict[str, Any] = {
        _FIRST_COLUMN: stream_event_id,
        "sequence_number": sequence_number,
        "captured_at": captured_at,
        "operation": "INSERT",
        "aggregate_id": (aggregate := aggregate_id["S"]),
        "version": _SMALL.get(version["N"]) or _whole_number(version["N"], _BIGINT),
        "event_id": (event := event_id["S"]),
        "type": (kind := type_["S"]),
        "schema_version": _SMALL.get(schema["N"]) or _whole_number(schema["N"], _INT),
        "occurred_at": (occurred := occurred_at["S"]),
        "aggregate_type": (aggregate_kind := aggregate_type["S"]),
        "payload": (payload := data["S"]),
        "metadata": (about := metadata["S"]),
    }
    # Joining refuses what is not text, and encoding what UTF-8 does not know, in one call each.
    "".join((stream_event_id, aggregate, event, kind, occurred, aggregate_kind, payload, about)).encode()
    if not (stream_event_id and sequence_number.isascii() and sequence_number.isdecimal()):
        raise ValueError("no plain record")
    if expires_at is not None:
        if len(expires_at) != 1:
            raise ValueError("no plain event")
        columns["expires_at"] = _whole_number(expires_at["N"], _BIGINT)
    keys = change["Keys"]
    if len(keys) != 2 or keys["aggregate_id"] != aggregate_id or keys["version"] != version:
        raise ValueError("no plain record")
    return columns, day, None


def _change(record: ChangeRecord) -> Line:
    captured_at, day = _capture_time(record.captured_at)
    images = {"new_image": record.new_image, "old_image": record.old_image}
    described, other = _images(record.operation)
    image = images[described]
    event = _event_columns(image) if image else _event_columns(record.keys, only=frozenset({"aggregate_id", "version"}))
    columns = {
        _FIRST_COLUMN: record.stream_event_id,
        "sequence_number": record.sequence_number,
        "captured_at": captured_at,
        "operation": record.operation.value,
        **event,
    }
    if image is not None and _event_image(event) != image:
        columns[described] = _json_text(image)
    if images[other] is not None:
        columns[other] = _json_text(images[other])
    if record.keys != _event_keys(event):
        columns["keys"] = _json_text(record.keys)
    orjson.dumps(columns)
    return columns, day, None


def _unreadable(raw: Any, error: Exception) -> Line:
    # The standard library's JSON keeps what orjson refuses or changes: lone surrogates, NaN, whole numbers of any size.
    raw_record = json.dumps(raw, default=_base64_text)
    stream_event_id = _readable(dynamodb.stream_event_id, raw)
    if stream_event_id is None or not stream_event_id.isascii():
        # An id that a second delivery gives again.
        stream_event_id = f"sha256-{hashlib.sha256(raw_record.encode()).hexdigest()}"
    sequence_number = _readable(dynamodb.sequence_number, raw)
    captured_at, day = _readable(lambda record: _capture_time(dynamodb.captured_at(record)), raw) or (None, None)
    columns = {
        _FIRST_COLUMN: stream_event_id,
        "sequence_number": sequence_number,
        "captured_at": captured_at,
        "parse_error": str(error),
        "raw_record": raw_record,
    }
    return {name: value for name, value in columns.items() if value is not None}, day, str(error)


def _images(operation: Operation) -> tuple[str, str]:
    """The image that the event's columns describe, and the other one."""
    return ("old_image", "new_image") if operation in _REMOVALS else ("new_image", "old_image")


def _event_columns(attributes: AttributeMap, only: frozenset[str] | None = None) -> dict[str, Any]:
    """The columns that an item's attributes fill, as far as they are what an event has."""
    columns: dict[str, Any] = {}
    for column, attribute in _TEXT_COLUMNS.items():
        text = _content(attributes, attribute, "S")
        if text is not None:
            columns[column] = text
    for column, largest in _NUMBER_COLUMNS.items():
        text = _content(attributes, column, "N")
        try:
            if text is not None:
                columns[column] = _whole_number(text, largest)
        except ValueError:
            continue
    return columns if only is None else {name: columns[name] for name in only & columns.keys()}


def _content(attributes: AttributeMap, name: str, kind: str) -> str | None:
    value = attributes.get(name)
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get(kind), str):
        return str(value[kind])
    return None


def _event_image(columns: Mapping[str, Any]) -> AttributeMap | None:
    """The event item that the columns describe, None if they describe none."""
    try:
        image: dict[str, AttributeValue] = {
            attribute: {"S": columns[column]} for column, attribute in _TEXT_COLUMNS.items()
        }
        image["version"] = {"N": str(columns["version"])}
        image["schema_version"] = {"N": str(columns["schema_version"])}
    except KeyError:
        return None
    if any(value.get("S", "") is None for value in image.values()):
        return None
    if columns.get("expires_at") is not None:
        image["expires_at"] = {"N": str(columns["expires_at"])}
    return image


def _event_keys(columns: Mapping[str, Any]) -> AttributeMap | None:
    aggregate_id, version = columns.get("aggregate_id"), columns.get("version")
    if aggregate_id is None or version is None:
        return None
    return {"aggregate_id": {"S": aggregate_id}, "version": {"N": str(version)}}


@lru_cache(maxsize=8192)
def _whole_number(text: str, largest: int) -> int:
    """The number, if writing it again gives the same text and the column can hold it."""
    number = int(text)
    if str(number) != text or abs(number) > largest:
        raise ValueError("the number's text cannot be told from its value")
    return number


@lru_cache(maxsize=8192)
def _capture_time(seconds: float) -> tuple[str, str]:
    """The moment to the millisecond, and its UTC day."""
    whole = int(seconds)
    if whole != seconds:
        moment = timestamp(datetime.fromtimestamp(seconds, UTC))
        return moment, moment.partition("T")[0]
    # DynamoDB tells whole seconds: what a batch brings lies within a few minutes.
    start, day = _minute(whole // 60)
    return start + _SECONDS[whole % 60], day


@lru_cache(maxsize=1024)
def _minute(minutes: int) -> tuple[str, str]:
    """A minute's moments without their seconds, and its UTC day."""
    moment = timestamp(datetime.fromtimestamp(minutes * 60, UTC))
    return moment.removesuffix(_SECONDS[0]), moment.partition("T")[0]


def _json_text(value: Any) -> str:
    return orjson.dumps(value, default=_base64_text).decode()


def _base64_text(value: Any) -> str:
    """Binary as Lambda's JSON has it, and not as boto3 does."""
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no part of a stream record")


def _readable[T](read: Callable[[Any], T], raw: Any) -> T | None:
    try:
        return read(raw)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
