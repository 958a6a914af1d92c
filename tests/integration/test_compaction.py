"""The nightly compaction: its state machine as written, with the function's own code on moto's S3.

An interpreter of the states language (the emulator's) runs the definition. What it calls are the function's handler and
an Athena that answers from the same archive with DuckDB, UNLOAD included.
"""

import importlib
import json
import re
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import boto3
import orjson
import pytest
from backports import zstd
from ministack.services import stepfunctions

from devstack.template import Template
from headwater import bootstrap
from headwater.archive import curated
from headwater.archive.inventory import Names
from operations.archive.local_sql import LocalSql
from operations.archive.objects import BucketObjects
from tests.fakes import duckdb_engine
from tests.infrastructure.expansion import PROJECT
from tests.infrastructure.iam import Call, calls_of, denied
from tests.integration.stream_functions import fixture, stack

__all__ = ["stack"]

DAYS = ("2026-03-01", "2026-03-02", "2026-03-03")
#: Of Step Functions: "Maximum input or output size for a task, state, or execution", and ExecutionFailedEventDetails.
STATE_BYTES, CAUSE_CHARACTERS = 262_144, 32_768
UNLOAD = re.compile(r"UNLOAD \((?P<sql>.*)\) TO 's3://archive/(?P<run>.*)' WITH \(.*\)", re.DOTALL)


