"""Of a failed batch, what the projection's rows do not hold yet."""

from copy import replace

import pytest

from headwater.domain.events import BadgeEarned, PlayCompleted, RecordedEvent, UserRegistered
from headwater.projections.achievements import ACHIEVEMENTS
from headwater.projections.gates import ProjectionGates
from headwater.projections.player_profiles import PLAYER_PROFILES
from headwater.projections.read_models import Row
from tests.fakes.events import EVENT_TYPES, recorded
from tests.fakes.kinesis_records import kinesis_batch, kinesis_record, outgoing
from tests.fakes.read_models import InMemoryReadModels

PLAY = PlayCompleted(game="chess", score=1, played_at="2026-03-01T12:00:00.000Z")


def play(player: str, version: int) -> RecordedEvent:
    return recorded(f"player#{player}", version, PLAY)


def user(name: str) -> RecordedEvent:
    return recorded(f"user#{name}", 1, UserRegistered(name="Ada", email="ada@example.org"))


def gates(**applied: int) -> ProjectionGates:
    """Gates of player profiles, with the version that each user's row holds of its player."""
    rows = InMemoryReadModels()
    for user, version in applied.items():
        rows.put(Row(pk=PLAYER_PROFILES.pk(user), state={}, applied={"player": version}, revision=1))
    return ProjectionGates(PLAYER_PROFILES, rows, EVENT_TYPES)


def test_row_24_what_a_row_holds_is_left_out_and_the_rest_stays_in_order() -> None:
    """FAULTS row 24: the range holds what had succeeded, too."""
    records = kinesis_batch([play("ada", 1), play("bob", 1), play("ada", 2), play("ada", 3), play("eve", 1)])

    left = gates(ada=2, bob=5).unapplied(records)

    assert left == [records[3], records[4]]


def test_row_20_what_cannot_be_read_stays() -> None:
    """FAULTS row 20."""
    unreadable = kinesis_record(play("ada", 1), 1, body=b"no event")
    newer = recorded("player#ada", 1, PLAY)
    unknown = kinesis_record(newer, 2, body=kinesis_unknown())

    assert gates(ada=9).unapplied([unreadable, unknown]) == [unreadable, unknown]


def kinesis_unknown() -> bytes:
    """An event of an aggregate type that no projection declares."""
    return outgoing(recorded("thing#1", 1, PLAY)).body.replace(b"PlayCompleted", b"ThingHappened")


def test_an_event_that_the_projection_does_not_follow_is_left_out() -> None:
    award = recorded(
        "badge#ada#first-play-ever",
        1,
        BadgeEarned(
            user_id="ada",
            badge="first-play-ever",
            game=None,
            title="First play ever",
            earned_at="2026-03-01T12:00:00.000Z",
            play_event_id="event-1",
        ),
    )

    assert gates().unapplied(kinesis_batch([award])) == []
    assert len(ProjectionGates(ACHIEVEMENTS, InMemoryReadModels(), EVENT_TYPES).unapplied(kinesis_batch([award]))) == 1


@pytest.mark.parametrize(("parked_from", "waits_for"), [({"player": 3}, {}), ({}, {"player": 3})])
def test_what_lies_above_a_mark_is_left_out_and_what_it_waits_for_stays(
    parked_from: dict[str, int], waits_for: dict[str, int]
) -> None:
    """The event store has it for whoever takes the mark away; what lies at the mark may be what takes it away."""
    rows = InMemoryReadModels()
    row = Row(pk=PLAYER_PROFILES.pk("ada"), state={}, applied={"player": 2}, revision=1)
    rows.put(replace(row, parked_from=parked_from, waits_for=waits_for))
    records = kinesis_batch([play("ada", 2), play("ada", 3), play("ada", 4), user("ada"), play("bob", 4)])

    assert ProjectionGates(PLAYER_PROFILES, rows, EVENT_TYPES).unapplied(records) == [
        records[1],
        records[3],
        records[4],
    ]


def test_an_item_that_is_no_row_hides_no_other() -> None:
    of_ada = gates(ada=1, bob=1)
    rows = of_ada._rows
    assert isinstance(rows, InMemoryReadModels)
    rows.unreadable = {PLAYER_PROFILES.pk("ada")}
    records = kinesis_batch([play("ada", 1), play("bob", 1)])

    assert of_ada.unapplied(records) == records[:1]
