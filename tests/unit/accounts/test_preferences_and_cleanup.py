"""What a user is given at first, and what is removed at last, in whichever order the messages come."""

from itertools import permutations

import pytest

from headwater.accounts.cleanup import AccountCleanup
from headwater.accounts.preferences import DEFAULTS, DefaultResources
from headwater.domain.events import UserDeleted, UserEmailChanged, UserRegistered
from headwater.domain.user import UserDeletedError, UserNotFoundError
from headwater.effects.consumer import UnexpectedEventError
from tests.fakes.accounts import World
from tests.fakes.events import appended, recorded

ID = "01990000-0000-7000-8000-00000000000a"
USER = f"user#{ID}"
HISTORY = (
    UserRegistered(name="Ada", email="ada@example.org"),
    UserEmailChanged(old_email="ada@example.org", new_email="Ada@Example.com"),
    UserDeleted(),
)


class Bench:
    """The two consumers' effects over one user's history."""

    def __init__(self) -> None:
        self.world = World()
        self.events = appended(self.world.memory, USER, *HISTORY)
        self._cleanup = AccountCleanup(self.world.credentials, self.world.preferences, self.world.memory)
        self._defaults = DefaultResources(self.world.preferences)

    def register(self) -> None:
        for effect in self._defaults.prepare(self.events[0]).values():
            effect()

    def delete(self) -> None:
        for effect in self._cleanup.prepare(self.events[2]).values():
            effect()


def test_a_new_user_has_the_default_preferences_even_before_their_record_is_there() -> None:
    world = World()
    appended(world.memory, USER, HISTORY[0])

    assert world.preferences.read(ID) == DEFAULTS
    assert world.table("preferences") == {}

    world.preferences.create_default(ID)

    assert world.preferences.read(ID) == DEFAULTS
    assert set(world.table("preferences")) == {USER}


def test_preferences_that_a_user_has_are_not_overwritten_by_a_late_registration() -> None:
    bench = Bench()
    mine: dict[str, object] = {"pk": USER, "preferences": {**DEFAULTS, "language": "pt"}}
    bench.world.memory.tables["preferences"] = {USER: mine}

    bench.register()

    assert bench.world.table("preferences") == {USER: mine}
    assert bench.world.preferences.read(ID)["language"] == "pt"


@pytest.mark.parametrize("order", sorted(set(permutations(["register", "register", "delete", "delete"]))))
def test_a_deleted_users_preferences_are_gone_in_whichever_order_and_however_often(order: tuple[str, ...]) -> None:
    bench = Bench()

    for step in order:
        getattr(bench, step)()

    assert bench.world.table("preferences") == {USER: {"pk": USER}}
    with pytest.raises(UserDeletedError):
        bench.world.preferences.read(ID)


def test_a_user_who_was_deleted_before_their_record_was_made_has_none() -> None:
    with pytest.raises(UserDeletedError):
        Bench().world.preferences.read(ID)
    with pytest.raises(UserNotFoundError):
        World().preferences.read(ID)


def test_a_deletion_that_was_appended_by_hand_leaves_no_credentials_and_frees_every_address() -> None:
    bench = Bench()
    others: dict[str, dict[str, object]] = {
        "email#grace@example.org": {"pk": "email#grace@example.org", "user_id": "somebody"}
    }
    mine: dict[str, dict[str, object]] = {
        f"email#{address}": {"user_id": ID} for address in ("ada@example.org", "ada@example.com")
    }
    mine[f"credentials#{ID}"] = {"password_hash": "…", "email": "ada@example.com"}
    bench.world.memory.tables["credentials"] = {**others, **{pk: {"pk": pk, **item} for pk, item in mine.items()}}

    bench.delete()
    bench.delete()

    assert bench.world.table("credentials") == others


def test_an_address_that_somebody_else_took_since_stays_theirs() -> None:
    bench = Bench()
    taken: dict[str, object] = {"pk": "email#ada@example.org", "user_id": "somebody"}
    bench.world.memory.tables["credentials"] = {"email#ada@example.org": taken}

    bench.delete()

    assert bench.world.table("credentials") == {"email#ada@example.org": taken}


def test_another_event_prepares_nothing() -> None:
    world = World()
    registered = recorded(USER, 1, HISTORY[0])

    with pytest.raises(UnexpectedEventError, match="UserRegistered"):
        AccountCleanup(world.credentials, world.preferences, world.memory).prepare(registered)
    with pytest.raises(UnexpectedEventError, match="UserDeleted"):
        DefaultResources(world.preferences).prepare(recorded(USER, 2, UserDeleted()))
