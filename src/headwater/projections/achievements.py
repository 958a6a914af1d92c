"""A user's achievements: the badges awarded, each with the play that earned it, and the sums that tell what comes next.

Awards come from BadgeEarned alone: they are the truth about badges, whatever rules say today. The sums come from plays,
by the same fold that decides about badges. Neither depends on the other, so that nothing need order their events.
"""

from typing import Any, TypedDict, cast

from headwater.domain.badges import Tally, count, no_tally
from headwater.domain.events import (
    BadgeEarned,
    PlayCompleted,
    RecordedEvent,
    UserDeleted,
    UserEmailChanged,
    UserProfileChanged,
    UserRegistered,
)
from headwater.projections.projection import Projection, State, owner_key


class Earned(TypedDict):
    """One award. Badge and game are in its key, ``<badge id>[:<game>]``: the row is written at every play."""

    title: str
    earned_at: str
    play_event_id: str


def _played(state: State, play: PlayCompleted, _: RecordedEvent) -> State:
    return {**count(cast(Tally, state), play), "earned": state["earned"]}


def _earned(state: State, award: BadgeEarned, event: RecordedEvent) -> State:
    key = event.aggregate_key.partition("#")[2]
    earned = Earned(title=award.title, earned_at=award.earned_at, play_event_id=award.play_event_id)
    return {**state, "earned": {**state["earned"], key: earned}}


ACHIEVEMENTS = Projection(
    name="achievements",
    generation=1,
    initial={**cast(dict[str, Any], no_tally()), "earned": {}},
    folds={PlayCompleted: _played, BadgeEarned: _earned},
    deleted_by=[UserDeleted],
    ignores=[UserRegistered, UserEmailChanged, UserProfileChanged],
    key=owner_key,
    many={"badge"},
)
