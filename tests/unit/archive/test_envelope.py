"""A stream record as a line, and back without a loss."""

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.archive import envelope
from headwater.archive.envelope import UnreadableRecordError, change_record
from headwater.attribute_values import unmarshal_item
from headwater.change_stream.dynamodb import parse
from headwater.change_stream.records import MalformedRecordError, Operation
from tests.fakes.attribute_strategies import ATTRIBUTE_VALUES, ITEMS, NUMBER_TEXT, TEXT
from tests.fakes.stream_records import BY_TTL, View, play_image, stream_record

EVENT = play_image(3, event_id="event-3")
VIEWS: list[View] = ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]
WHOLE_NUMBERS = st.integers(-(2**64), 2**64).map(str) | NUMBER_TEXT | st.sampled_from(["-0", "007", "1E+3", "1.0"])


def columns_of(raw: Any) -> dict[str, Any]:
    text = envelope.text([envelope.line(raw)])
    assert text.endswith(b"\n")
    assert text.count(b"\n") == 1
    columns: dict[str, Any] = orjson.loads(text)
    return columns


@st.composite
def event_items(draw: st.DrawFn) -> dict[str, Any]:
    """Event items, and what is nearly one: an attribute more, one less, one of another type."""
    item = {
        name: {"S": draw(TEXT)}
        for name in ("aggregate_id", "event_id", "type", "occurred_at", "aggregate_type", "data", "metadata")
    }
    item |= {name: {"N": draw(WHOLE_NUMBERS)} for name in ("version", "schema_version")}
    if draw(st.booleans()):
        item["expires_at"] = {"N": draw(WHOLE_NUMBERS)}
    match draw(st.integers(0, 6)):
        case 0:
            item |= draw(ITEMS)
        case 1:
            del item[draw(st.sampled_from(sorted(item)))]
        case 2:
            item[draw(st.sampled_from(sorted(item)))] = draw(ATTRIBUTE_VALUES)
        case _:
            pass
    return item


@st.composite
def raw_records(draw: st.DrawFn) -> dict[str, Any]:
    images = event_items() | ITEMS
    moment = draw(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001
    raw = stream_record(
        draw(st.integers(0, 10**18)),
        draw(st.none() | images),
        draw(st.none() | images),
        operation=draw(st.sampled_from(["INSERT", "MODIFY", "REMOVE"])),
        at=moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC).isoformat(),
        view=draw(st.sampled_from(VIEWS)),
    )
    if draw(st.booleans()):
        raw["userIdentity"] = BY_TTL
    if draw(st.booleans()):
        raw["dynamodb"]["Keys"] = draw(ITEMS)
    return raw


@given(raw=raw_records())
def test_every_record_comes_back_as_it_was(raw: dict[str, Any]) -> None:
    """FAULTS row 17: sets, binary, 38-digit numbers, empty strings, emoji, deep nesting, in all four views."""
    columns = columns_of(raw)

    assert "parse_error" not in columns
    assert change_record(columns) == parse(raw)
    # As Parquet and Athena give it: a column that is absent is null.
    assert change_record(dict.fromkeys(TABLE_COLUMNS) | columns) == parse(raw)


@given(
    raws=st.lists(raw_records(), min_size=1, max_size=5),
    payload=st.sampled_from(["", '[{"a":1},{"stream_event_id":"x"}]']),
)
def test_many_lines_are_what_each_is_by_itself(raws: list[dict[str, Any]], payload: str) -> None:
    """Whatever their texts hold, they are told apart where they end."""
    raws.append(stream_record(7, EVENT | {"data": {"S": payload}, "type": {"S": '"},{"stream_event_id":"'}}))
    lines = [envelope.line(raw) for raw in raws]

    assert envelope.text(lines) == b"".join(orjson.dumps(line[0], option=orjson.OPT_APPEND_NEWLINE) for line in lines)


@given(raw=raw_records())
def test_the_fast_path_gives_what_the_general_one_gives(raw: dict[str, Any]) -> None:
    fast, slow = envelope.line(raw), envelope._any_change(raw)

    assert fast == slow


@given(raw=raw_records())
def test_a_line_holds_only_the_tables_columns_with_scalars_in_them(raw: dict[str, Any]) -> None:
    columns = columns_of(raw)

    assert columns.keys() <= TABLE_COLUMNS.keys()
    for name, value in columns.items():
        assert type(value) is TABLE_COLUMNS[name]
        assert not isinstance(value, int) or abs(value) < (2**31 if name == "schema_version" else 2**63)


