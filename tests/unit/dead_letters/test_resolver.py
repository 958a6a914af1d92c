"""From a pointer to parked records: what is kept, what is left out, and when the pointer's message is done."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from headwater.change_stream import dynamodb, kinesis
from headwater.change_stream.filters import FilterCriteria
from headwater.change_stream.source_kinds import StreamKind
from headwater.dead_letters.parked import ParkedRecords, SqsParkingLot, decode
from headwater.dead_letters.pointers import Pointer
from headwater.dead_letters.resolver import FROM_ARCHIVE, Gates, Resolver
from headwater.dead_letters.shards import Raw, RecordsGoneError
from headwater.domain.events import PlayCompleted, RecordedEvent
from tests.fakes.cloud import FakeAws
from tests.fakes.events import EVENT_TYPES, recorded
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.kinesis_records import InMemoryClaimStore, kinesis_batch, kinesis_record
from tests.fakes.pointers import from_lambda, from_pipe
from tests.fakes.stream_records import play_records

PLAY = PlayCompleted(game="chess", score=1, played_at="2026-03-01T12:00:00.000Z")


def play(player: str, version: int) -> RecordedEvent:
    return recorded(f"player#{player}", version, PLAY)


class Pages:
    """A shard or an archive that gives these records in pages of two; then it fails, if it is told to."""

    def __init__(self, records: Sequence[Any] = (), then: Exception | None = None) -> None:
        self.records_ = list(records)
        self.then = then
        self.asked: list[Pointer] = []
        self.told: list[Pointer] = []

    def parked(self, pointer: Pointer) -> None:
        self.told.append(pointer)

    def records(self, pointer: Pointer) -> Iterator[list[Raw]]:
        self.asked.append(pointer)
        for start in range(0, len(self.records_), 2):
            yield self.records_[start : start + 2]
        if self.then:
            raise self.then


class Lot:
    """A parking lot that refuses as often as it is told to, after it has taken the first message."""

    def __init__(self, refusals: int = 0) -> None:
        self.parked: list[ParkedRecords] = []
        self._refusals = refusals

    def park(self, parked: Iterable[ParkedRecords]) -> None:
        for each in parked:
            self.parked.append(each)
            if self._refusals:
                self._refusals -= 1
                raise ConnectionError("SendMessageBatch")


class Unresolved:
    def __init__(self) -> None:
        self.kept: list[tuple[str, str]] = []

    def keep(self, body: str, reason: str) -> None:
        self.kept.append((body, reason))


class Applied:
    """Gates that have applied these versions."""

    def __init__(self, *places: tuple[str, int]) -> None:
        self._places = set(places)

    def unapplied(self, records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        def place(raw: Mapping[str, Any]) -> tuple[str, int]:
            event = json.loads(kinesis.body(raw))
            return event["subject"], int(event["sequence"])

        return [raw for raw in records if place(raw) not in self._places]


class Scene:
    def __init__(
        self,
        shard: Pages,
        archive: Pages | None = None,
        *,
        lot: Any = None,
        gates: Mapping[str, Gates] | None = None,
        filters: Mapping[str, FilterCriteria] | None = None,
    ) -> None:
        self.shard, self.archive = shard, archive or Pages(then=LookupError("not in the archive"))
        self.lot, self.unresolved, self.incidents = lot or Lot(), Unresolved(), RecordedIncidents()
        self.resolver = Resolver(
            {"dynamodb": shard, "kinesis": shard},
            self.archive,
            self.lot,
            self.unresolved,
            self.incidents,
            types=EVENT_TYPES,
            gates=gates or {},
            filters=filters or {},
        )

    def failed(self, *bodies: Any) -> list[str]:
        """Resolves messages with these bodies, numbered from 1; gives those that are to come again."""
        messages = [
            {
                "messageId": str(number),
                "body": body if isinstance(body, str) else json.dumps(body),
                "attributes": {"ApproximateReceiveCount": "1"},
            }
            for number, body in enumerate(bodies, start=1)
        ]
        return [failure.identifier for failure in self.resolver.resolve(messages).failures]


def test_row_25_a_pointers_records_are_parked_by_aggregate_with_all_that_is_known() -> None:
    """FAULTS row 25."""
    records = kinesis_batch([play("ada", 1), play("bob", 7), play("ada", 2)])
    scene = Scene(Pages(records))

    assert scene.failed(from_lambda("kinesis", "1", "3", "LeaderboardFunction", records=3)) == []

    ada, bob = scene.lot.parked
    assert (ada.aggregate_id, ada.versions, bob.aggregate_id, bob.versions) == ("player#ada", [1, 2], "player#bob", [7])
    assert (ada.consumer, ada.reason, ada.error, ada.attempts) == (
        "leaderboard",
        "RetryAttemptsExhausted",
        "Unhandled",
        51,
    )
    assert ada.failed_at == "2026-03-01T12:00:30.717Z"
    assert ada.raw == [records[0], records[2]]
    assert [event["data"]["game"] for event in ada.parsed] == ["chess", "chess"]


def test_row_25_a_tables_records_are_parked_as_they_were_delivered() -> None:
    """FAULTS row 25."""
    records = play_records(1, 3)
    scene = Scene(Pages(records))

    assert scene.failed(from_pipe("dynamodb", "1", "3", records=3)) == []

    (parked,) = scene.lot.parked
    assert (parked.consumer, parked.aggregate_id, parked.versions) == ("tracker", "player#0199-a", [1, 2, 3])
    assert parked.raw == records


def test_row_20_what_cannot_be_read_is_parked_with_its_aggregate() -> None:
    """FAULTS row 20: the body tells nothing, the partition key does."""
    records = [*kinesis_batch([play("ada", 1)]), kinesis_record(play("ada", 2), 2, body=b"\xff no event")]
    scene = Scene(Pages(records))

    assert scene.failed(from_lambda("kinesis", "1", "2")) == []

    (parked,) = scene.lot.parked
    assert parked.versions == [1]
    assert parked.raw == records
    assert parked.parsed[1] is None


@pytest.mark.parametrize(
    "odd", [{"expires_at": {"S": "tomorrow"}}, {"version": {"N": "9" * 38}}, {"data": {"S": "\uffff"}}]
)
def test_row_20_one_odd_record_does_not_keep_a_batch_from_being_parked(odd: dict[str, Any]) -> None:
    """FAULTS row 20."""
    records = play_records(1, 3)
    records[1]["dynamodb"]["NewImage"] |= odd
    aws = FakeAws()
    url = aws.cloud.create_queue("parked")
    scene = Scene(Pages(records), lot=SqsParkingLot(aws.sqs, url, InMemoryClaimStore()))

    assert scene.failed(from_lambda("dynamodb", "1", "3", "FanOutFunction", records=3)) == []

    parked = decode(aws.sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"], InMemoryClaimStore())
    assert (parked.versions, parked.parsed[1]) == ([1, 3], None)
    assert parked.raw == records


def test_another_tables_item_has_no_version_whatever_its_attributes_are_called() -> None:
    (record,) = play_records(1, 1)
    keys = {"pk": {"S": "APPLICATION#1"}, "sk": {"S": "#ACTION#1"}}
    record["dynamodb"] |= {
        "Keys": keys,
        "NewImage": {**keys, "aggregate_id": {"S": "player#ada"}, "version": {"S": "x"}},
    }
    scene = Scene(Pages([record]))

    assert scene.failed(from_pipe("dynamodb", "1", "1")) == []
    assert scene.lot.parked[0].versions == []


def test_row_24_what_the_mappings_filter_had_dropped_is_dropped_again() -> None:
    """FAULTS row 24."""
    pattern = json.dumps({"data": {"type": ["PlayCompleted"], "subject": [{"prefix": "player#a"}]}})
    criteria = FilterCriteria.parse({"Filters": [{"Pattern": pattern}]}, "kinesis")
    assert criteria is not None
    records = kinesis_batch([play("ada", 1), play("bob", 1), play("abe", 1)])
    scene = Scene(Pages(records), filters={"badges": criteria})

    scene.failed(from_lambda("kinesis", "1", "3"), from_lambda("kinesis", "1", "3", "LeaderboardFunction"))

    by_consumer = [(parked.consumer, parked.aggregate_id) for parked in scene.lot.parked]
    assert by_consumer == [
        ("badges", "player#ada"),
        ("badges", "player#abe"),
        ("leaderboard", "player#ada"),
        ("leaderboard", "player#bob"),
        ("leaderboard", "player#abe"),
    ]


def test_row_24_what_the_consumer_has_applied_is_left_out() -> None:
    """FAULTS row 24: the range holds what had succeeded, too."""
    records = kinesis_batch([play("ada", 1), play("ada", 2), play("bob", 1)])
    scene = Scene(Pages(records), gates={"badges": Applied(("player#ada", 1), ("player#bob", 1))})

    assert scene.failed(from_lambda("kinesis", "1", "3")) == []

    assert [(parked.aggregate_id, parked.versions) for parked in scene.lot.parked] == [("player#ada", [2])]


def test_a_batch_that_was_applied_meanwhile_leaves_nothing_to_park() -> None:
    scene = Scene(Pages(kinesis_batch([play("ada", 1)])), gates={"badges": Applied(("player#ada", 1))})

    assert scene.failed(from_lambda("kinesis", "1", "1")) == []
    assert scene.lot.parked == []


def test_row_22_what_the_stream_has_forgotten_comes_from_the_archive_alone() -> None:
    """FAULTS row 22: not a page of the shard and then the same from the archive."""
    records = kinesis_batch([play("ada", 1), play("ada", 2), play("ada", 3)])
    scene = Scene(Pages(records[:2], RecordsGoneError("trimmed")), Pages(records))

    assert scene.failed(from_lambda("kinesis", "1", "3")) == []

    (parked,) = scene.lot.parked
    assert parked.versions == [1, 2, 3]


@pytest.mark.parametrize(("kind", "kept"), [("kinesis", [FROM_ARCHIVE]), ("dynamodb", [])])
def test_row_22_what_others_put_onto_kinesis_is_in_no_archive_and_the_pointer_tells(
    kind: StreamKind, kept: list[str]
) -> None:
    """FAULTS row 22: all of ours is parked, and a person hears that there may have been more."""
    records = kinesis_batch([play("ada", 1)])
    scene = Scene(Pages(then=RecordsGoneError("trimmed")), Pages(records))
    pointer = from_lambda(kind, "1", "3")

    assert scene.failed(pointer) == []

    assert len(scene.lot.parked) == 1
    assert [reason for _, reason in scene.unresolved.kept] == kept
    assert len(scene.archive.told) == len(kept)


def test_what_the_stream_still_has_leaves_no_pointer() -> None:
    scene = Scene(Pages(kinesis_batch([play("ada", 1)])))

    assert scene.failed(from_lambda("kinesis", "1", "1")) == []

    assert scene.unresolved.kept == []


def test_row_22_what_is_nowhere_comes_again_and_parks_nothing() -> None:
    """FAULTS row 22: the queue moves it on after some receives, for a person to see."""
    records = kinesis_batch([play("ada", 1), play("ada", 2)])
    scene = Scene(Pages(then=RecordsGoneError("trimmed")), Pages(records, LookupError("half of it")))

    assert scene.failed(from_lambda("kinesis", "1", "3"), from_lambda("kinesis", "4", "9")) == ["1", "2"]
    assert scene.lot.parked == []
    assert scene.archive.told == []


def test_row_23_a_message_is_done_only_when_all_its_records_are_parked() -> None:
    """FAULTS row 23: what was sent before it failed is sent again, which does no harm."""
    scene = Scene(Pages(kinesis_batch([play("ada", 1), play("bob", 1)])), lot=Lot(refusals=1))
    pointer = from_lambda("kinesis", "1", "2")

    assert scene.failed(pointer) == ["1"]
    assert scene.failed(pointer) == []

    assert [parked.aggregate_id for parked in scene.lot.parked] == ["player#ada", "player#ada", "player#bob"]


def test_one_pointer_that_fails_does_not_hold_up_the_next_one() -> None:
    class Once(Pages):
        def records(self, pointer: Pointer) -> Iterator[list[Raw]]:
            if pointer.first == "1":
                raise PermissionError("AccessDenied")
            return super().records(pointer)

    scene = Scene(Once(kinesis_batch([play("ada", 1)])))

    assert scene.failed(from_lambda("kinesis", "1", "1"), from_lambda("kinesis", "2", "2")) == ["1"]
    assert len(scene.lot.parked) == 1


@pytest.mark.parametrize("body", ["hello", "{}", json.dumps({"Records": [1, 2]})])
def test_row_25_an_unknown_shape_is_kept_as_it_is_counted_and_does_not_come_again(body: str) -> None:
    """FAULTS row 25."""
    scene = Scene(Pages())

    assert scene.failed(body) == []

    ((kept, reason),) = scene.unresolved.kept
    ((incident, facts),) = scene.incidents.reports
    assert kept == body
    assert (incident, facts["reason"], facts["message_id"]) == ("UnknownPointers", reason, "1")
    assert body not in str(facts)


def test_row_25_an_unknown_shape_that_cannot_be_kept_comes_again() -> None:
    """FAULTS row 25: not dropped."""
    scene = Scene(Pages())

    def refuse(body: str, reason: str) -> None:
        raise ConnectionError

    scene.unresolved.keep = refuse  # type: ignore[method-assign]

    assert scene.failed("hello") == ["1"]
    assert scene.incidents.reports == []


def test_a_record_without_keys_is_nobodys_and_is_parked_all_the_same() -> None:
    (record,) = play_records(1, 1)
    del record["dynamodb"]["Keys"]
    scene = Scene(Pages([record]))

    assert scene.failed(from_lambda("dynamodb", "1", "1", "FanOutFunction")) == []
    assert [parked.aggregate_id for parked in scene.lot.parked] == [""]
    assert dynamodb.aggregate_id(record) == ""
