"""`headwater archive`, over a downloaded archive."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from backports import zstd
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from cli.main import main
from headwater.archive.archiver import Archiver
from headwater.archive.compaction import Compaction, Day
from headwater.archive.growing_objects import ObjectChangedError
from operations.archive import saved_sql
from operations.target import Target
from tests.fakes import duckdb_engine
from tests.fakes.athena_client import AthenaThatAnswers, page, state
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.moto import mock_aws
from tests.fakes.object_store import InMemoryObjectStore
from tests.fakes.stream_records import play_records

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PNG = b"\x89PNG\r\n\x1a\n"
CORRUPT = "raw/source=events/dt=2026-03-01/corrupt.jsonl.zst"
FOREIGN = "raw/source=events/notes.txt"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five plays on two days; two of them twice."""
    store = InMemoryObjectStore()
    archiver = Archiver(store, RecordedIncidents())
    archiver.archive(play_records(1, 3, at="2026-02-27T12:00:00Z"))
    archiver.archive(play_records(2, 5, at="2026-03-01T12:00:00Z")[2:])
    archiver.archive(play_records(2, 3, at="2026-02-27T12:00:00Z"))
    for key, body in store.objects.items():
        put(tmp_path, key, body)
    return tmp_path


def put(folder: Path, key: str, body: bytes) -> None:
    (folder / key).parent.mkdir(parents=True, exist_ok=True)
    (folder / key).write_bytes(body)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["archive", *arguments])


def query(folder: Path, *arguments: str) -> Result:
    return run("query", "--folder", str(folder), *arguments)


def rows(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_sql_is_answered_as_json(folder: Path) -> None:
    sql = "SELECT dt, count(*) AS plays, max(played_at) AS last, sum(score) / 2e0 FROM plays GROUP BY dt ORDER BY dt"

    assert rows(query(folder, sql, "--format", "json")) == [
        {"dt": "2026-02-27", "plays": 3, "last": "2026-03-01T11:59:00", "_col3": 3.0},
        {"dt": "2026-03-01", "plays": 2, "last": "2026-03-01T11:59:00", "_col3": 4.5},
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("12345678901234567.125", "12345678901234567.125"),
        ("0.10 * 1", "0.10"),
        ("0e0 / 0e0", '"NaN"'),
        ("1e0 / 0e0", '"Infinity"'),
        ("-1e0 / 0e0", '"-Infinity"'),
        ("15e-1", "1.5"),
        ("9223372036854775807", "9223372036854775807"),
        ("true", "true"),
        ("NULL", "null"),
        ("'é\"'", '"é\\""'),
        ("DATE '2026-03-01'", '"2026-03-01"'),
        ("TIMESTAMP '2026-03-01 12:00:00'", '"2026-03-01T12:00:00"'),
        ("array_agg(15e-1)", "[1.5]"),
    ],
)
def test_json_has_each_value_as_it_is(folder: Path, value: str, text: str) -> None:
    assert query(folder, f"SELECT {value} AS a", "--format", "json").stdout == f'{{"a": {text}}}\n'


def test_json_of_two_columns_of_one_name_is_refused(folder: Path) -> None:
    answered = query(folder, "SELECT 1 AS a, 2 AS b, 3 AS a", "--format", "json")

    assert (answered.exit_code, answered.stdout) == (1, "")
    assert "two columns are called a" in answered.stderr
    assert query(folder, "SELECT 1 AS a, 3 AS a", "--format", "csv").stdout == "a,a\n1,3\n"


def test_sql_is_answered_as_csv(folder: Path) -> None:
    answered = query(folder, "SELECT 1 AS a, 'x, \"y\"' AS b, NULL AS c, DATE '2026-03-01' AS d", "--format", "csv")

    assert answered.stdout == 'a,b,c,d\n1,"x, ""y""",,2026-03-01\n'


def test_sql_is_answered_as_a_table(folder: Path) -> None:
    answered = query(folder, "SELECT dt, count(*) AS plays FROM plays GROUP BY dt ORDER BY dt")

    assert "2026-02-27 │     3" in answered.stdout
    assert "2 rows" in answered.stderr


