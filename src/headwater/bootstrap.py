"""The composition root: the only module that builds clients and adapters, each once a container."""

import os
from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from headwater.change_stream.claim_checks import S3ClaimStore
from headwater.event_store.dynamodb import DynamoDbEventStore
from headwater.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

#: Standard mode backs off with jitter and retries throttles, timeouts and 5xx; the read timeout leaves room for a
#: second try within the shortest function timeout. The pool fits the threads that publishers and projections use.
_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 4},
    connect_timeout=2,
    read_timeout=10,
    max_pool_connections=32,
    tcp_keepalive=True,
)


@cache
def settings() -> Settings:
    return Settings.from_environment(os.environ)


@cache
def _session() -> boto3.session.Session:
    return boto3.session.Session()


@cache
def dynamodb() -> "DynamoDBClient":
    client: DynamoDBClient = _session().client("dynamodb", config=_CONFIG)
    return client


@cache
def s3() -> "S3Client":
    client: S3Client = _session().client("s3", config=_CONFIG)
    return client


@cache
def event_store() -> DynamoDbEventStore:
    return DynamoDbEventStore(dynamodb(), settings().events_table)


@cache
def claim_store() -> S3ClaimStore:
    return S3ClaimStore(s3(), settings().archive_bucket)