TABLE_COLUMNS: dict[str, type] = {
    **dict.fromkeys(("stream_event_id", "sequence_number", "captured_at", "operation", "aggregate_id"), str),
    **dict.fromkeys(("event_id", "type", "occurred_at", "aggregate_type", "payload", "metadata"), str),
    **dict.fromkeys(("keys", "old_image", "new_image", "parse_error", "raw_record"), str),
    **dict.fromkeys(("version", "schema_version", "expires_at"), int),
}


@pytest.mark.parametrize("attribute", [*EVENT, "expires_at"])
@pytest.mark.parametrize(
    "value",
    [
        {"S": 5},
        {"S": None},
        {"S": "1", "N": "1"},
        {"N": "1", "S": "1"},
        {"N": 1},
        {"N": "007"},
        {"N": "1.0"},
        {"N": str(2**63)},
        {"N": str(-(2**63) - 1)},
        {"N": str(2**31)},
        {"N": "9" * 38},
        {"B": "AQ=="},
        {},
        None,
    ],
)
def test_a_value_that_its_column_would_change_stays_in_the_image(attribute: str, value: Any) -> None:
    """FAULTS row 17: what DynamoDB does not write, and numbers that the column's type cannot hold."""
    raw = stream_record(5, EVENT | {attribute: value})

    columns = columns_of(raw)

    assert change_record(columns) == parse(raw)
    for name, column in columns.items():
        assert type(column) is TABLE_COLUMNS[name]
        assert not isinstance(column, int) or abs(column) < (2**31 if name == "schema_version" else 2**63)


def test_an_appended_event_is_columns_and_nothing_beside_them() -> None:
    assert columns_of(stream_record(5, EVENT, at="2026-03-01T12:00:00.250Z")) == {
        "stream_event_id": f"{5:032x}",
        "sequence_number": "441800000000000000005",
        "captured_at": "2026-03-01T12:00:00.250Z",
        "operation": "INSERT",
        "aggregate_id": "player#0199-a",
        "version": 3,
        "event_id": "event-3",
        "type": "PlayCompleted",
        "schema_version": 1,
        "occurred_at": "2026-03-01T12:00:00.000Z",
        "aggregate_type": "player",
        "payload": EVENT["data"]["S"],
        "metadata": EVENT["metadata"]["S"],
    }


def test_an_expiring_event_states_when() -> None:
    columns = columns_of(stream_record(5, play_image(expires_at=1_772_366_400)))

    assert columns["expires_at"] == 1_772_366_400
    assert "new_image" not in columns


def test_a_removal_by_ttl_is_an_expiry_with_the_event_in_its_columns() -> None:
    """FAULTS row 19: an expiry is archived as EXPIRE."""
    columns = columns_of(stream_record(5, old=EVENT, operation="REMOVE", userIdentity=BY_TTL))

    assert columns["operation"] == "EXPIRE"
    assert columns["event_id"] == "event-3"
    assert "old_image" not in columns


def test_a_removal_by_hand_is_a_removal() -> None:
    """FAULTS row 19: an illegal change is archived."""
    columns = columns_of(stream_record(5, old=EVENT, operation="REMOVE"))

    assert columns["operation"] == "REMOVE"
    assert columns["payload"] == EVENT["data"]["S"]


def test_a_modified_event_keeps_what_it_was_beside_what_it_became() -> None:
    """FAULTS row 19: an illegal change is archived."""
    changed = EVENT | {"data": {"S": '{"score":999999}'}}

    columns = columns_of(stream_record(5, changed, EVENT, operation="MODIFY"))

    assert columns["operation"] == "MODIFY"
    assert columns["payload"] == '{"score":999999}'
    assert json.loads(columns["old_image"]) == EVENT
    assert "new_image" not in columns


def test_an_item_that_is_no_event_is_its_image() -> None:
    columns = columns_of(stream_record(5, {"aggregate_id": {"S": "a"}, "when": {"SS": ["x", "y"]}}))

    assert json.loads(columns["new_image"]) == {"aggregate_id": {"S": "a"}, "when": {"SS": ["x", "y"]}}
    assert json.loads(columns["keys"]) == {"aggregate_id": {"S": "a"}}
    assert columns["aggregate_id"] == "a"


def test_keys_that_hold_the_event_are_not_taken_for_its_image() -> None:
    raw = stream_record(5, EVENT, view="KEYS_ONLY")
    raw["dynamodb"]["Keys"] = EVENT

    record = change_record(columns_of(raw))

    assert record.new_image is None
    assert record.keys == EVENT


