"""Lag is taken from each event's own time of append, in each of the three shapes that a function gets."""

import base64
import json
from datetime import UTC, datetime, timedelta

from devstack.demo.lag import LagRecorder
from headwater.clock import timestamp


def test_lag_is_measured_from_the_append_in_each_shape() -> None:
    appended = timestamp(datetime.now(UTC) - timedelta(seconds=5))
    envelope = json.dumps({"time": appended})
    recorder = LagRecorder()

    image = {"aggregate_id": {"S": "user#1"}, "occurred_at": {"S": appended}}
    recorder.record("archiver", {"Records": [{"dynamodb": {"NewImage": image}}]})
    recorder.record("badges", {"Records": [{"kinesis": {"data": base64.b64encode(envelope.encode()).decode()}}]})
    recorder.record("welcome_email", {"Records": [{"body": envelope}, {"body": envelope}]})

    lags = {lag.consumer: lag for lag in recorder.lags()}
    assert set(lags) == {"archiver", "badges", "welcome_email"}
    assert lags["welcome_email"].events == 2
    assert all(4.9 < lag.p50 <= lag.p99 <= lag.longest < 60 for lag in lags.values())


def test_what_is_no_event_has_no_lag_here() -> None:
    """An action on an application, in the archiver's batch or in the Pipe's bare list."""
    action = {"dynamodb": {"NewImage": {"pk": {"S": "APPLICATION#1"}, "occurred_at": {"S": "2026-01-01T00:00:00Z"}}}}
    recorder = LagRecorder()

    recorder.record("archiver", {"Records": [action]})
    recorder.record("application_enrichment", [action])

    assert recorder.lags() == []


def test_a_removal_and_a_request_have_no_lag() -> None:
    recorder = LagRecorder()

    recorder.record("archiver", {"Records": [{"dynamodb": {"OldImage": {"occurred_at": {"S": "2026-01-01"}}}}]})
    recorder.record("http_api", {"rawPath": "/register"})

    assert recorder.lags() == []
