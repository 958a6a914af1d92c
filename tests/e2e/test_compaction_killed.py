"""`headwater archive compact`, killed in the middle: the archive reads as before, and the day is to be had again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from devstack.emulator import NO_AWS_ACCOUNT, Emulator
from headwater.archive.archiver import Archiver
from headwater.archive.compaction import CLAIMED_FOR
from headwater.archive.objects import S3ObjectStore
from operations.archive.local_sql import LocalSql
from operations.archive.objects import BucketObjects
from operations.running import ACCESS_KEY, REGION, SECRET_KEY
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.stream_records import play_records

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).parents[2]
STACK = "warehouse"
DAY = "2026-03-01"
TEMPLATE = {
    "Resources": {"ArchiveBucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "archive"}}},
    "Outputs": {"ArchiveBucketName": {"Value": {"Ref": "ArchiveBucket"}}},
}
#: The operator's command, which stops for good at a call of the archive's objects, before or after it.
STOPPING = """
import sys, time
from pathlib import Path
from cli.main import main
from headwater.archive.s3_objects import S3ArchiveObjects

called, moment, marker = sys.argv.pop(1), sys.argv.pop(1), Path(sys.argv.pop(1))
call = getattr(S3ArchiveObjects, called)

def stopping(*arguments):
    if moment == "after":
        call(*arguments)
    marker.touch()
    time.sleep(600)

setattr(S3ArchiveObjects, called, stopping)
main()
"""


class Warehouse:
    """An archive in an emulator, and the operator's command on it."""

    def __init__(self, emulator: Emulator) -> None:
        session = boto3.Session(ACCESS_KEY, SECRET_KEY, region_name=REGION)
        self.s3: S3Client = session.client("s3", endpoint_url=emulator.endpoint)
        self._environment = {**os.environ, **NO_AWS_ACCOUNT, "AWS_ENDPOINT_URL": emulator.endpoint}
        cloudformation = session.client("cloudformation", endpoint_url=emulator.endpoint)
        cloudformation.create_stack(StackName=STACK, TemplateBody=json.dumps(TEMPLATE))
        cloudformation.get_waiter("stack_create_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1})
        archiver = Archiver(S3ObjectStore(self.s3, "archive"), RecordedIncidents())
        archiver.archive(play_records(1, 4))
        archiver.archive(play_records(3, 6))

    def started(self, code: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def compact(self, *options: str) -> tuple[int, str, str]:
        command = self.started("from cli.main import main; main()", "--stack", STACK, "archive", "compact", *options)
        out, error = command.communicate(timeout=120)
        return command.returncode, out, error

    def rows(self) -> list[tuple[Any, ...]]:
        with LocalSql(BucketObjects(self.s3, "archive")) as sql:
            rows = sorted(sql.query("SELECT version, payload FROM events_all").rows)
            assert sql.damaged == []
            return rows

    def compacted(self) -> list[tuple[Any, ...]]:
        with LocalSql(BucketObjects(self.s3, "archive")) as sql:
            return list(sql.query("SELECT dt, records FROM curated_days").rows)

    def claim(self) -> dict[str, str]:
        key = f"compaction-runs/source=events/dt={DAY}/claim.json"
        found: dict[str, str] = json.loads(self.s3.get_object(Bucket="archive", Key=key)["Body"].read())
        return found


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with Emulator(tmp_path, rehearses=True) as emulator:
        yield Warehouse(emulator)


@pytest.mark.parametrize(("called", "moment"), [("download", "before"), ("upload", "before"), ("upload", "after")])
def test_row_40_a_compaction_that_is_killed_leaves_the_day_as_it_was_and_can_be_taken_over(
    warehouse: Warehouse, tmp_path: Path, called: str, moment: str
) -> None:
    """FAULTS row 40."""
    before, marker = warehouse.rows(), tmp_path / "reached"
    assert [version for version, _ in before] == [1, 2, 3, 4, 5, 6]
    killed = warehouse.started(STOPPING, called, moment, str(marker), "--stack", STACK, "archive", "compact")
    deadline = time.monotonic() + 120
    while not marker.exists() and time.monotonic() < deadline:
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()

    assert (warehouse.rows(), warehouse.compacted()) == (before, [])
    # Its claim ends by itself, soon.
    assert datetime.fromisoformat(warehouse.claim()["until"]) < datetime.now(UTC) + CLAIMED_FOR + timedelta(minutes=1)

    code, _, error = warehouse.compact()
    assert code == 3
    assert f"events {DAY} stays as it is: events of {DAY} is being compacted by {warehouse.claim()['run']}" in error
    assert "--take-over takes it now" in error
    assert (warehouse.rows(), warehouse.compacted()) == (before, [])

    code, out, error = warehouse.compact("--take-over")
    assert (code, error) == (0, "")
    assert f"1 of 1: events {DAY}: 6 changes of 2 object(s)" in out
    assert (warehouse.rows(), warehouse.compacted()) == (before, [(DAY, 6)])
    assert "Nothing is due" in warehouse.compact()[1]