def test_a_row_that_does_not_fit_is_read_downwards(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = ["0199f0a2-5f3c-7000-8000-000000000001", "0199f0a2-5f3c-7000-8000-000000000002"]
    sql = f"SELECT '{ids[0]}' AS one, '{ids[1]}' AS another, NULL AS none, 7 AS n"

    monkeypatch.setenv("COLUMNS", "80")
    assert query(folder, sql).stdout == f"one: {ids[0]}\nanother: {ids[1]}\nnone: \nn: 7\n"
    two = query(folder, f"{sql} UNION ALL {sql}").stdout
    assert two.split("\n\n")[1].startswith(f"one: {ids[0]}\n")
    monkeypatch.setenv("COLUMNS", "120")
    assert f"│ {ids[0]} │ {ids[1]} │" in query(folder, sql).stdout


def test_an_answer_moves_no_cursor_and_is_no_markup(folder: Path) -> None:
    assert r"│ [/x]\x1b[2J │" in query(folder, "SELECT '[/x]\x1b[2J' AS a").stdout


def test_a_saved_query_takes_parameters(folder: Path) -> None:
    asked = ("--name", "aggregate-history", "-p", "aggregate=player#0199-a", "-p", "since=2026-03-01")

    assert [row["version"] for row in rows(query(folder, *asked, "--format", "json"))] == [4, 5]


def test_saved_queries_are_listed_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    listed = run("query", "--list")
    shown = run("query", "--name", "top-players", "-p", "game=o'clock", "--show")

    assert [line for line in listed.stdout.splitlines() if not line.startswith(" ")] == list(saved_sql.queries())
    assert max(map(len, listed.stdout.splitlines())) <= 80
    assert "AND game = 'o''clock'" in shown.stdout


def test_every_saved_query_answers_an_archive(folder: Path) -> None:
    for name, saved in saved_sql.queries().items():
        given = [f"-p{each.name}={each.default}" for each in saved.parameters if each.required]
        rows(query(folder, "--name", name, *given, "--format", "json"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--name", "plays-by-game-and-day"],
        ["--name", "archive-freshness"],
        ["SELECT dt, count(*) AS plays FROM plays GROUP BY 1"],
    ],
)
def test_an_answer_is_drawn(folder: Path, tmp_path: Path, arguments: list[str]) -> None:
    drawn = query(folder, *arguments, "--plot", str(tmp_path / "chart.png"))

    assert drawn.exit_code == 0, drawn.output
    assert (tmp_path / "chart.png").read_bytes().startswith(PNG)
    assert "drawn to" in drawn.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["SELECT dt FROM plays", "--plot", "x.png"], "no column of numbers"),
        (["--name", "stuck-applications", "--plot", "x.png"], "no column of numbers"),
        (["SELECT 1, 2", "--plot", "/nowhere/x.png"], "the folder /nowhere does not exist"),
        (["DELETE FROM events_raw"], "nothing is written"),
        (["SELECT url_extract_host(payload) FROM events_all"], "function url_extract_host is not translated"),
        (
            ["--name", "badge-funel"],
            "no saved query badge-funel: did you mean badge-funnel? There are: activity-by-kind",
        ),
        (["--name", "user-as-of"], "user-as-of wants user, the user's id without user#, such as 0199…: give -p user="),
        (["--name", "user-as-of", "-p", "user=x"], "user-as-of wants at, the moment in UTC, such as"),
        (["SELECT 1, 2", "--plot", "x.jpg"], "x.jpg is no picture that can be drawn: end it in .png or .svg"),
        (["--name", "top-players", "-p", "games=go"], "top-players has no parameter games; it has: since, game, count"),
        (["--name", "top-players", "-p", "count=all"], "count=all is no number"),
        (["--name", "top-players", "-p", "go"], "'go' is no NAME=VALUE"),
        (["SELECT 1", "-p", "a=b"], "write the value into the SQL"),
        (["SELECT 1", "--name", "top-players"], "either SQL or --name"),
        (["top-players"], "'top-players' is no SELECT: did you mean --name top-players?"),
        (["top-player"], "did you mean --name top-players?"),
        (["SELECT * FROM play"], "there is no table play: did you mean plays? There are: activity"),
        (["SELECT", "game", "FROM", "plays"], "it came as several words: put it in quotes"),
        (["  "], "it is empty"),
        ([], "either SQL or --name"),
    ],
)
def test_the_analyst_is_told_what_is_wrong(folder: Path, arguments: Sequence[str], message: str) -> None:
    answered = query(folder, *arguments)

    assert answered.exit_code in (1, 2)
    assert message in " ".join(answered.stderr.split())


