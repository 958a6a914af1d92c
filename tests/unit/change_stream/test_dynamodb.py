"""Records of a DynamoDB stream, in every view."""

from datetime import UTC, datetime
from typing import Any

import pytest

from headwater.change_stream.dynamodb import parse, versions
from headwater.change_stream.records import MalformedRecordError, Operation
from tests.fakes.stream_records import BY_TTL, View, play_image, stream_record

IMAGE = play_image(event_id="event-1")
CHANGED = play_image(event_id="event-2")


@pytest.mark.parametrize(
    ("view", "new", "old"),
    [
        ("KEYS_ONLY", None, None),
        ("NEW_IMAGE", CHANGED, None),
        ("OLD_IMAGE", None, IMAGE),
        ("NEW_AND_OLD_IMAGES", CHANGED, IMAGE),
    ],
)
def test_each_view_gives_the_images_that_it_holds(view: View, new: Any, old: Any) -> None:
    record = parse(stream_record(7, CHANGED, IMAGE, operation="MODIFY", view=view))

    assert record.operation is Operation.MODIFY
    assert (record.new_image, record.old_image) == (new, old)
    assert record.keys == {"aggregate_id": IMAGE["aggregate_id"], "version": IMAGE["version"]}
    assert record.stream_event_id == f"{7:032x}"
    assert record.sequence_number == "441800000000000000007"
    assert record.captured_date == "2026-03-01"


@pytest.mark.parametrize(
    ("identity", "operation"),
    [
        (BY_TTL, Operation.EXPIRE),
        # GetRecords of the DynamoDB Streams API spells the fields with a capital.
        ({"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}, Operation.EXPIRE),
        ({"type": "Service", "principalId": "replication.dynamodb.amazonaws.com"}, Operation.REMOVE),
        (None, Operation.REMOVE),
    ],
)
def test_a_removal_is_an_expiry_only_if_the_ttl_did_it(identity: Any, operation: Operation) -> None:
    """FAULTS row 19."""
    raw = stream_record(1, old=IMAGE, operation="REMOVE", userIdentity=identity)

    assert parse(raw).operation is operation


def test_a_write_by_the_service_is_no_expiry() -> None:
    assert parse(stream_record(1, IMAGE, userIdentity=BY_TTL)).operation is Operation.INSERT


def test_records_of_get_records_state_their_time_as_a_datetime() -> None:
    raw = stream_record(1, IMAGE)
    raw["dynamodb"]["ApproximateCreationDateTime"] = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)

    assert parse(raw).captured_at == datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("eventID",), None, "eventID"),
        (("eventID",), "", "eventID"),
        (("eventName",), "TRUNCATE", "eventName"),
        (("eventName",), "EXPIRE", "eventName"),
        (("eventName",), ["INSERT"], "eventName"),
        (("dynamodb",), "text", "dynamodb"),
        (("dynamodb", "Keys"), None, "Keys"),
        (("dynamodb", "Keys"), [], "Keys"),
        (("dynamodb", "NewImage"), "text", "NewImage"),
        (("dynamodb", "OldImage"), 5, "OldImage"),
        (("dynamodb", "SequenceNumber"), 5, "SequenceNumber"),
        (("dynamodb", "SequenceNumber"), "five", "SequenceNumber"),
        (("dynamodb", "ApproximateCreationDateTime"), None, "ApproximateCreationDateTime"),
        (("dynamodb", "ApproximateCreationDateTime"), "yesterday", "ApproximateCreationDateTime"),
        (("dynamodb", "ApproximateCreationDateTime"), float("nan"), "ApproximateCreationDateTime"),
    ],
)
def test_a_malformed_record_is_refused_by_the_field(path: tuple[str, ...], value: Any, named: str) -> None:
    raw = stream_record(1, IMAGE)
    target = raw
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = value

    with pytest.raises(MalformedRecordError, match=named):
        parse(raw)


@pytest.mark.parametrize("raw", [None, "text", [], {}])
def test_what_is_no_record_at_all_is_refused(raw: Any) -> None:
    with pytest.raises(MalformedRecordError):
        parse(raw)


@pytest.mark.parametrize(
    ("number", "told"),
    [("3", [3]), ("-1", [-1]), ("9" * 38, [10**38 - 1]), ("1.5", []), ("1E+37", [])],
)
def test_a_version_is_told_where_it_is_a_whole_number(number: str, told: list[int]) -> None:
    assert versions({"dynamodb": {"Keys": {"version": {"N": number}}}}) == told
