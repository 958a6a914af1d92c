"""The read model behind badges: each player's progress, and what it earned."""

from typing import Any, cast

from headwater.domain.badges import Progress, no_progress, record_play
from headwater.domain.events import (
    ActivityRecorded,
    BadgeEarned,
    PlayCompleted,
    RecordedEvent,
    UserDeleted,
    UserEmailChanged,
    UserProfileChanged,
    UserRegistered,
)
from headwater.projections.projection import Projection, State


def _played(state: State, play: PlayCompleted, event: RecordedEvent) -> State:
    return cast(State, record_play(cast(Progress, state), play, event.event_id))


#: Of a user only the deletion matters, but a gate counts all versions, so the others are ignored by name. So are the
#: awards: they come back on the stream, and the progress knows them already.
BADGE_PROGRESS = Projection(
    name="badges",
    generation=1,
    initial=cast(dict[str, Any], no_progress()),
    folds={PlayCompleted: _played},
    deleted_by=[UserDeleted],
    ignores=[UserRegistered, UserEmailChanged, UserProfileChanged, BadgeEarned, ActivityRecorded],
)
