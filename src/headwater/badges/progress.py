"""The read model behind badges: what each player's plays add up to, and which badges that has earned."""

from typing import Any, cast

from headwater.domain.badges import Progress, no_progress, record_play
from headwater.domain.events import (
    BadgeEarned,
    PlayCompleted,
    RecordedEvent,
    UserDeleted,
    UserEmailChanged,
    UserProfileChanged,
    UserRegistered,
)
from headwater.projections.projection import BeforeWrite, Projection, State


def _played(state: State, play: PlayCompleted, event: RecordedEvent) -> State:
    return cast(State, record_play(cast(Progress, state), play, event.event_id)[0])


def _awarding() -> BeforeWrite:
    from headwater import bootstrap
    from headwater.badges.awarder import Awarder
    from headwater.clock import utc_now
    from headwater.ids import uuid7

    return Awarder(bootstrap.event_store(), uuid7, utc_now).award


#: Of a user only the deletion matters, but a gate counts all versions, so the others are ignored by name. So are the
#: awards: they come back on the stream, and the progress knows them already.
#:
#: Generation 1 knew one badge of days and no sums. A player's next play finds no row of generation 2: the gate sees a
#: gap down to version 1 and folds the whole history once. What that earns again loses the append's condition, so that
#: no badge is awarded twice; what is new is awarded for the play that would have earned it.
BADGE_PROGRESS = Projection(
    name="badges",
    generation=2,
    initial=cast(dict[str, Any], no_progress()),
    folds={PlayCompleted: _played},
    deleted_by=[UserDeleted],
    ignores=[UserRegistered, UserEmailChanged, UserProfileChanged],
    before_write=_awarding,
    appends=[BadgeEarned],
)
