"""Resolves one pointer to many records, each of another aggregate, and prints what it took (see test_dead_letters)."""

import json
import os
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from headwater import bootstrap
from headwater.domain.events import PlayCompleted
from tests.fakes.cloud import FakeAws
from tests.fakes.events import recorded
from tests.fakes.kinesis_records import outgoing
from tests.fakes.pointers import from_lambda
from tests.integration.stream_functions import SETTINGS


def main(count: int) -> None:
    aws = FakeAws()
    queue = aws.cloud.create_queue("parked")
    os.environ.update(
        {
            **SETTINGS,
            "READ_MODELS_TABLE": "read_models",
            "PARKED_RECORDS_QUEUE": queue,
            "POWERTOOLS_METRICS_NAMESPACE": "x",
        }
    )
    clients: dict[str, Any] = {
        name: getattr(aws.cloud, name) for name in ("dynamodb", "dynamodbstreams", "kinesis", "s3", "sqs")
    }
    for name, client in clients.items():
        setattr(bootstrap, name, lambda client=client: client)
    entries = []
    for number in range(count):
        play = PlayCompleted(game="chess", score=number, played_at="2026-03-01T12:00:00.000Z")
        event = recorded(f"player#{number:08d}", 1, play)
        entries.append({"PartitionKey": event.aggregate_id, "Data": outgoing(event).body})
    numbers = []
    for start in range(0, count, 500):
        answer = aws.cloud.kinesis.put_records(StreamName="events-stream", Records=entries[start : start + 500])
        numbers += [result["SequenceNumber"] for result in answer["Records"]]
    del entries
    log = aws.cloud.log("events-stream")
    pointer = from_lambda(
        "kinesis", numbers[0], numbers[-1], records=count, shard_id=log.shards[0].id, stream_arn=log.arn
    )
    # Late, as at a cold start: it builds on what was just put in place.
    from headwater.functions import consumers

    message = {
        "messageId": "1",
        "body": json.dumps(pointer),
        "attributes": {"ApproximateReceiveCount": "1"},
    }
    began, before = time.perf_counter(), _peak_kib()
    answer = consumers.dead_letters({"Records": [message]}, SimpleNamespace(aws_request_id="1"))
    report = {
        "answer": answer,
        "parked": aws.cloud.queue_depth(queue),
        "seconds": round(time.perf_counter() - began, 2),
        "peak_mib": _peak_kib() // 1024,
        "before_mib": before // 1024,
    }
    print(json.dumps(report))  # noqa: T201


def _peak_kib() -> int:
    """What this program took at most. Linux's ru_maxrss begins with what the process that started it had."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # bytes on macOS


if __name__ == "__main__":
    main(int(sys.argv[1]))