class Tasks:
    """What the state machine calls: the function, and Athena on DuckDB. ``failing`` takes a call by its step or SQL."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.calls: set[Call] = set()
        sys.modules.pop("headwater.functions.compaction", None)
        with pytest.MonkeyPatch.context() as patch:
            # A client of the function's own: its calls are noted.
            client = boto3.client("s3", region_name="eu-west-1")
            client.meta.events.register("provide-client-params.s3", self._note)
            patch.setattr(bootstrap, "s3", lambda: client)
            module = importlib.import_module("headwater.functions.compaction")
        self.module = module
        self.handler: Callable[..., dict[str, Any]] = module.handler
        self.answers: dict[str, list[tuple[Any, ...]]] = {}
        self.steps: list[str] = []
        self.failing: Callable[[str], Exception | None] = lambda _step: None

    def __call__(self, resource: str, given: Mapping[str, Any], _timeout: float = 0) -> dict[str, Any]:
        service, _, action = resource.removeprefix("arn:aws:states:::").partition(":")
        step = given["Payload"]["step"] if service == "lambda" else action
        self.steps.append(step)
        assert len(orjson.dumps(given)) <= STATE_BYTES
        if (error := self.failing(step)) is not None:
            raise stepfunctions._ExecutionError(type(error).__name__, str(error))
        if service == "lambda":
            assert given["FunctionName"] == "the function's ARN"
            try:
                return {"Payload": self.handler(orjson.loads(orjson.dumps(given["Payload"])), None)}
            except Exception as error:
                # As Lambda tells Step Functions of it.
                cause = {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": ["..."]}
                raise stepfunctions._ExecutionError(type(error).__name__, json.dumps(cause)) from error
        if action == "startQueryExecution.sync":
            assert (given["WorkGroup"], given["QueryExecutionContext"]) == (
                "the workgroup",
                {"Database": "the database"},
            )
            return {"QueryExecution": {"QueryExecutionId": self._query(given["QueryString"])}}
        assert action == "getQueryResults"
        rows = self.answers[given["QueryExecutionId"]]
        return {
            "ResultSet": {"Rows": [{"Data": [{"VarCharValue": str(value)} for value in row]} for row in rows]},
        }

    def _note(self, params: Mapping[str, Any], model: Any, **_: Any) -> None:
        self.calls.update(calls_of("CompactionFunction", "s3", model.name, params))

    def _query(self, sql: str) -> str:
        name = str(uuid.uuid4())
        unload = UNLOAD.fullmatch(sql)
        with LocalSql(BucketObjects(bootstrap.s3(), "archive")) as local:
            answer = local.query(unload["sql"] if unload else sql)
            # It is asked about whole days alone.
            assert not [each for each in local.damaged if quoted_day(each.key) in sql]
        if unload:
            assert _keys(unload["run"]) == [], "UNLOAD wants an empty prefix"
            self._write(unload["run"], answer.rows)
            self.answers[name] = []
        else:
            self.answers[name] = [tuple(answer.columns), *answer.rows]
        return name

    def _write(self, run: str, rows: Any) -> None:
        """Two objects, as Athena writes several."""
        kinds = {"string": "VARCHAR", "bigint": "BIGINT", "int": "INTEGER"}
        columns = ", ".join(f"{name} {kinds[kind]}" for name, kind in curated.ROW.items())
        middle = len(rows) // 2
        for number, part in enumerate((rows[:middle], rows[middle:])):
            # Days are unloaded side by side.
            path = self._folder / f"{run.replace('/', '-')}{number}"
            with duckdb_engine.engine() as engine:
                engine.execute(f"CREATE TABLE part ({columns})")
                for row in part:
                    engine.execute(f"INSERT INTO part VALUES ({', '.join('?' * len(curated.ROW))})", row)
                engine.execute(f"COPY part TO '{path}' (FORMAT parquet)")
            bootstrap.s3().put_object(Bucket="archive", Key=f"{run}{number}_of_athena", Body=path.read_bytes())


@pytest.fixture
def tasks(stack: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Tasks]:
    bootstrap.s3().create_bucket(Bucket="failed-batches", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    found = Tasks(tmp_path)
    monkeypatch.setattr(stepfunctions, "_invoke_resource_with_timeout", found)
    monkeypatch.setattr(stepfunctions, "_scaled_sleep", lambda _seconds: None)
    yield found
    sys.modules.pop("headwater.functions.compaction", None)


def run(given: Mapping[str, Any]) -> dict[str, Any]:
    """Runs the definition to its end; answers what DescribeExecution does."""
    definition = (PROJECT / "statemachines" / "compaction.asl.json").read_text("utf-8")
    substituted = {
        "Partition": "aws",
        "CompactionFunctionArn": "the function's ARN",
        "Database": "the database",
        "WorkGroup": "the workgroup",
    }
    for name, value in substituted.items():
        definition = definition.replace(f"${{{name}}}", value)
    assert "${" not in definition
    name = f"compaction-{time.monotonic_ns()}"
    machine = {"name": name, "definition": definition, "roleArn": "arn:aws:iam::123456789012:role/x"}
    created = orjson.loads(stepfunctions._create_state_machine(machine)[2])
    started = orjson.loads(
        stepfunctions._start_execution(
            {"stateMachineArn": created["stateMachineArn"], "input": json.dumps(given), "name": "night"}
        )[2]
    )
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        told: dict[str, Any] = orjson.loads(stepfunctions._describe_execution(started)[2])
        if told["status"] != "RUNNING":
            return told
        time.sleep(0.02)
    raise AssertionError(f"still running: {told}")


def archived(day: str, name: str, *lines: Mapping[str, Any]) -> None:
    body = b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
    key = f"raw/source=events/dt={day}/{name}.jsonl.zst"
    bootstrap.s3().put_object(Bucket="archive", Key=key, Body=zstd.compress(body))


def line(number: int, day: str, **columns: Any) -> dict[str, Any]:
    return {
        "stream_event_id": f"{day}-{number:03d}",
        "sequence_number": str(number),
        "captured_at": f"{day}T12:00:00.000Z",
        "operation": "INSERT",
        "aggregate_id": f"player#{number % 3}",
        "version": number,
        "type": "PlayCompleted" if number % 4 else "BadgeEarned",
        "schema_version": 1,
        "payload": json.dumps({"game": "chess", "score": 40 + number, "badge": None, "user_id": ["no", "text"]}),
        **columns,
    }


def fill() -> None:
    """Three days, of which each has lines that were delivered twice."""
    for day in DAYS:
        archived(day, "0001-a", *(line(number, day) for number in range(1, 9)))
        archived(day, "0005-b", *(line(number, day) for number in range(5, 13)))


def _keys(prefix: str) -> list[str]:
    found = bootstrap.s3().list_objects_v2(Bucket="archive", Prefix=prefix).get("Contents", [])
    return [each["Key"] for each in found]


def quoted_day(key: str) -> str:
    """The day of a raw object, as SQL has it."""
    return f"'{Names.RAW.day(key)}'"


def rows(sql: str = "SELECT * FROM events_all") -> list[tuple[Any, ...]]:
    with LocalSql(BucketObjects(bootstrap.s3(), "archive")) as local:
        return sorted(local.query(sql).rows, key=repr)


def published_list() -> list[tuple[str, int]]:
    """The published list itself, whatever can be read of the archive."""
    found = bootstrap.s3().get_object(Bucket="archive", Key="curated-days/events-2026-03.jsonl")["Body"].read()
    return [(line["dt"], line["records"]) for line in map(orjson.loads, found.splitlines())]


def published() -> dict[str, int]:
    return dict(rows("SELECT dt, records FROM curated_days"))


def all_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.archive.compaction.LARGE_DAY", 0)


def test_each_closed_day_is_compacted_and_reads_as_before(tasks: Tasks) -> None:
    fill()
    before = rows()

    assert run({})["status"] == "SUCCEEDED"

    assert published() == dict.fromkeys(DAYS, 12)
    assert _keys("curated/") == [curated.key("events", day) for day in DAYS]
    assert rows() == before
    assert len(before) == 36
    tasks.steps.clear()
    assert run({})["status"] == "SUCCEEDED"
    assert tasks.steps == ["find", "conclude"], "nothing is due any more"


def test_a_large_day_is_unloaded_and_holds_the_rows_that_the_function_would_write(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill()
    before = rows()
    run({})
    by_function = rows("SELECT * FROM events")
    all_large(monkeypatch)

    assert run({"again": True})["status"] == "SUCCEEDED"

    assert published() == dict.fromkeys(DAYS, 12)
    assert _keys("curated/") == [curated.key("events", day, number) for day in DAYS for number in (1, 2)]
    assert rows("SELECT * FROM events") == by_function
    assert rows() == before
    assert {key.rsplit("/", 1)[1] for key in _keys("compaction-runs/")} == {"claim.json"}


@pytest.mark.parametrize("large", [False, True], ids=["in the function", "in Athena"])
def test_a_day_with_a_damaged_object_is_named_and_the_others_are_compacted(
    large: bool, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill()
    damaged = f"raw/source=events/dt={DAYS[1]}/0001-a.jsonl.zst"
    body = bootstrap.s3().get_object(Bucket="archive", Key=damaged)["Body"].read()
    bootstrap.s3().put_object(Bucket="archive", Key=damaged, Body=body[:-1])
    if large:
        all_large(monkeypatch)

    told = run({})

    assert (told["status"], told["error"]) == ("FAILED", "DaysLeftError")
    assert json.loads(told["cause"])["errorMessage"].startswith(
        "1 of 3 day(s) and 0 month(s) were not compacted. "
        f"events of {DAYS[1]}: 1 of 2 object(s) are damaged: {damaged}: "
    )
    assert "0005-b" not in told["cause"]
    assert dict(published_list()) == {DAYS[0]: 12, DAYS[2]: 12}


def test_foreign_objects_are_passed_over_counted_and_named_once(
    tasks: Tasks, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    fill()
    for name in ("", "notes.txt", "sub folder/0001-a.jsonl.zst"):
        bootstrap.s3().put_object(Bucket="archive", Key=f"raw/source=events/dt={DAYS[1]}/{name}", Body=b"")

    assert run({})["status"] == "SUCCEEDED"

    assert published() == dict.fromkeys(DAYS, 12)
    (log,) = (record for record in caplog.records if getattr(record, "incident", "") == "ForeignObjects")
    assert getattr(log, "objects") == "3"  # noqa: B009  # a record's extras have no types
    assert f"dt={DAYS[1]}/notes.txt" in getattr(log, "named")  # noqa: B009
    metrics = [json.loads(each) for each in capsys.readouterr().out.splitlines() if '"_aws"' in each]
    assert [each["ForeignObjects"] for each in metrics if "ForeignObjects" in each] == [[1.0]]


def test_batches_that_the_archiver_gave_up_are_told_each_night_until_they_are_gone(
    tasks: Tasks, caplog: pytest.LogCaptureFixture
) -> None:
    fill()
    key = "aws/lambda/0a1b/shardId-1/2026/03/01/2026-03-01T10.00.00-x"
    bootstrap.s3().put_object(Bucket="failed-batches", Key=key, Body=b"{}")

    def told() -> list[str]:
        caplog.clear()
        run({})
        found = [vars(record) for record in caplog.records]
        return [line["batches"] for line in found if line.get("incident") == "UnarchivedBatches"]

    assert [told(), told()] == [["1"], ["1"]]
    bootstrap.s3().delete_object(Bucket="failed-batches", Key=key)
    assert told() == []


@pytest.mark.parametrize("step", ["unload", "startQueryExecution.sync", "place", "getQueryResults", "publish"])
def test_an_unload_that_fails_anywhere_leaves_the_day_readable_and_is_done_the_next_night(
    step: str, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill()
    before = rows()
    all_large(monkeypatch)
    tasks.failing = lambda each: RuntimeError("injected") if each == step else None

    assert run({})["status"] == "FAILED"
    assert published() == {}
    assert rows() == before

    tasks.failing = lambda _step: None
    assert run({})["status"] == "SUCCEEDED"
    assert published() == dict.fromkeys(DAYS, 12)
    assert rows() == before


def test_a_day_that_changes_while_athena_reads_it_is_left_for_the_next_night(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    archived(DAYS[0], "0001-a", line(1, DAYS[0]))
    all_large(monkeypatch)

    def late(step: str) -> None:
        if step == "place":
            archived(DAYS[0], "0002-late", line(2, DAYS[0]))

    tasks.failing = late
    told = run({})

    assert "has other raw objects than when it was begun" in told["cause"]
    assert published() == {}
    tasks.failing = lambda _step: None
    assert run({})["status"] == "SUCCEEDED"
    assert published() == {DAYS[0]: 2}


def test_a_damaged_list_of_days_is_named_and_other_months_are_compacted(tasks: Tasks) -> None:
    fill()
    archived("2026-04-01", "0001-a", line(1, "2026-04-01"))
    bootstrap.s3().put_object(Bucket="archive", Key="curated-days/events-2026-04.jsonl", Body=b'{"source":"eve')

    told = run({})

    assert (told["status"], told["error"]) == ("FAILED", "DaysLeftError")
    assert "0 of 3 day(s) and 1 month(s) were not compacted. curated-days/events-2026-04.jsonl: line 1" in told["cause"]
    assert dict(published_list()) == dict.fromkeys(DAYS, 12)


@pytest.mark.parametrize("letter", ["\U0001f480", '"', "\x00"])
def test_an_execution_whose_days_all_fail_fits_into_its_state(
    tasks: Tasks, caplog: pytest.LogCaptureFixture, letter: str
) -> None:
    """Each with a cause as long as Lambda gives, in letters that are long in UTF-8 or JSON; and months beside them."""
    why = letter * 5_000
    cause = json.dumps({"errorMessage": why, "stackTrace": ["x" * 1_000] * 20})
    days = [
        {"source": "applications", "dt": (date(2026, 1, 1) + timedelta(days=number)).isoformat()}
        for number in range(tasks.module.MOST_DAYS)
    ]
    left = [tasks.handler({"step": "leave", **day, "error": {"Error": "X", "Cause": cause}}, None) for day in days]
    payload = {
        "step": "conclude",
        "run": "run",
        "days": [{"outcome": "failed", **day} for day in left],
        "left_for_next_time": 0,
        "left_out": [tasks.module._shortened(why)] * 120,
    }

    assert len(orjson.dumps(payload)) <= STATE_BYTES
    assert caplog.records[0].getMessage() == f"applications of 2026-01-01 was not compacted: {why}"
    with pytest.raises(Exception, match=r"500 of 500 day\(s\) and 120 month\(s\) were not compacted") as told:
        tasks.handler(payload, None)
    assert len(json.dumps({"errorMessage": str(told.value)})) <= CAUSE_CHARACTERS
    assert all(day["dt"] in str(told.value) for day in days)


@pytest.mark.parametrize("error", [{"Error": "States.Timeout"}, {"Error": "States.Timeout", "Cause": ""}])
def test_a_day_that_ran_out_of_time_says_so(tasks: Tasks, error: dict[str, str]) -> None:
    left = tasks.handler({"step": "leave", "source": "events", "dt": DAYS[0], "error": error}, None)

    assert left["reason"] == "States.Timeout"


def test_half_a_character_in_a_cause_is_told_as_what_utf_8_can_hold(tasks: Tasks) -> None:
    """Lambda answers in UTF-8, and of a month's reason the whole night would hang on it."""
    error = {"Error": "X", "Cause": json.dumps({"errorMessage": "id \ud83d"})}

    left = tasks.handler({"step": "leave", "source": "events", "dt": DAYS[0], "error": error}, None)

    assert left["reason"] == "id ?"


