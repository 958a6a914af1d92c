"""What people are shown of a parked record: never the reason why it could not be parked."""

import json
from typing import Any

import pytest

from headwater.change_stream import kinesis
from headwater.change_stream.source_kinds import StreamKind
from headwater.dead_letters.parked import SqsParkingLot, decode
from headwater.dead_letters.parking import item_of, parsed
from tests.fakes.cloud import FakeAws
from tests.fakes.events import EVENT_TYPES
from tests.fakes.kinesis_records import InMemoryClaimStore, kinesis_record
from tests.fakes.parking_lot import InMemoryParkingLot, parking
from tests.fakes.stream_records import play_image, stream_record
from tests.unit.projections.test_runner import plays


def of_table(**odd: Any) -> dict[str, Any]:
    return stream_record(1, play_image(1) | odd)


def of_other_table(**odd: Any) -> dict[str, Any]:
    keys = {"pk": {"S": "APPLICATION#1"}, "sk": {"S": "#ACTION#1"}}
    record = stream_record(1, keys | odd)
    record["dynamodb"]["Keys"] = keys
    return record


def of_stream(**odd: Any) -> dict[str, Any]:
    record = kinesis_record(plays(1)[0], 1)
    return kinesis_record(plays(1)[0], 1, body=json.dumps(json.loads(kinesis.body(record)) | odd).encode())


ODD: dict[str, tuple[StreamKind, dict[str, Any]]] = {
    "expires at no time": ("dynamodb", of_table(expires_at={"S": "tomorrow"})),
    "expires at a list": ("dynamodb", of_table(expires_at={"L": []})),
    "version of 20 digits": ("dynamodb", of_table(version={"N": "9" * 20})),
    "image of texts": ("dynamodb", of_table(event_id="x")),
    "no number": ("dynamodb", of_other_table(amount={"N": "x"})),
    "nested deeply": ("dynamodb", of_table(data={"S": '{"a":' * 300 + "1" + "}" * 300})),
    "nested a little too deeply": ("dynamodb", of_table(data={"S": '{"a":' * 252 + "1" + "}" * 252})),
    "sequence of 25 digits": ("kinesis", of_stream(sequence="1" * 25)),
    "no table's record": ("dynamodb", {"dynamodb": {"Keys": {"aggregate_id": None}}}),
}


@pytest.mark.parametrize(("kind", "record"), ODD.values(), ids=ODD.keys())
def test_what_cannot_be_read_is_shown_as_nothing_and_parked(kind: StreamKind, record: dict[str, Any]) -> None:
    aws = FakeAws()
    url = aws.cloud.create_queue("parked")

    parking(SqsParkingLot(aws.sqs, url, InMemoryClaimStore()), kind=kind).park(
        "player#u1", [], [record], ValueError("odd")
    )

    assert parsed(kind, record, EVENT_TYPES) is None
    assert aws.cloud.queue_depth(url) == 1


@pytest.mark.parametrize("kind", ["dynamodb", "kinesis"])
def test_row_20_what_newer_code_wrote_is_shown_as_it_stands(kind: StreamKind) -> None:
    """FAULTS row 20."""
    record = (
        of_table(schema_version={"N": "2"})
        if kind == "dynamodb"
        else of_stream(dataschema="urn:headwater:schema:PlayCompleted:2")
    )

    shown = parsed(kind, record, EVENT_TYPES)

    assert shown is not None
    assert (shown["aggregate_id"].partition("#")[0], shown["version"], shown["type"]) == ("player", 1, "PlayCompleted")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"N": "9" * 38}, "9" * 38),
        ({"N": "-9223372036854775809"}, "-9223372036854775809"),
        ({"N": "9223372036854775807"}, 9223372036854775807),
        ({"M": {"x": {"L": [{"N": "9" * 20}]}}}, {"x": ["9" * 20]}),
        ({"NS": ["2", "9" * 38, "1"]}, [1, 2, "9" * 38]),
        ({"N": "1.5"}, "1.5"),
    ],
)
def test_row_17_numbers_that_no_json_reader_holds_are_parked_as_text(value: Any, shown: Any) -> None:
    """FAULTS row 17: of 38 digits."""
    aws, claims = FakeAws(), InMemoryClaimStore()
    url = aws.cloud.create_queue("parked")
    record = of_other_table(amount=value)

    parking(SqsParkingLot(aws.sqs, url, claims)).park("APPLICATION#1", [], [record], ValueError("x"))

    (message,) = aws.sqs.receive_message(QueueUrl=url)["Messages"]
    assert decode(message["Body"], claims).raw == [record]
    assert parsed("dynamodb", record, EVENT_TYPES) == item_of(record)
    assert (item_of(record) or {})["amount"] == shown
    assert json.loads(json.dumps(shown)) == shown


@pytest.mark.parametrize("version", [2**63, 2**64, 10**37, -(10**37)])
def test_a_version_that_no_json_reader_holds_keeps_no_record_from_being_parked(version: int) -> None:
    """DynamoDB takes 38 digits; the record itself still has them."""
    aws, claims = FakeAws(), InMemoryClaimStore()
    url = aws.cloud.create_queue("parked")
    record = of_table(version={"N": str(version)})

    parking(SqsParkingLot(aws.sqs, url, claims)).park("player#u1", [1, version], [record], ValueError("odd"))

    (message,) = aws.sqs.receive_message(QueueUrl=url)["Messages"]
    letter = decode(message["Body"], claims)
    assert (letter.versions, letter.raw) == ([1], [record])


def test_what_is_set_aside_waits_apart_as_unforeseen_with_what_it_met() -> None:
    lot, aside = InMemoryParkingLot(), InMemoryParkingLot()
    record = kinesis_record(plays(1)[0], 1)

    parking(lot, aside=aside).set_aside("player#u1", [1], [record], KeyError("game"))

    assert lot.parked == []
    (run,) = aside.parked
    assert (run.consumer, run.aggregate_id, run.versions, run.raw) == ("tests", "player#u1", [1], [record])
    assert (run.reason, run.error) == ("unforeseen", "KeyError: 'game'")
