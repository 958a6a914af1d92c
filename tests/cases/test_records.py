"""The inputs in ``records``: each went wrong once, and is an example of a kind (see test_kinds.py)."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from arcade.app import APP
from devstack.__main__ import main
from devstack.simulator.graph import Blueprint
from devstack.try_input import inputs
from devstack.try_input.bench import Bench, opened
from devstack.try_input.inputs import Input
from devstack.try_input.verdicts import Fate, Run

RECORDS = Path(__file__).parent / "records"
#: The functions that keep a read model behind gates.
PROJECTIONS = sorted(APP.projections)
ODD_KEY, SOUND_KEY = "019930c2-6d1e-7a40-9c35-5be0f1a2c3d4", "019930c2-6d1e-7a40-9c35-5be0f1a2c3d5"
ODD_EVENT = "019930c2-0000-7000-8000-0000000000e1"


@contextmanager
def case(blueprint: Blueprint, name: str) -> Iterator[tuple[Bench, Input]]:
    """A world in which what the case appended is in the table."""
    given = inputs.read(RECORDS / name)
    with opened(blueprint, given) as bench:
        bench.append(given)
        yield bench, given


def fates(run: Run) -> list[Fate]:
    return [outcome.fate for outcome in run.outcomes]


def odd(run: Run) -> tuple[Fate, str]:
    """What became of the first record, and why."""
    return run.outcomes[0].fate, run.outcomes[0].reason


def retried(runs: Sequence[Run]) -> list[tuple[str, str]]:
    return [
        (run.function, f"{outcome.record.title[-60:]}: {outcome.reason}")
        for run in runs
        for outcome in run.outcomes
        if outcome.retried or outcome.fate is Fate.LOST
    ]


def test_a_key_that_the_table_takes_and_kinesis_does_not_holds_up_nobody(blueprint: Blueprint) -> None:
    with case(blueprint, "partition-key-307.dynamodb.json") as (bench, given):
        archived = bench.run(bench.callees.named("archiver"), given)
        published = bench.run(bench.callees.named("fan_out"), given)

    assert fates(archived) == [Fate.ARCHIVED] * 2
    assert not retried([archived, published])
    assert fates(published)[1] is Fate.PUBLISHED
    fate, reason = odd(published)
    assert fate is Fate.PUBLISHED or (fate is Fate.PARKED and "256" in reason)


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_a_fraction_where_a_whole_number_belongs_is_parked_by_its_name(blueprint: Blueprint, projection: str) -> None:
    with case(blueprint, "play-score-float.kinesis.json") as (bench, given):
        run = bench.run(bench.callees.named(projection), given)

    assert fates(run) == [Fate.PARKED, Fate.APPLIED]
    assert "score" in odd(run)[1]
    assert not retried([run])


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_a_version_whose_predecessors_are_nowhere_is_parked_and_the_shard_goes_on(
    blueprint: Blueprint, projection: str
) -> None:
    with case(blueprint, "play-version-gap.kinesis.json") as (bench, given):
        run = bench.run(bench.callees.named(projection), given)

    assert fates(run) == [Fate.PARKED, Fate.APPLIED]
    assert odd(run)[1].startswith("GapError")
    assert not retried([run])


def test_a_time_that_is_no_moment_is_parked_and_the_board_answers_everybody_else(blueprint: Blueprint) -> None:
    with case(blueprint, "play-time-hash.kinesis.json") as (bench, given):
        run = bench.run(bench.callees.named("leaderboard"), given)
        status, body = bench.ask("/games/chess/leaderboard")

    assert fates(run) == [Fate.PARKED, Fate.APPLIED]
    assert "played_at" in odd(run)[1]
    assert status == 200
    assert [entry["user_id"] for entry in json.loads(body)["entries"]] == [SOUND_KEY]


def test_version_0_is_refused_once_by_the_first_reader(blueprint: Blueprint) -> None:
    with case(blueprint, "version-0.dynamodb.json") as (bench, given):
        runs = [bench.run(bench.callees.named("fan_out"), given)]
        runs += bench.follow()
        letters = len(bench.cloud.queue("ParkedRecordsQueue"))

    assert [run.function for run in runs] == ["fan_out"]
    assert odd(runs[0])[0] is Fate.PARKED
    assert "version" in odd(runs[0])[1]
    assert letters == 1


def test_half_a_surrogate_pair_is_judged_once_and_holds_up_no_consumer(blueprint: Blueprint) -> None:
    with case(blueprint, "user-cut-emoji.dynamodb.json") as (bench, given):
        runs = [bench.run(bench.callees.named(name), given) for name in ("archiver", "fan_out")]
        runs += bench.follow()
        letters = len(bench.cloud.queue("ParkedRecordsQueue"))

    assert fates(runs[0]) == [Fate.ARCHIVED]
    assert odd(runs[1])[0] in {Fate.PUBLISHED, Fate.PARKED}
    assert not retried(runs)
    assert letters == (odd(runs[1])[0] is Fate.PARKED)


PLAY = json.dumps({"game": "chess", "score": 1})


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", ""),
        ("GET", "/preferences", ""),
        ("PUT", "/email", '{"email": "ada@example.com"}'),
        ("PUT", "/profile", '{"name": "Ada"}'),
        ("POST", "/plays", PLAY),
        ("DELETE", "", ""),
    ],
    ids=lambda value: value or "-",
)
def test_the_routes_of_a_user_with_an_unreadable_event_say_what_is_wrong(
    blueprint: Blueprint, method: str, path: str, body: str
) -> None:
    with case(blueprint, "user-cut-emoji.dynamodb.json") as (bench, given):
        bench.run(bench.callees.named("fan_out"), given)
        bench.follow()
        status, answer = bench.ask(f"/users/{ODD_KEY}{path}", method, body)

    problem: dict[str, Any] = json.loads(answer)
    assert status < 400 or (ODD_EVENT in answer and "try again" not in problem["detail"])


def test_a_name_of_nothing_visible_is_refused_by_its_field(blueprint: Blueprint) -> None:
    with case(blueprint, "register-name-invisible.http-body.json") as (bench, given):
        run = bench.run(bench.callees.named("http_api"), given)

    fate, reason = odd(run)
    status, _, body = reason.partition(" ")
    assert (fate, status) == (Fate.REFUSED, "400")
    assert [error["field"] for error in json.loads(body)["errors"]] == ["name"]


def test_each_input_has_a_test_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")

    assert not [path.name for path in RECORDS.iterdir() if text.count(f'"{path.name}"') == 0]


def test_the_command_tries_the_whole_folder_and_tells_it_as_json() -> None:
    result = CliRunner().invoke(
        main, ["try", "--event", str(RECORDS), "--get", f"/games/chess/leaderboard,/users/{ODD_KEY}", "--json"]
    )

    told = json.loads(result.stdout)["files"]
    assert [each["file"] for each in told] == sorted(path.name for path in RECORDS.iterdir())
    assert all(each["runs"] and len(each["routes"]) == 2 and "error" not in each for each in told)
    assert not result.stderr
