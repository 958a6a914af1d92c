"""Records of the Kinesis stream."""

import base64
from typing import Any

import pytest

from headwater.change_stream import kinesis
from headwater.change_stream.records import MalformedRecordError


def raw(data: Any, number: Any = "49590338271490256608559692538361571095921575989136588898") -> dict[str, Any]:
    return {"kinesis": {"partitionKey": "player#0199-a", "sequenceNumber": number, "data": data}}


def test_the_data_comes_out_of_its_base64() -> None:
    record = raw(base64.b64encode("🂡 {}".encode()).decode())

    assert kinesis.body(record) == "🂡 {}".encode()
    assert kinesis.sequence_number(record) == "49590338271490256608559692538361571095921575989136588898"


@pytest.mark.parametrize(
    "record", [raw("not base64!"), raw("YWJj\n"), raw("YWJ"), raw("é"), raw(None), {"kinesis": None}, {}, None]
)
def test_data_that_cannot_be_read_is_refused(record: Any) -> None:
    with pytest.raises(MalformedRecordError):
        kinesis.body(record)


@pytest.mark.parametrize("record", [{"kinesis": {}}, {}, None])
def test_a_record_without_a_number_is_refused(record: Any) -> None:
    with pytest.raises(MalformedRecordError):
        kinesis.sequence_number(record)
