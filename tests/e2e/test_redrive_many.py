"""A thousand aggregates that one deployment too early has parked, and what it takes to redrive them."""

import time
from collections.abc import Iterator
from itertools import batched
from pathlib import Path

import pytest

from devstack.demo import poison
from devstack.stack import LocalStack
from headwater.domain.events import PlayCompleted, RecordedEvent
from headwater.event_store import codec
from headwater.ids import uuid7
from tests.e2e.stacks import templates_in
from tests.e2e.test_dead_letters import CALLS, IMPATIENT, command
from tests.fakes.events import AT

AGGREGATES = 1_000
#: For each: its history is read for the row and for the gate, its row read and written, its message taken off; and a
#: part of a call shows the other consumers' messages again, ten at once.
CALLS_EACH = 6
QUIET_SECONDS = 300


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStack]:
    folder = templates_in(tmp_path, IMPATIENT)
    with LocalStack(folder) as stack:
        monkeypatch.chdir(folder)
        yield stack


def append_newer(stack: LocalStack) -> None:
    """A play of a newer schema version for each of so many players."""
    client, table = stack.client("dynamodb"), stack.outputs["EventsTableName"]
    for players in batched(range(AGGREGATES), 25, strict=False):
        items = [
            codec.encode(
                RecordedEvent(
                    aggregate_id=f"player#{number:04d}",
                    version=1,
                    event_id=uuid7(),
                    type=PlayCompleted.__name__,
                    schema_version=PlayCompleted.schema_version + 1,
                    occurred_at=AT,
                    data={"game": "chess", "score": number, "played_at": AT},
                )
            )
            for number in players
        ]
        answer = client.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": item}} for item in items]})
        assert not answer["UnprocessedItems"]


@pytest.mark.slow
def test_a_thousand_parked_aggregates_are_redriven_by_a_few_calls_each(stack: LocalStack) -> None:
    append_newer(stack)
    stack.wait_until_quiet(QUIET_SECONDS)
    poison._learn()

    CALLS.clear()
    began = time.perf_counter()
    redriven = command("redrive", "--consumer", "fan_out")
    seconds = time.perf_counter() - began

    assert redriven.exit_code == 0, redriven.output[-2000:]
    # fan_out alone has judged them, and publishes them now.
    assert f"fan_out: {AGGREGATES} applied" in redriven.output
    print(f"{AGGREGATES} parked aggregates redriven in {seconds:.1f} s")  # noqa: T201
    assert len(CALLS["redrive"]) <= CALLS_EACH * AGGREGATES
