"""Whatever AWS accepts: its neighbours are handled as if it were not there, it ends somewhere, and nothing is retried.

An odd record may be applied, archived, published, parked, held back behind a parked one, or reported. A queue holds up
nobody: there it may fail alone, until the queue's redrive policy sets it aside.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from devstack.simulator.graph import Blueprint
from devstack.try_input import inputs
from devstack.try_input.bench import Bench, opened
from devstack.try_input.inputs import Input
from devstack.try_input.verdicts import Fate, Outcome, Run, read_models
from headwater import bootstrap
from headwater.change_stream import cloud_events
from tests.cases import odd
from tests.cases.odd import Item, sound_item
from tests.fakes.events import EVENT_TYPES

#: What fan-out, which judges every event, may make of one: it skips none.
JUDGED: Final = frozenset({Fate.PUBLISHED, Fate.PARKED, Fate.SET_ASIDE, Fate.REPORTED})
BEFORE, AFTER = "00000000-0000-7000-8000-00000000000a", "00000000-0000-7000-8000-00000000000b"

ROOT: Final = Path(__file__).parents[2]


def kinds(named: Mapping[str, Sequence[Any]]) -> list[Any]:
    """Parameters by name."""
    return [pytest.param(*values, id=name) for name, values in named.items()]


ITEMS: Final = {name: (type_, item) for name, type_, item in odd.odd_items()}
MESSAGES: Final = {name: (body,) for name, body in odd.odd_messages()}
BODIES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "/register": ("POST", {"name": "Ada", "email": "ada@example.org", "password": "longenough1"}),
    "/users/{id}/plays": ("POST", {"game": "chess", "score": 7, "played_at": "2026-03-01T12:00:00.000Z"}),
    "/users/{id}/email": ("PUT", {"email": "ada@example.com"}),
    "/users/{id}/profile": ("PUT", {"name": "Ada L."}),
    "/activities": ("POST", {"kind": "ClickOnLogo", "details": {"page": "home"}}),
}
REQUESTS: Final = {
    f"{path} {name}": (method, path, body)
    for path, (method, sound) in BODIES.items()
    for name, body in odd.odd_bodies(sound)
}


def neighbours() -> list[Item]:
    """Sound events of other aggregates, of a user and of a player each."""
    return [
        sound_item(type_, key, event_id=f"e-{type_}-{key}")
        for key in (BEFORE, AFTER)
        for type_ in ("UserRegistered", "PlayCompleted")
    ]


def is_neighbour(outcome: Outcome) -> bool:
    return BEFORE in outcome.record.aggregate_id or AFTER in outcome.record.aggregate_id


def append(bench: Bench, items: Sequence[Item]) -> None:
    for item in items:
        bench.cloud.dynamodb.put_item(TableName="EventsTable", Item=item)


def delivered(bench: Bench, *items: Item) -> list[Run]:
    """What becomes of items that are appended together, until nothing moves any more."""
    append(bench, items)
    return bench.follow()


def of_neighbours(runs: Sequence[Run]) -> dict[tuple[str, str], Fate]:
    return {
        (run.function, outcome.record.title): outcome.fate
        for run in runs
        for outcome in run.outcomes
        if is_neighbour(outcome)
    }


def retried(runs: Sequence[Run]) -> list[str]:
    """What would be delivered again, but for odd messages of a queue."""
    return [
        f"{run.function} {outcome.fate} {outcome.record.title[:60]}: {outcome.reason}"
        for run in runs
        for outcome in run.outcomes
        if (outcome.retried and (run.source != "sqs" or is_neighbour(outcome))) or outcome.fate is Fate.LOST
    ]


def reasons(bench: Bench) -> list[str]:
    """Why dead letters wait, one for each."""
    return [json.loads(message.body)["reason"] for message in bench.cloud.queue("ParkedRecordsQueue").messages.values()]


def lanes(bench: Bench) -> list[tuple[str, str]]:
    """Whose dead letters wait, and of which aggregate, one for each."""
    bodies = [json.loads(message.body) for message in bench.cloud.queue("ParkedRecordsQueue").messages.values()]
    return [(body["consumer"], body["aggregate_id"]) for body in bodies]


def of_odd(runs: Sequence[Run], *functions: str) -> list[Fate]:
    return [
        outcome.fate
        for run in runs
        for outcome in run.outcomes
        if not is_neighbour(outcome) and run.function in functions
    ]


@pytest.fixture(scope="session")
def sound(blueprint: Blueprint) -> dict[tuple[str, str], Fate]:
    """What becomes of the neighbours where nothing odd is among them."""
    with opened(blueprint) as bench:
        return of_neighbours(delivered(bench, *neighbours()))


def test_the_neighbours_alone_reach_everybody(sound: Mapping[tuple[str, str], Fate]) -> None:
    functions = {function for (function, _), fate in sound.items() if fate is not Fate.SKIPPED}

    assert functions == {
        "achievements",
        "archiver",
        "badges",
        "bi_export",
        "default_resources",
        "fan_out",
        "leaderboard",
        "player_profiles",
        "welcome_email",
    }


def test_every_event_type_has_its_kinds() -> None:
    assert odd.SAMPLES.keys() == EVENT_TYPES.keys()
    assert {name.split()[0] for name in ITEMS} >= EVENT_TYPES.keys()


def appended(bench: Bench, type_: str, item: Item) -> list[Run]:
    """What becomes of an item between its neighbours, as the next event of a sound history."""
    first, second, *rest = neighbours()
    if odd.is_first(type_):
        return delivered(bench, first, second, item, *rest)
    registered = sound_item("UserRegistered", event_id="e-first")
    return delivered(bench, first, second, registered, {**item, "version": {"N": "2"}}, *rest)


@pytest.fixture(scope="session")
def heard(blueprint: Blueprint) -> dict[str, set[str]]:
    """By event type, who does something about a sound one."""
    functions = {}
    for type_ in odd.SAMPLES:
        with opened(blueprint) as bench:
            runs = appended(bench, type_, sound_item(type_))
        functions[type_] = {
            run.function
            for run in runs
            for outcome in run.outcomes
            if "e-odd" in outcome.record.ids and outcome.fate is not Fate.SKIPPED
        }
    return functions


@pytest.mark.parametrize(("type_", "item"), kinds(ITEMS))
def test_an_odd_item_in_the_table(
    blueprint: Blueprint,
    sound: Mapping[tuple[str, str], Fate],
    heard: Mapping[str, set[str]],
    type_: str,
    item: Item,
) -> None:
    with opened(blueprint) as bench:
        runs = appended(bench, type_, item)
        letters = lanes(bench)

    assert not retried(runs)
    assert of_neighbours(runs) == sound
    assert set(of_odd(runs, "archiver")) == {Fate.ARCHIVED}
    assert set(of_odd(runs, "fan_out")) <= JUDGED
    # One reader judges it, so that one redrive clears all. A gap, and a row that cannot be, is each projection's own.
    assert len(letters) == len(set(letters))
    judged = {aggregate_id for consumer, aggregate_id in letters if consumer == "fan_out"}
    assert not judged & {aggregate_id for consumer, aggregate_id in letters if consumer != "fan_out"}
    # What was let through and is still an event of its type must not be passed over in silence.
    silent = {
        run.function
        for run in runs
        for outcome in run.outcomes
        if "e-odd" in outcome.record.ids and outcome.fate is Fate.SKIPPED
    }
    assert item["aggregate_id"] != sound_item(type_)["aggregate_id"] or not silent & heard[type_]


@pytest.mark.parametrize("versions", [(3,), (1, 3), (1, 2, 5)], ids=str)
def test_a_gap_stops_its_aggregate_alone_and_heals_when_what_was_missing_arrives(
    blueprint: Blueprint, sound: Mapping[tuple[str, str], Fate], versions: Sequence[int]
) -> None:
    plays = {version: sound_item(version=version, event_id=f"e-{version}") for version in range(1, versions[-1] + 1)}
    missing = [version for version in plays if version not in versions]
    first, second, *rest = neighbours()

    with opened(blueprint) as bench:
        # Given an aggregate with a gap in it
        runs = delivered(bench, first, second, *(plays[version] for version in versions), *rest)
        stopped = read_models(bench.cloud, bootstrap.settings())
        # When the missing versions are appended after all, the last one first
        runs += delivered(bench, *(plays[version] for version in reversed(missing)))
        healed = read_models(bench.cloud, bootstrap.settings())

    # Then nothing was ever tried again, and every read model is up to the last version, without a mark.
    assert not retried(runs)
    assert {key: fate for key, fate in of_neighbours(runs).items() if key in sound} == sound
    followers = {pk for pk, row in healed.items() if row["applied"].get("player") == versions[-1]}
    assert {pk.partition("@")[0] for pk in followers} == {"achievements", "badges", "leaderboard", "player_profiles"}
    assert not [pk for pk in followers if any(healed[pk].get(mark) for mark in ("parked_from", "waits_for"))]
    assert all(stopped[pk]["applied"].get("player", 0) < versions[-1] for pk in followers if pk in stopped)


def test_events_of_two_users_that_have_one_id_reach_everybody(blueprint: Blueprint) -> None:
    """A program that counts its events for each aggregate gives them such ids. Large ones travel by claim check."""
    users = [sound_item("UserRegistered", key, event_id="1") for key in (BEFORE, AFTER)]
    for number, user in enumerate(users):
        name = f"{number}" * 300_000
        user["data"] = {"S": json.dumps({"name": name, "email": f"user-{number}@example.org"})}

    with opened(blueprint) as bench:
        runs = delivered(bench, *users)
        export = bench.cloud.s3.get_object(Bucket="ArchiveBucket", Key="bi/events/dt=2026-03-01-1.json")
        exported = [json.loads(line)["aggregate_id"] for line in export["Body"].read().splitlines()]
        preferences = bench.cloud.dynamodb.scan(TableName="PreferencesTable")["Items"]

    assert not retried(runs)
    mails = [mail.partition(":")[0] for run in runs for mail in run.mails]
    assert sorted(mails) == ["user-0@example.org", "user-1@example.org"]
    assert sorted(exported) == [f"user#{key}" for key in (BEFORE, AFTER)]
    assert len(preferences) == len(users)


def on_the_stream(*bodies: bytes) -> Input:
    records = [
        {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": f"key-{number}",
                "sequenceNumber": str(number),
                "data": base64.b64encode(body).decode(),
                "approximateArrivalTimestamp": 1772366400.0,
            },
            "eventSource": "aws:kinesis",
            "eventID": f"shardId-0:{number}",
            "eventName": "aws:kinesis:record",
        }
        for number, body in enumerate(bodies, start=100)
    ]
    return Input(name="odd", stem="odd", source="kinesis", event={"Records": records})


def read_by_all(blueprint: Blueprint, *odd_bodies: bytes) -> list[Run]:
    """What all readers of the stream make of bodies between sound ones."""
    bodies = [cloud_events.encode(item, EVENT_TYPES).body for item in neighbours()]
    given = on_the_stream(*bodies[:2], *odd_bodies, *bodies[2:])
    with opened(blueprint, given) as bench:
        append(bench, neighbours())
        return [bench.run(callee, given) for callee in bench.callees.taking(given, bench.tables)]


@pytest.fixture(scope="session")
def sound_on_the_stream(blueprint: Blueprint) -> dict[tuple[str, str], Fate]:
    return of_neighbours(read_by_all(blueprint))


@pytest.mark.parametrize("body", kinds(MESSAGES))
def test_an_odd_record_on_the_stream(
    blueprint: Blueprint, sound_on_the_stream: Mapping[tuple[str, str], Fate], body: bytes
) -> None:
    runs = read_by_all(blueprint, body)

    assert not retried(runs)
    assert of_neighbours(runs) == sound_on_the_stream


def queue_functions() -> list[str]:
    """The functions behind queues, by their sample events."""
    samples = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "events").glob("*.json")}
    return sorted(
        name
        for name, sample in samples.items()
        if isinstance(sample, dict) and sample.get("Records", [{}])[0].get("eventSource") == "aws:sqs"
    )


@pytest.mark.parametrize("function", queue_functions())
def test_odd_messages_of_a_queue_fail_alone(blueprint: Blueprint, function: str) -> None:
    given = inputs.read(ROOT / "events" / f"{function}.json")
    sample, *others = given.records
    spoilt = [
        {**sample, "messageId": f"odd-{number}", "body": body}
        for number, (_, body) in enumerate(odd.odd_bodies(json.loads(sample["body"])))
    ]

    def outcomes(*records: Any) -> dict[str, tuple[Fate, bool]]:
        with opened(blueprint, given) as bench:
            run = bench.run(bench.callees.named(function), replace(given, event={"Records": list(records)}))
        # What another message of the same aggregate has done is skipped: it is there all the same.
        done = {Fate.SKIPPED: Fate.APPLIED}
        return {
            outcome.record.identifier: (done.get(outcome.fate, outcome.fate), outcome.retried)
            for outcome in run.outcomes
        }

    # The sound one first: a ledger that has its event would skip what is sound in the odd ones.
    among_odd = outcomes(sample, *spoilt, *others)

    assert {name: ended for name, ended in among_odd.items() if not name.startswith("odd-")} == outcomes(
        sample, *others
    )
    assert len(among_odd) == len(spoilt) + 1 + len(others)


@pytest.mark.parametrize(("method", "path", "body"), kinds(REQUESTS))
def test_an_odd_request_is_refused_by_its_field_or_read_by_everybody(
    blueprint: Blueprint, method: str, path: str, body: str
) -> None:
    with opened(blueprint) as bench:
        _, registered = bench.ask(
            "/register", "POST", json.dumps({**BODIES["/register"][1], "email": "eve@example.org"})
        )
        status, answer = bench.ask(path.replace("{id}", json.loads(registered)["user_id"]), method, body)
        runs = bench.follow()
        letters = reasons(bench)

    assert status in {200, 201, 202, 413} or (status == 400 and json.loads(answer)["errors"])
    assert not any(outcome.retried or outcome.fate is Fate.LOST for run in runs for outcome in run.outcomes)
    assert not letters
