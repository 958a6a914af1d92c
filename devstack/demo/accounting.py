"""Counts of events at each station, read from the table, the bucket, the shards, a queue and the read models.

Never from counters of our own: a counter can be wrong in the same way as the code that it counts.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from devstack.demo.traffic import User
from headwater.archive import bi_export, curated, reader
from headwater.archive.envelope import change_record
from headwater.archive.inventory import Names, sorted_out
from headwater.archive.objects import S3ObjectStore
from headwater.attribute_values import unmarshal_item
from headwater.change_stream.records import Operation
from headwater.notifications import change_notice, welcome_email
from headwater.projections.projection import Projection
from operations.mailbox import Mail

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

#: Events by aggregate type.
type Counts = Counter[str]

#: SQS ReceiveMessage gives at most ten messages.
_QUEUE_BATCH = 10


@dataclass(frozen=True, slots=True)
class Station:
    """Distinct events that one station holds, by aggregate type, and how many copies it holds beyond those.

    ``reads``: the aggregate types that are meant for it; None are all.
    """

    name: str
    events: Counts
    copies: int = 0
    reads: frozenset[str] | None = None


def log_items(dynamodb: "DynamoDBClient", table: str) -> list[dict[str, Any]]:
    """Every item of the events table, as DynamoDB has it."""
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return [dict(item) for page in pages for item in page["Items"]]


def appended(log: Iterable[Mapping[str, Any]]) -> Station:
    """Items of the events table."""
    return Station("appended", Counter(item["aggregate_type"]["S"] for item in log))


def archived(lines: Iterable[Mapping[str, Any]]) -> Station:
    """INSERT lines of the archive, once per stream event id."""
    return _distinct(
        "archived",
        ((line["stream_event_id"], line["aggregate_type"]) for line in lines if line.get("operation") == "INSERT"),
    )


def archive_lines(s3: "S3Client", bucket: str, source: str = "events") -> Iterator[dict[str, Any]]:
    """Every line of a source under ``raw/``, object by object; foreign objects are passed over.

    Raises
    ------
    UnreadableObjectError
        An object is damaged, and named: nothing can be said of an archive that has one.
    """
    objects = S3ObjectStore(s3, bucket)
    for each in sorted_out(objects.listed(curated.raw_prefix(source)), Names.RAW).own:
        try:
            yield from reader.lines(objects.get(each.key))
        except reader.UnreadableObjectError as error:
            raise reader.UnreadableObjectError(f"{each.key}: {error}") from error


def unlike_the_log(log: Iterable[Mapping[str, Any]], lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Where the archive's events are not the table's, in words: each item rebuilt from its line, to the last byte."""
    items = {_key(item): item for item in log}
    archive = {
        _key(record.new_image): record.new_image
        for record in map(change_record, lines)
        if record.operation is Operation.INSERT and record.new_image is not None
    }
    unlike = sorted(key for key in items.keys() | archive.keys() if items.get(key) != archive.get(key))
    if not unlike:
        return []
    return [f"{len(unlike)} events are not the same in the table and in the archive; the first is {unlike[0]}"]


def _key(item: Mapping[str, Any]) -> tuple[str, int]:
    return item["aggregate_id"]["S"], int(item["version"]["N"])


def on_kinesis(kinesis: "KinesisClient", stream: str) -> Station:
    """Records in all shards of the stream, from their beginning, once per event id."""
    return _distinct("on Kinesis", map(_identity, _shard_records(kinesis, stream)))


def _shard_records(kinesis: "KinesisClient", stream: str) -> Iterator[bytes]:
    for shard in kinesis.list_shards(StreamName=stream)["Shards"]:
        iterator: str | None = kinesis.get_shard_iterator(
            StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator:
            page = kinesis.get_records(ShardIterator=iterator, Limit=10_000)
            yield from (record["Data"] for record in page["Records"])
            if not page["Records"] and not page.get("MillisBehindLatest"):
                break
            iterator = page.get("NextShardIterator")


class TopicProbe:
    """A queue on the topic with no filter, to see what was published. Lives as long as the emulator."""

    def __init__(self, sns: "SNSClient", sqs: "SQSClient", topic: str) -> None:
        self._sqs = sqs
        self._queue = sqs.create_queue(QueueName="demo-probe", Attributes={"VisibilityTimeout": "600"})["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"]
        sns.subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=attributes["QueueArn"],
            Attributes={"RawMessageDelivery": "true"},
        )

    def station(self) -> Station:
        """Messages that the topic delivered since the probe began, once per event id. They are hidden afterwards."""
        with ThreadPoolExecutor(4) as drains:
            bodies = [body for drained in drains.map(lambda _: self._drain(), range(4)) for body in drained]
        return _distinct("on SNS", map(_identity, bodies))

    def _drain(self) -> list[str]:
        bodies: list[str] = []
        while messages := self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=_QUEUE_BATCH).get(
            "Messages"
        ):
            bodies += (message["Body"] for message in messages)
        return bodies


