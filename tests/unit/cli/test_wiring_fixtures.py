"""Fixtures for consumers that have none yet."""

import base64
import json
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest

from arcade.app import APP
from cli.wiring import fixtures
from cli.wiring.facts import Facts
from headwater.application import function_of
from headwater.change_stream import cloud_events
from headwater.domain.constraints import annotations, example_of
from headwater.domain.events import DomainEvent, NewEvent
from headwater.event_store import codec
from tests.fakes.events import AT, EVENT_TYPES


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("events")
    return {path.stem: json.loads(text) for path, text in fixtures.missing(Facts(APP), folder)}


def test_each_consumer_gets_one(written: dict[str, Any]) -> None:
    assert len(written) == len(APP.projections) + len(APP.effects)


@pytest.mark.parametrize("name", APP.projections)
def test_a_projections_has_all_that_it_takes_but_what_deletes_the_row(written: dict[str, Any], name: str) -> None:
    projection = APP.projections[name]
    bodies = [base64.b64decode(record["kinesis"]["data"]) for record in written[function_of(name)]["Records"]]
    events = [cloud_events.decode(body, EVENT_TYPES).event for body in bodies]

    assert [event.type for event in events] == [
        each.__name__ for each in (*projection.folds, *projection.ignores) if each not in projection.deleted_by
    ]
    versions: dict[str, list[int]] = {}
    for event in events:
        versions.setdefault(event.aggregate_id, []).append(event.version)
    assert all(each == list(range(1, len(each) + 1)) for each in versions.values())
    assert len({event.event_id for event in events}) == len(events)


@pytest.mark.parametrize("name", APP.effects)
def test_an_effects_has_an_event_that_its_filter_lets_through(written: dict[str, Any], name: str) -> None:
    (message,) = written[function_of(name)]["Records"]
    event = cloud_events.decode(message["body"], EVENT_TYPES).event

    assert event.type == message["messageAttributes"]["type"]["stringValue"] == APP.effects[name].on[0].__name__


def test_one_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "LeaderboardFunction.json").write_text("{}")

    assert "LeaderboardFunction.json" not in {path.name for path, _ in fixtures.missing(Facts(APP), tmp_path)}


@pytest.mark.parametrize("type_", EVENT_TYPES)
def test_each_example_is_one_that_an_append_takes(type_: str) -> None:
    kind = EVENT_TYPES[type_]
    payload = kind(**{name: example_of(kind, name) for name in annotations(kind)})
    event = NewEvent(event_id="e-1", payload=payload, occurred_at=AT).recorded(f"{kind.aggregate_type}#a", 1)

    codec.encode_new(event, EVENT_TYPES)


class _Bare(DomainEvent, frozen=True, kw_only=True):
    aggregate_type: ClassVar[str] = "order"
    schema_version: ClassVar[int] = 1
    lines: Annotated[str, "unsaid"]


def test_a_field_without_an_example_is_told() -> None:
    with pytest.raises(LookupError, match=r"_Bare\.lines has no example: add example"):
        example_of(_Bare, "lines")