def test_a_day_of_which_not_even_the_reason_can_be_told_is_named(tasks: Tasks) -> None:
    fill()
    broken = {"compact", "leave"}
    tasks.failing = lambda step: RuntimeError("injected") if step in broken else None

    told = run({})

    assert f"3 of 3 day(s) and 0 month(s) were not compacted. events of {DAYS[0]}: RuntimeError" in told["cause"]


def test_days_beyond_what_an_execution_takes_are_told_and_taken_by_the_next(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill()
    monkeypatch.setattr("headwater.functions.compaction.MOST_DAYS", 2)

    told = run({})

    assert (told["status"], told["error"]) == ("FAILED", "DaysLeftError")
    assert "2 day(s) were compacted, and 1 more are due: start it again" in told["cause"]
    assert set(published()) == set(DAYS[:2])
    assert run({})["status"] == "SUCCEEDED"
    assert set(published()) == set(DAYS)


def test_what_is_transient_is_tried_again(tasks: Tasks) -> None:
    fill()
    refused = Counter(find=2, compact=2)

    def transient(step: str) -> Exception | None:
        refused[step] -= 1
        return type("Lambda.TooManyRequestsException", (Exception,), {})("slow down") if refused[step] >= 0 else None

    tasks.failing = transient

    assert run({})["status"] == "SUCCEEDED"
    assert published() == dict.fromkeys(DAYS, 12)


def test_every_call_of_the_function_is_allowed(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    fill()
    run({})
    all_large(monkeypatch)
    run({"again": True})
    named = {"archive": "ArchiveBucket", "failed-batches": "FailedBatchesBucket"}
    calls = []
    for call in tasks.calls:
        bucket, slash, key = call.resource.partition("/")
        calls.append(replace(call, resource=f"{named[bucket]}{slash}{key}"))

    assert denied(Template.load(PROJECT / "template.yaml").document["Resources"], calls) == set()
    assert {call.action for call in tasks.calls} == {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"}


def test_an_execution_may_start_at_a_day(tasks: Tasks) -> None:
    fill()

    assert run({"since": DAYS[2]})["status"] == "SUCCEEDED"
    assert set(published()) == {DAYS[2]}
    assert run({"look_back_days": 1})["status"] == "SUCCEEDED"
    assert set(published()) == {DAYS[2]}


@pytest.mark.parametrize(
    "given", [{"since": "yesterday"}, {"sinc": "2026-03-01"}, {"since": DAYS[0], "look_back_days": 3}, {"again": "no"}]
)
def test_an_input_that_says_something_else_is_refused(given: dict[str, Any], tasks: Tasks) -> None:
    fill()

    told = run(given)

    assert (told["status"], told["error"]) == ("FAILED", "ValueError")
    assert published() == {}


def test_the_fixture_asks_for_days(tasks: Tasks) -> None:
    assert tasks.handler(fixture("CompactionFunction"), None) == {
        "days": [],
        "left_for_next_time": 0,
        "left_out": [],
    }


def test_a_step_that_is_none_is_refused_by_name(tasks: Tasks) -> None:
    with pytest.raises(ValueError, match="find, compact, unload, place, publish, leave, conclude, not 'unlod'"):
        tasks.handler({"step": "unlod"}, None)