def test_binary_as_boto3_gives_it_is_archived_as_lambda_does() -> None:
    item: dict[str, Any] = {"aggregate_id": {"S": "a"}, "seal": {"B": b"\x00\xff"}, "seals": {"BS": [b"\x01"]}}

    record = change_record(columns_of(stream_record(5, item)))

    assert record.new_image == item | {"seal": {"B": "AP8="}, "seals": {"BS": ["AQ=="]}}
    assert unmarshal_item(record.new_image) == unmarshal_item(item)


@pytest.mark.parametrize("nesting", [32, 300])
def test_nesting_of_any_depth_survives(nesting: int) -> None:
    """FAULTS row 17: DynamoDB allows 32 levels; orjson refuses more than 254."""
    value: dict[str, Any] = {"S": "🌊"}
    for _ in range(nesting):
        value = {"M": {"": value}}
    raw = stream_record(5, EVENT | {"deep": value})

    columns = columns_of(raw)

    if nesting <= 32:
        assert change_record(columns) == parse(raw)
    else:
        assert json.loads(columns["raw_record"]) == raw


def broken(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(stream_record(5, EVENT))
    target = raw
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = value
    return raw


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        "text",
        {},
        {"dynamodb": {"SequenceNumber": "5"}},
        broken(("eventID",), 5),
        broken(("eventID",), "\ud800"),
        broken(("eventName",), "TRUNCATE"),
        broken(("dynamodb", "SequenceNumber"), "five"),
        broken(("dynamodb", "NewImage"), "text"),
        broken(("dynamodb", "NewImage", "data"), {"S": "\ud800"}),
        broken(("dynamodb", "NewImage", "data"), {"N": 2**70}),
        broken(("dynamodb", "Keys"), None),
        broken(("dynamodb", "ApproximateCreationDateTime"), None),
        broken(("dynamodb", "ApproximateCreationDateTime"), 1e300),
    ],
)
def test_what_cannot_be_read_is_kept_as_it_came_with_the_reason(raw: Any) -> None:
    """FAULTS row 17: bad data loses nothing and fails nothing."""
    columns = columns_of(raw)

    assert columns["parse_error"]
    assert json.loads(columns["raw_record"]) == raw
    assert columns == columns_of(raw)
    with pytest.raises(UnreadableRecordError) as caught:
        change_record(columns)
    assert caught.value.raw_record == raw


def test_what_is_readable_of_an_unreadable_record_places_it() -> None:
    columns, day, error = envelope.line(broken(("eventName",), "TRUNCATE"))

    assert columns["stream_event_id"] == f"{5:032x}"
    assert columns["sequence_number"] == "441800000000000000005"
    assert day == columns["captured_at"][:10] == "2026-03-01"
    assert error == columns["parse_error"]


def test_unreadable_records_without_an_id_are_told_apart_by_content() -> None:
    one, other = columns_of({"a": 1}), columns_of({"a": 2})

    assert one["stream_event_id"] != other["stream_event_id"]
    assert one["stream_event_id"] == columns_of({"a": 1})["stream_event_id"]


@pytest.mark.parametrize(
    ("moment", "text", "day"),
    [
        ("2026-02-28T23:59:59.999Z", "2026-02-28T23:59:59.999Z", "2026-02-28"),
        ("2026-03-01T00:00:00Z", "2026-03-01T00:00:00.000Z", "2026-03-01"),
        ("2028-02-29T23:59:59+01:00", "2028-02-29T22:59:59.000Z", "2028-02-29"),
    ],
)
def test_the_day_is_utc_and_the_moment_exact_to_the_millisecond(moment: str, text: str, day: str) -> None:
    columns, line_day, _ = envelope.line(stream_record(5, EVENT, at=moment))

    assert columns["captured_at"] == text
    assert line_day == day


@given(offset=st.integers(0, 86_400_000 - 1))
def test_each_millisecond_of_a_day_belongs_to_it(offset: int) -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(milliseconds=offset)

    assert envelope.line(stream_record(5, EVENT, at=moment.isoformat()))[1] == "2026-03-01"


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"operation": "TRUNCATE"},
        {"operation": "INSERT", "stream_event_id": "a", "sequence_number": "1", "captured_at": "2026-03-01T00:00:00Z"},
        {"operation": "INSERT", "keys": "{", "stream_event_id": "a", "sequence_number": "1", "captured_at": "x"},
    ],
)
def test_columns_that_are_no_line_are_refused(columns: dict[str, Any]) -> None:
    with pytest.raises(MalformedRecordError):
        change_record(columns)


def test_operations_are_the_tables() -> None:
    assert set(Operation) == {"INSERT", "MODIFY", "REMOVE", "EXPIRE"}
