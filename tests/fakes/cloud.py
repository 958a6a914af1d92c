"""The simulator's cloud with the stack's resources. tests/contract/test_cloud_*.py hold it to moto."""

import random
from typing import TYPE_CHECKING, cast

from devstack.simulator.cloud import CallFaults, Cloud, Index
from headwater.projections.dynamodb import RANKINGS_INDEX

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient


class VirtualClock:
    """A clock that stands still until it is moved; epoch seconds."""

    def __init__(self, now: float = 1_772_366_400.25) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakeAws:
    """The clients of a cloud under boto3's types, with the tables of tests/fakes/tables.py and one of all else."""

    def __init__(self, faults: CallFaults | None = None, *, attempts: int = 1, seed: int = 1) -> None:
        self.clock = VirtualClock()
        self.cloud = Cloud(self.clock, faults, random.Random(seed), attempts=attempts)
        self.dynamodb = cast("DynamoDBClient", self.cloud.dynamodb)
        self.kinesis = cast("KinesisClient", self.cloud.kinesis)
        self.sns = cast("SNSClient", self.cloud.sns)
        self.sqs = cast("SQSClient", self.cloud.sqs)
        self.s3 = cast("S3Client", self.cloud.s3)
        self.sesv2 = cast("SESV2Client", self.cloud.sesv2)
        self.cloud.create_table("events", "aggregate_id", "version", stream=True)
        for name in ("credentials", "ledger", "preferences", "tracking"):
            self.cloud.create_table(name, "pk")
        self.cloud.create_table("applications", "pk", "sk", stream=True, range_type="S")
        self.cloud.create_table("read_models", "pk", indexes={RANKINGS_INDEX: Index("ranking", "ranked_by")})
        self.cloud.create_stream("events-stream")
        self.cloud.create_bucket("archive")
        self.topic = self.cloud.create_topic("events")
        self.queue = self.cloud.create_queue("probe")
        self.cloud.subscribe(self.topic, self.queue)
