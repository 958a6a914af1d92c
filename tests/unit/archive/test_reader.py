"""Reading objects back."""

import pytest
from backports import zstd

from headwater.archive.envelope import UnreadableRecordError, line, text
from headwater.archive.reader import UnreadableObjectError, change_records, lines
from headwater.change_stream.dynamodb import parse
from tests.fakes.stream_records import play_image, play_records, stream_record


def test_an_object_gives_its_records_in_order() -> None:
    raws = play_records(1, 3)
    body = zstd.compress(text(map(line, raws)))

    assert list(change_records(body)) == [parse(raw) for raw in raws]


def test_only_a_newline_ends_a_line() -> None:
    raw = stream_record(1, play_image() | {"data": {"S": "a\u2028b\u0085c\r\nd"}})

    (record,) = change_records(zstd.compress(text([line(raw)])))

    assert record == parse(raw)


def test_an_unreadable_record_is_told_with_its_raw_form() -> None:
    body = zstd.compress(text([line({"eventID": "e-1"})]))

    with pytest.raises(UnreadableRecordError, match="e-1") as caught:
        list(change_records(body))
    assert caught.value.raw_record == {"eventID": "e-1"}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"plain text", "not Zstandard"),
        (zstd.compress(b'{"stream_event_id":"1"}\n{'), "line 2"),
        (zstd.compress(b"[]"), "line 1"),
    ],
)
def test_an_object_that_the_archiver_did_not_write_is_refused(body: bytes, named: str) -> None:
    with pytest.raises(UnreadableObjectError, match=named):
        list(lines(body))
