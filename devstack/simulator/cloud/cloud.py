"""One account's worth of services in memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, Literal

from devstack.simulator.cloud.client import CallFaults, NoFaults, Surroundings
from devstack.simulator.cloud.dynamodb import DynamoDb, Index, Table, items_of
from devstack.simulator.cloud.dynamodbstreams import DynamoDbStreams
from devstack.simulator.cloud.items import Item
from devstack.simulator.cloud.kinesis import Kinesis
from devstack.simulator.cloud.lambda_ import Invoked, Lambda
from devstack.simulator.cloud.s3 import S3, Bucket
from devstack.simulator.cloud.sesv2 import SentEmail, SesV2
from devstack.simulator.cloud.shards import ShardLog
from devstack.simulator.cloud.sns import FilterPolicy, Sns, Topic
from devstack.simulator.cloud.sqs import RETENTION_SECONDS, Queue, Sqs
from operations.running import ACCOUNT_ID, REGION

type KeyType = Literal["S", "N", "B"]

DEFAULT_VISIBILITY_SECONDS: Final = 30


class Cloud:
    """Services in memory behind clients that look like boto3's.

    ``dynamodb``, ``dynamodbstreams``, ``kinesis``, ``sns``, ``sqs``, ``s3``, ``sesv2`` and ``lambda_`` are those
    clients; each call of theirs may meet a fault. Everything else here is the account's owner looking on or setting up,
    past all faults. What is random is drawn from ``rng`` alone, so that a seed repeats a run. Not safe to use from
    several threads.

    Parameters
    ----------
    clock
        Now, in epoch seconds.
    attempts
        How often the SDK tries a call that failed for a moment, as ``retries`` of botocore's Config in standard mode
        (without its pauses). SES has one try whatever is said here.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        faults: CallFaults | None = None,
        rng: random.Random | None = None,
        *,
        attempts: int = 1,
    ) -> None:
        surroundings = Surroundings(clock, faults or NoFaults(), rng or random.Random(0), attempts)  # noqa: S311
        self._surroundings = surroundings
        self.dynamodb = DynamoDb(surroundings)
        self.dynamodbstreams = DynamoDbStreams(
            surroundings, lambda: [table.log for table in self.dynamodb.tables.values() if table.log is not None]
        )
        self.kinesis = Kinesis(surroundings)
        self.sns = Sns(surroundings)
        self.sqs = Sqs(surroundings)
        self.s3 = S3(surroundings)
        self.sesv2 = SesV2(surroundings)
        self.lambda_ = Lambda(surroundings)

    def create_table(
        self,
        name: str,
        hash_key: str,
        range_key: str | None = None,
        stream: bool = False,
        *,
        shards: int = 1,
        hash_type: KeyType = "S",
        range_type: KeyType = "N",
        indexes: Mapping[str, Index] | None = None,
    ) -> None:
        """A table; with ``stream``, its changes are in `log`, with new and old images, in so many shards."""
        log = None
        if stream:
            label = datetime.fromtimestamp(self._surroundings.clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S.000")
            arn = f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{name}/stream/{label}"
            log = ShardLog(name, arn, "dynamodb", shards, self._surroundings.clock)
        keys = (hash_key, hash_type), None if range_key is None else (range_key, range_type)
        self.dynamodb.tables[name] = Table(name, *keys, log, len(self.dynamodb.tables), indexes=indexes or {})

    def create_stream(self, name: str, shards: int = 1) -> None:
        """A Kinesis stream."""
        arn = f"arn:aws:kinesis:{REGION}:{ACCOUNT_ID}:stream/{name}"
        self.kinesis.logs[name] = ShardLog(name, arn, "kinesis", shards, self._surroundings.clock)

    def create_bucket(self, name: str) -> None:
        self.s3.buckets[name] = Bucket(name)

    def create_topic(self, name: str) -> str:
        """A standard topic; gives its ARN."""
        arn = f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:{name}"
        self.sns.topics[arn] = Topic(arn)
        return arn

    def create_queue(
        self,
        name: str,
        visibility_timeout: float = DEFAULT_VISIBILITY_SECONDS,
        redrive: tuple[str, int] | None = None,
        *,
        retention: float = RETENTION_SECONDS,
    ) -> str:
        """A standard queue; gives its URL. ``redrive`` is a dead-letter queue and maxReceiveCount."""
        target = None if redrive is None else (self.queue(redrive[0]), redrive[1])
        queue = Queue(
            name, self._surroundings, visibility_timeout=visibility_timeout, redrive=target, retention=retention
        )
        self.sqs.queues[queue.url] = queue
        return queue.url

    def subscribe(
        self,
        topic_arn: str,
        queue_url: str,
        filter_policy: FilterPolicy | None = None,
        *,
        dead_letter_queue: str | None = None,
    ) -> None:
        """Raw delivery from a topic to a queue; the filter policy's scope is the message attributes."""
        dead_letters = None if dead_letter_queue is None else self.queue(dead_letter_queue)
        self.topic(topic_arn).subscribe(self.queue(queue_url), filter_policy, dead_letters)

    def create_function(self, name: str, invoked: Invoked) -> None:
        """A function that can be invoked by its name."""
        self.lambda_.functions[name] = invoked

    def create_email_identity(self, identity: str) -> None:
        """Verifies an address, or a domain, to send from: SES rejects the e-mails of others."""
        self.sesv2.identities.add(identity)

    def create_configuration_set(self, name: str) -> None:
        """A configuration set: SES refuses e-mails that name an unknown one."""
        self.sesv2.configuration_sets.add(name)

    def log(self, name: str) -> ShardLog:
        """A Kinesis stream, or the change stream of a table."""
        found = [self.kinesis.logs.get(name), self.dynamodb.tables[name].log if name in self.dynamodb.tables else None]
        logs = [log for log in found if log is not None]
        if len(logs) != 1:
            raise KeyError(f"{len(logs)} streams are named {name}")
        return logs[0]

    def table(self, name: str) -> Table:
        return self.dynamodb.tables[name]

    def items(self, name: str) -> Iterator[Item]:
        """Every item of a table as DynamoDB JSON, in no particular order."""
        return items_of(self.table(name))

    def expire(self, name: str, attribute: str = "expires_at") -> int:
        """What a table's TTL does: removes the items whose time has passed; gives their number."""
        return self.dynamodb.expire(name, attribute)

    def bucket(self, name: str) -> Bucket:
        return self.s3.buckets[name]

    def topic(self, arn: str) -> Topic:
        return self.sns.topics[arn]

    def objects(self, bucket: str) -> Mapping[str, bytes]:
        """A bucket's objects by key."""
        return {key: stored.body for key, stored in self.bucket(bucket).objects.items()}

    def queue(self, identifier: str) -> Queue:
        """A queue by its name, URL or ARN."""
        for queue in self.sqs.queues.values():
            if identifier in (queue.name, queue.url, queue.arn):
                return queue
        raise KeyError(f"there is no queue {identifier}")

    def queue_depth(self, identifier: str) -> int:
        """Messages on a queue, those in flight included."""
        return len(self.queue(identifier))

    @property
    def outbox(self) -> list[SentEmail]:
        """The e-mails that SES accepted, oldest first."""
        return self.sesv2.outbox
