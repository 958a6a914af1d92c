"""A stream function in a test: settings, tables and bucket in moto, its handler, its fixture, its rows."""

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headwater import bootstrap
from headwater.attribute_values import unmarshal_item
from headwater.functions import consumers
from tests.fakes.moto import mock_aws
from tests.fakes.tables import create_tables

EVENTS = Path(__file__).parents[2] / "events"
USER = "019930c2-6d1e-7a40-9c35-5be0f1a2c3d4"
SETTINGS = {
    "EVENTS_TABLE": "events",
    "CREDENTIALS_TABLE": "credentials",
    "READ_MODELS_TABLE": "read_models",
    "LEDGER_TABLE": "ledger",
    "PREFERENCES_TABLE": "preferences",
    "ARCHIVE_BUCKET": "archive",
    "EVENTS_STREAM": "events",
    "EVENTS_TOPIC": "arn:aws:sns:eu-west-1:123456789012:events",
    "SENDER_ADDRESS": "headwater@example.org",
    "EMAIL_CONFIGURATION_SET": "headwater",
    "APPLICATION": "arcade.app",
    "ON_UNCONFIRMED_EMAIL": "hold",
    "PARKED_RECORDS_QUEUE": "https://sqs.eu-west-1.amazonaws.com/123456789012/parked-records",
    "SET_ASIDE_QUEUE": "https://sqs.eu-west-1.amazonaws.com/123456789012/set-aside",
    "UNRESOLVED_POINTERS_QUEUE": "https://sqs.eu-west-1.amazonaws.com/123456789012/unresolved-pointers",
    "FAILED_BATCHES_BUCKET": "failed-batches",
    "APPLICATIONS_TABLE": "applications",
    "APPLICATION_PROCESS": "arn:aws:states:eu-west-1:123456789012:stateMachine:process",
    "APPLICATION_INBOX_QUEUE": "https://sqs.eu-west-1.amazonaws.com/123456789012/inbox",
    "APPLICATION_TARGET_FUNCTION": "headwater-ApplicationTargetFunction",
    "TRACKING_TABLE": "tracking",
}

type Invoke = Callable[[Mapping[str, Any]], dict[str, Any]]


def fixture(function: str) -> Any:
    return json.loads((EVENTS / f"{function}.json").read_text())


def clear_bootstrap() -> None:
    for member in vars(bootstrap).values():
        if hasattr(member, "cache_clear"):
            member.cache_clear()


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    clear_bootstrap()
    with mock_aws():
        create_tables(bootstrap.dynamodb())
        bootstrap.s3().create_bucket(Bucket="archive", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield
    clear_bootstrap()


def handler(function: str) -> Invoke:
    """The function's handler from a cold start, so that it is built against this test's stack."""
    module = f"headwater.functions.{function}"
    if importlib.util.find_spec(module):
        built = importlib.reload(importlib.import_module(module)).handler
    else:
        built = getattr(consumers, function)
    context = SimpleNamespace(aws_request_id="request-1")
    return lambda event: built(event, context)


def item(pk: str) -> dict[str, Any]:
    stored = bootstrap.dynamodb().get_item(TableName="read_models", Key={"pk": {"S": pk}}, ConsistentRead=True)
    return unmarshal_item(stored["Item"])