def test_corrupt_and_foreign_objects_are_named_counted_and_in_the_exit_code(folder: Path) -> None:
    put(folder, CORRUPT, b"not Zstandard")
    put(folder, FOREIGN, b"remember the milk")

    answered = query(folder, "SELECT count(*) AS plays FROM plays", "--format", "json")

    assert json.loads(answered.stdout) == {"plays": 5}
    assert f"damaged {CORRUPT}: the object is not Zstandard" in answered.stderr
    assert f"foreign {FOREIGN}: its name is none that the archive gives" in answered.stderr
    assert "1 object(s) damaged" in answered.stderr
    assert "1 object(s) passed over" in answered.stderr
    assert answered.exit_code == 3


def test_foreign_objects_take_nothing_from_an_answer(folder: Path) -> None:
    put(folder, FOREIGN, b"remember the milk")
    put(folder, "raw/source=events/dt=2026-03-01/\x1b[2J\n.txt", b"a name that a terminal would act on")

    answered = query(folder, "SELECT count(*) AS plays FROM plays", "--format", "json")

    assert rows(answered) == [{"plays": 5}]
    assert r"foreign 'raw/source=events/dt=2026-03-01/\x1b[2J\n.txt': " in answered.stderr
    assert "2 object(s) passed over" in answered.stderr


def test_damaged_objects_are_told_where_drawing_fails(folder: Path) -> None:
    put(folder, CORRUPT, b"not Zstandard")

    answered = query(folder, "SELECT dt FROM plays", "--plot", "x.png")

    assert f"damaged {CORRUPT}" in answered.stderr
    assert "no column of numbers" in answered.stderr
    assert answered.exit_code == 1