def applied(dynamodb: "DynamoDBClient", table: str, projections: Collection[Projection]) -> list[Station]:
    """What each read model has folded: the versions that its rows' gates have reached, tombstones' too."""
    counts: dict[str, Counts] = {projection.name: Counter() for projection in projections}
    for page in dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        for item in map(unmarshal_item, page["Items"]):
            # A read model that nobody asks about has rows too.
            events = counts.setdefault(item["pk"].partition("@")[0], Counter())
            for gate, version in item["applied"].items():
                events[gate.partition("#")[0]] += version
    return [Station(each.name, counts[each.name], reads=each.aggregate_types) for each in projections]


def differences(stations: Sequence[Station]) -> list[str]:
    """Where a station's counts are not the first one's, in words."""
    first = stations[0]
    return [
        f"{station.name} holds {station.events[kind]} events of {kind}, {first.name} {first.events[kind]}"
        for station in stations[1:]
        for kind in sorted(first.events | station.events)
        if station.reads is None or kind in station.reads
        if station.events[kind] != first.events[kind]
    ]


def _identity(body: bytes | str) -> tuple[str, str]:
    event: Mapping[str, Any] = orjson.loads(body)
    return event["id"], event["subject"].partition("#")[0]


def _distinct(name: str, events: Iterator[tuple[str, str]]) -> Station:
    seen: dict[str, str] = {}
    total = 0
    for event_id, kind in events:
        seen[event_id] = kind
        total += 1
    return Station(name, Counter(seen.values()), total - len(seen))


@dataclass(frozen=True, slots=True)
class Mails:
    """E-mails of one subject: those that the users' stories lead to, and those that were sent."""

    subject: str
    due: int
    sent: int


def exported(s3: "S3Client", bucket: str) -> Station:
    """Events in the export for dashboards."""
    seen: dict[str, str] = {}
    copies = 0
    objects = S3ObjectStore(s3, bucket)
    for each in sorted_out(objects.listed(bi_export.PREFIX), Names.EXPORTED).own:
        for line in map(orjson.loads, objects.get(each.key).splitlines()):
            copies += line["event_id"] in seen
            seen[line["event_id"]] = line["aggregate_type"]
    return Station("exported", Counter(seen.values()), copies)


def mails(people: Sequence[User], sent: Sequence[Mail]) -> tuple[list[Mails], list[str]]:
    """E-mails by subject, and what differs: one welcome a user, two a change of address, one a change of profile.

    A user who has left since may have gone without the last.
    """
    due: Counter[tuple[str, str]] = Counter()
    optional: Counter[tuple[str, str]] = Counter()
    for person in people:
        due[welcome_email.SUBJECT, person.email] += 1
        address = person.email
        leaves = any(request.method == "DELETE" for request in person.story)
        for request in person.story:
            match request.path.rpartition("/")[2], request.body:
                case "email", {"email": str(moved)}:
                    due[change_notice.ADDRESS_CHANGED, address] += 1
                    due[change_notice.ADDRESS_CHANGED, moved] += 1
                    address = moved
                case "profile", _:
                    (optional if leaves else due)[change_notice.PROFILE_CHANGED, ""] += 1
    # By then a user may have moved: a change of profile is told to the address of that moment.
    got = Counter((mail.subject, "" if mail.subject == change_notice.PROFILE_CHANGED else mail.to[0]) for mail in sent)
    differences = [
        f"{got[key]} e-mail(s) instead of {due[key]}: {key[0]}{f', to {key[1]}' if key[1] else ''}"
        for key in sorted(due.keys() | got.keys())
        if not due[key] <= got[key] <= due[key] + optional[key]
    ]
    subjects = dict.fromkeys(subject for subject, _ in due)
    return [
        Mails(
            subject,
            sum(count for key, count in due.items() if key[0] == subject),
            sum(count for key, count in got.items() if key[0] == subject),
        )
        for subject in subjects
    ], differences
