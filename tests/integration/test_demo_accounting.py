"""The demo's comparison of the archive with the log, over a table and a bucket."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from devstack.demo.accounting import archive_lines, log_items, unlike_the_log
from headwater.archive.archiver import Archiver
from headwater.archive.objects import S3ObjectStore
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.moto import mock_aws
from tests.fakes.stream_records import play_image, stream_record
from tests.fakes.tables import create_tables

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

IMAGES = [play_image(version, event_id=f"event-{version}") for version in (1, 2, 3)]


class World:
    def __init__(self) -> None:
        self.dynamodb: DynamoDBClient = boto3.client("dynamodb", region_name="us-east-1")
        self.s3: S3Client = boto3.client("s3", region_name="us-east-1")
        self.s3.create_bucket(Bucket="archive")
        create_tables(self.dynamodb)

    def append(self, *images: dict[str, Any]) -> None:
        for image in images:
            self.dynamodb.put_item(TableName="events", Item=image)

    def archive(self, *images: dict[str, Any]) -> None:
        records = [stream_record(number, image) for number, image in enumerate(images, start=1)]
        Archiver(S3ObjectStore(self.s3, "archive"), RecordedIncidents()).archive(records)

    def unlike(self) -> list[str]:
        return unlike_the_log(log_items(self.dynamodb, "events"), archive_lines(self.s3, "archive"))


@pytest.fixture
def world() -> Iterator[World]:
    with mock_aws():
        yield World()


def test_an_archive_that_is_the_log_is_like_it(world: World) -> None:
    world.append(*IMAGES)
    world.archive(*IMAGES, IMAGES[0])

    assert world.unlike() == []


def test_what_is_in_one_alone_or_another_there_is_told(world: World) -> None:
    changed = IMAGES[1] | {"data": {"S": '{"game":"chess"}'}}
    world.append(IMAGES[0], IMAGES[1])
    world.archive(changed, IMAGES[2])

    assert world.unlike() == [
        "3 events are not the same in the table and in the archive; the first is ('player#0199-a', 1)"
    ]