def test_a_deployed_stack_is_asked_through_athena(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a stack in AWS, which has no endpoint of its own
    done = {**state("SUCCEEDED"), "Statistics": {"DataScannedInBytes": 12_000_000, "TotalExecutionTimeInMillis": 1500}}
    client = AthenaThatAnswers([done], [page({"game": "varchar", "plays": "bigint"}, ("game", "plays"), ("go", "7"))])
    outputs = {"AnalyticsWorkGroupName": "dev-analytics", "AnalyticsDatabase": "headwater_dev"}
    target = Target(cast("Any", Clients(client)), None, outputs)
    monkeypatch.setattr("operations.target.resolve", lambda stack, _: target if stack == "headwater-dev" else None)

    sql = "SELECT url_extract_host('x') AS game, count(*) AS plays FROM plays"
    asked = CliRunner().invoke(main, ["--stack", "headwater-dev", "archive", "query", sql, "--format", "csv"])

    assert asked.stdout == "game,plays\ngo,7\n"
    assert "Athena read 12.0 MB in 1.5 s" in asked.stderr
    assert client.started[0]["QueryString"] == sql
    assert client.started[0]["WorkGroup"] == "dev-analytics"
    assert client.started[0]["QueryExecutionContext"] == {"Database": "headwater_dev"}


class Clients:
    """A session that has one client."""

    def __init__(self, athena: AthenaThatAnswers) -> None:
        self._athena = athena

    def client(self, service: str, *, endpoint_url: str | None) -> AthenaThatAnswers:
        assert (service, endpoint_url) == ("athena", None)
        return self._athena


def test_stats_of_some_days_leave_out_the_others(folder: Path) -> None:
    (events,) = rows(run("stats", "--folder", str(folder), "--json", "--since", "2026-03-01"))

    assert (events["objects"], events["days"], events["lines"]) == (1, 1, 2)


def test_stats_tell_objects_bytes_days_freshness_and_duplicates(folder: Path) -> None:
    (events,) = rows(run("stats", "--folder", str(folder), "--json"))
    size = sum(path.stat().st_size for path in folder.rglob("*.zst"))

    assert {name: events[name] for name in ("table", "objects", "bytes", "days", "days_missing")} == {
        "table": "events_raw",
        "objects": 3,
        "bytes": size,
        "days": 2,
        "days_missing": 1,
    }
    assert (events["first_day"], events["last_day"]) == ("2026-02-27", "2026-03-01")
    assert (events["lines"], events["duplicates"]) == (7, 2)
    assert events["newest_change"] == "2026-03-01T12:00:00.000Z"
    assert events["newest_age"] > 0
    assert datetime.now(UTC) - datetime.fromisoformat(events["last_written"]) < timedelta(minutes=5)

    table = run("stats", "--folder", str(folder))
    assert table.exit_code == 0
    assert "events_raw" in table.stdout


def test_stats_name_what_is_corrupt(folder: Path) -> None:
    put(folder, CORRUPT, b"not Zstandard")
    put(folder, FOREIGN, b"")

    told = run("stats", "--folder", str(folder), "--json")

    events = json.loads(told.stdout)
    assert [each["key"] for each in events["damaged"]] == [CORRUPT]
    assert [each["key"] for each in events["foreign"]] == [FOREIGN]
    assert events["lines"] == 7
    assert f"damaged {CORRUPT}" in told.stderr
    assert told.exit_code == 3
    shown = run("stats", "--folder", str(folder))
    assert [line.split()[-2] for line in shown.stdout.splitlines() if "objects" in line] == ["4", "1", "1"]


def test_stats_of_an_archive_with_foreign_objects_alone_are_whole(folder: Path) -> None:
    put(folder, FOREIGN, b"")

    told = run("stats", "--folder", str(folder), "--json")

    assert [len(table["foreign"]) for table in map(json.loads, told.stdout.splitlines())] == [1]
    assert f"foreign {FOREIGN}" in told.stderr
    assert told.exit_code == 0


def test_stats_name_foreign_days_and_moments(folder: Path) -> None:
    foreign_day = "raw/source=events/dt=2026-99-99/x.jsonl.zst"
    foreign_moment = "raw/source=events/dt=2026-03-01/x.jsonl.zst"
    put(folder, foreign_day, zstd.compress(b'{"stream_event_id":"q"}\n'))
    put(folder, foreign_moment, zstd.compress(b'{"stream_event_id":"q","captured_at":"yesterday"}\n'))

    told = run("stats", "--folder", str(folder), "--json")

    events = json.loads(told.stdout)
    assert [each["key"] for each in events["foreign"]] == [foreign_day]
    assert [each["key"] for each in events["damaged"]] == [foreign_moment]
    assert (events["lines"], events["last_day"], events["newest_change"]) == (
        7,
        "2026-03-01",
        "2026-03-01T12:00:00.000Z",
    )
    assert told.exit_code == 3


def test_stats_check_compacted_days_against_their_list(folder: Path) -> None:
    foreign = "curated/source=events/month=2026-01/2026-01-01.parquet"
    gone = "curated/source=events/month=2026-02/2026-02-27.parquet"
    put(folder, foreign, b"PAR1")
    put(folder, "curated-days/events-2026-02.jsonl", b'{"source":"events","dt":"2026-02-27","records":3}\n')

    told = run("stats", "--folder", str(folder), "--json")

    tables = {table["table"]: table for table in map(json.loads, told.stdout.splitlines())}
    assert tables.keys() == {"events_raw", "events", "curated_days"}
    assert [each["key"] for each in tables["events"]["damaged"]] == [foreign, gone]
    assert f"damaged {gone}: it is missing; the list of compacted days has 3 change(s) of 2026-02-27" in told.stderr
    assert told.exit_code == 3
    # Earlier days than asked for are nobody's concern.
    assert run("stats", "--folder", str(folder), "--since", "2026-03-01").exit_code == 0


@pytest.fixture
def stack(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["S3Client"]:
    """A stack whose bucket holds the folder's archive."""
    with mock_aws():
        session = boto3.Session(region_name="us-east-1")
        s3 = session.client("s3")
        s3.create_bucket(Bucket="archive")
        for path in folder.rglob("*.zst"):
            s3.put_object(Bucket="archive", Key=path.relative_to(folder).as_posix(), Body=path.read_bytes())
        target = Target(session, None, {"ArchiveBucketName": "archive"})
        monkeypatch.setattr("operations.target.resolve", lambda *_: target)
        yield s3


def test_closed_days_are_compacted(stack: "S3Client") -> None:
    done = run("compact")

    assert "2 of 2: events 2026-03-01: 2 changes of 1 object(s)" in done.stdout
    assert done.exit_code == 0
    assert "Nothing is due" in run("compact").stdout


def test_a_damaged_day_is_named_and_one_that_is_repaired_or_was_compacted_badly_is_made_anew(stack: "S3Client") -> None:
    (key,) = raw_keys(stack, "2026-03-01")
    body = stack.get_object(Bucket="archive", Key=key)["Body"].read()
    stack.put_object(Bucket="archive", Key=key, Body=body[:-1])
    stack.put_object(Bucket="archive", Key="raw/source=events/dt=2026-03-01/", Body=b"")

    done = run("compact")

    assert f"2 of 2: events 2026-03-01 stays as it is: 1 of 1 object(s) are damaged: {key}: " in done.stderr
    assert "foreign raw/source=events/dt=2026-03-01/: it is a folder's own object" in done.stderr
    assert "1 of 2: events 2026-02-27: 3 changes of 2 object(s)" in done.stdout
    assert done.exit_code == 3

    # When the one is repaired and the other's compacted object is damaged
    stack.put_object(Bucket="archive", Key=key, Body=body)
    compacted = "curated/source=events/month=2026-02/2026-02-27.parquet"
    stack.put_object(Bucket="archive", Key=compacted, Body=b"PAR1")

    done = run("compact")

    assert "1 of 2: events 2026-02-27: 3 changes" in done.stdout
    assert "2 of 2: events 2026-03-01: 2 changes" in done.stdout
    assert done.exit_code == 0
    assert "Nothing is due" in run("compact").stdout


def raw_keys(stack: "S3Client", day: str) -> list[str]:
    found = stack.list_objects_v2(Bucket="archive", Prefix=f"raw/source=events/dt={day}/")["Contents"]
    return [each["Key"] for each in found]


@pytest.mark.parametrize(
    "error",
    [
        lambda: ObjectChangedError("s3://archive/curated-days/… was written by somebody else"),
        lambda: duckdb_engine.refusal()("Out of Memory Error: could not allocate block"),
        lambda: OSError(28, "No space left on device"),
        lambda: ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject"),
    ],
    ids=["the list was changed", "DuckDB's", "the disk", "an object is gone"],
)
def test_a_day_that_fails_does_not_stop_the_others(
    stack: "S3Client", monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]
) -> None:
    compact = Compaction.compact

    def failing(self: Compaction, day: Day, **how: bool) -> object:
        if day.dt == "2026-02-27":
            raise error()
        return compact(self, day, **how)

    monkeypatch.setattr(Compaction, "compact", failing)

    done = run("compact")

    assert "1 of 2: events 2026-02-27 stays as it is: " in done.stderr
    assert str(error()) in done.stderr
    assert "2 of 2: events 2026-03-01: 2 changes" in done.stdout
    assert done.exit_code == 3


def test_a_foreign_list_of_days_is_named_and_other_sources_are_compacted(stack: "S3Client") -> None:
    stack.put_object(Bucket="archive", Key="curated-days/applications-2026-03.jsonl", Body=b'{"dt":5}\n')
    stack.put_object(Bucket="archive", Key="raw/source=applications/dt=2026-03-01/x.jsonl.zst", Body=b"")

    done = run("compact")

    named = "a month of applications stays as it is: curated-days/applications-2026-03.jsonl: line 1 is no compacted"
    assert named in done.stderr
    assert "2 of 2: events 2026-03-01: 2 changes" in done.stdout
    assert done.exit_code == 3


def test_an_empty_archive_is_told_so(tmp_path: Path) -> None:
    told = run("stats", "--folder", str(tmp_path))

    assert (told.exit_code, told.stdout) == (0, "The archive is empty.\n")
