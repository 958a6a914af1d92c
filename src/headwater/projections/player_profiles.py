"""A player's profile: name, plays, best score of each game, last play by event time.

The e-mail address stays out: no reader of the profile needs it.
"""

from headwater.domain.events import (
    PlayCompleted,
    RecordedEvent,
    UserDeleted,
    UserEmailChanged,
    UserProfileChanged,
    UserRegistered,
)
from headwater.projections.projection import Projection, State


def _registered(state: State, registration: UserRegistered, event: RecordedEvent) -> State:
    return {**state, "name": registration.name, "registered_at": event.occurred_at}


def _renamed(state: State, change: UserProfileChanged, _: RecordedEvent) -> State:
    return {**state, "name": change.name}


def _played(state: State, play: PlayCompleted, _: RecordedEvent) -> State:
    best, last = state["best_scores"], state["last_play"]
    if last is None or play.played_at >= last["played_at"]:
        last = {"game": play.game, "score": play.score, "played_at": play.played_at}
    return {
        **state,
        "plays": state["plays"] + 1,
        "best_scores": {**best, play.game: max(play.score, best.get(play.game, 0))},
        "last_play": last,
    }


PLAYER_PROFILES = Projection(
    name="player_profiles",
    generation=1,
    initial={"name": None, "registered_at": None, "plays": 0, "best_scores": {}, "last_play": None},
    folds={UserRegistered: _registered, UserProfileChanged: _renamed, PlayCompleted: _played},
    deleted_by=[UserDeleted],
    ignores=[UserEmailChanged],
)
