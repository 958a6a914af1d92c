"""The commands over memory: what they append, what they refuse, and what a repetition answers."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from headwater.accounts.commands import ChangeEmail, ChangeProfile, RecordActivity, RecordPlay, RegisterUser
from headwater.accounts.passwords import Password
from headwater.accounts.request_ledger import IdempotencyKeyReusedError, Receipt, RequestKey
from headwater.accounts.use_cases import ATTEMPTS, CommandContext, EmailTakenError, VersionMismatchError
from headwater.domain.events import (
    ActivityRecorded,
    PlayCompleted,
    RecordedEvent,
    UserDeleted,
    UserEmailChanged,
    UserProfileChanged,
    UserRegistered,
)
from headwater.domain.user import UserDeletedError, UserNotFoundError
from headwater.event_store.store import Append, ConcurrencyError, ConditionalWrite, Replace, WriteRefusedError
from tests.fakes.accounts import NOW, World
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.events import new_event

CONTEXT = CommandContext(correlation_id="c-1", actor="anonymous")
ADA = RegisterUser(name="Ada", email="Ada@example.org", password=Password("correct horse"))
EVE = RegisterUser(name="Eve", email="eve@example.org", password=Password("battery staple"))
PLAY = RecordPlay(game="chess", score=7)
NOBODY = "01990000-0000-7000-8000-ffffffffffff"


@pytest.fixture
def world() -> World:
    return World()


def registered(world: World, command: RegisterUser = ADA) -> str:
    return world.accounts.register(command, CONTEXT).aggregate_key


def repeatable(key: str = "k-1", **body: object) -> CommandContext:
    route = "POST /users/{id}/plays"
    return replace(CONTEXT, request=RequestKey.of(caller="a", route=route, key=key, path="/users/1/plays", body=body))


def payloads(world: World, aggregate_id: str) -> list[object]:
    return [event.payload for event in world.memory.load(aggregate_id)]


class Busy(InMemoryEventStore):
    """Others append to the same aggregate first, so often."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def append(self, *appends: Append, also: Sequence[ConditionalWrite] = ()) -> list[RecordedEvent]:
        first = appends[0]
        if first.aggregate_id.startswith("player#") and self.times:
            self.times -= 1
            other = PlayCompleted(game="go", score=1, played_at="2026-03-01T12:00:00.000Z")
            super().append(Append(first.aggregate_id, first.expected_version, [new_event(other)]))
        return super().append(*appends, also=also)


def test_a_registration_is_one_event_one_guard_and_one_hash(world: World) -> None:
    receipt = world.accounts.register(ADA, CONTEXT)

    (event,) = world.memory.load(receipt.aggregate_id)
    assert event.payload == UserRegistered(name="Ada", email="Ada@example.org")
    assert (event.event_id, event.version) == (receipt.event_id, receipt.version)
    assert event.occurred_at == "2026-03-01T12:00:00.000Z"
    assert event.metadata == {"correlation_id": "c-1", "actor": "anonymous"}
    credentials = world.table("credentials")
    assert credentials["email#ada@example.org"]["user_id"] == receipt.aggregate_key
    kept = credentials[f"credentials#{receipt.aggregate_key}"]
    assert kept["email"] == "Ada@example.org"
    assert str(kept["password_hash"]).startswith("$argon2id$")


@pytest.mark.parametrize("email", ["Ada@example.org", "ada@example.org", "ADA@example.org"])
def test_a_taken_address_registers_nobody(world: World, email: str) -> None:
    registered(world)

    with pytest.raises(EmailTakenError):
        world.accounts.register(replace(EVE, email=email), CONTEXT)

    assert len(world.memory.histories) == 1
    assert len(world.table("credentials")) == 2


def test_a_moved_address_frees_the_old_one_and_keeps_the_password(world: World) -> None:
    user_id = registered(world)
    hashed = world.table("credentials")[f"credentials#{user_id}"]["password_hash"]

    receipt = world.accounts.change_email(user_id, ChangeEmail(email="ada@example.com"), CONTEXT)

    assert receipt.version == 2
    assert payloads(world, f"user#{user_id}")[1] == UserEmailChanged(
        old_email="Ada@example.org", new_email="ada@example.com"
    )
    assert world.table("credentials") == {
        "email#ada@example.com": {"pk": "email#ada@example.com", "user_id": user_id},
        f"credentials#{user_id}": {
            "pk": f"credentials#{user_id}",
            "password_hash": hashed,
            "email": "ada@example.com",
        },
    }
    registered(world, replace(EVE, email="ada@example.org"))


def test_an_address_that_changes_its_case_keeps_its_guard(world: World) -> None:
    user_id = registered(world)

    world.accounts.change_email(user_id, ChangeEmail(email="ada@example.org"), CONTEXT)

    assert world.table("credentials")["email#ada@example.org"]["user_id"] == user_id
    assert world.table("credentials")[f"credentials#{user_id}"]["email"] == "ada@example.org"


def test_another_accounts_address_cannot_be_taken(world: World) -> None:
    user_id, _ = registered(world), registered(world, EVE)
    before = {pk: dict(item) for pk, item in world.table("credentials").items()}

    with pytest.raises(EmailTakenError):
        world.accounts.change_email(user_id, ChangeEmail(email="EVE@example.org"), CONTEXT)

    assert len(world.memory.load(f"user#{user_id}")) == 1
    assert world.table("credentials") == before


def test_a_user_appended_by_hand_can_move_and_leave(world: World) -> None:
    by_hand = UserRegistered(name="Ada", email="ada@example.org")
    world.memory.append(Append(f"user#{NOBODY}", 0, [new_event(by_hand)]))

    world.accounts.change_email(NOBODY, ChangeEmail(email="ada@example.com"), CONTEXT)
    assert set(world.table("credentials")) == {"email#ada@example.com"}

    world.accounts.delete(NOBODY, CONTEXT)
    assert world.table("credentials") == {}


def test_a_change_to_what_is_already_so_appends_nothing(world: World) -> None:
    user_id = registered(world)

    same_email = world.accounts.change_email(user_id, ChangeEmail(email="Ada@example.org"), CONTEXT)
    same_name = world.accounts.change_profile(user_id, ChangeProfile(name="Ada"), CONTEXT)

    assert same_email == same_name == Receipt(aggregate_id=f"user#{user_id}", version=1, event_id=None)
    assert len(world.memory.load(f"user#{user_id}")) == 1


def test_a_name_changes(world: World) -> None:
    user_id = registered(world)

    world.accounts.change_profile(user_id, ChangeProfile(name="Ada L."), CONTEXT)

    assert payloads(world, f"user#{user_id}")[1] == UserProfileChanged(name="Ada L.")


def test_a_change_on_another_version_is_refused(world: World) -> None:
    user_id = registered(world)

    with pytest.raises(VersionMismatchError, match="at version 1, not at 2"):
        world.accounts.change_profile(user_id, ChangeProfile(name="Eve"), replace(CONTEXT, expected_version=2))

    receipt = world.accounts.change_profile(user_id, ChangeProfile(name="Eve"), replace(CONTEXT, expected_version=1))
    assert receipt.version == 2


def test_a_deleted_user_leaves_no_credentials_and_the_address_is_free(world: World) -> None:
    user_id = registered(world)

    world.accounts.delete(user_id, CONTEXT)

    assert payloads(world, f"user#{user_id}")[1] == UserDeleted()
    assert world.table("credentials") == {}
    assert registered(world) != user_id


@pytest.mark.parametrize(("deleted", "error"), [(False, UserNotFoundError), (True, UserDeletedError)])
def test_nothing_happens_to_a_user_who_is_not_there(world: World, deleted: bool, error: type[Exception]) -> None:
    user_id = registered(world) if deleted else NOBODY
    if deleted:
        world.accounts.delete(user_id, CONTEXT)
    before = {aggregate: len(history) for aggregate, history in world.memory.histories.items()}

    with pytest.raises(error):
        world.accounts.change_email(user_id, ChangeEmail(email="new@example.org"), CONTEXT)
    with pytest.raises(error):
        world.accounts.change_profile(user_id, ChangeProfile(name="New"), CONTEXT)
    with pytest.raises(error):
        world.accounts.delete(user_id, CONTEXT)
    with pytest.raises(error):
        world.accounts.record_play(user_id, PLAY, CONTEXT)
    assert {aggregate: len(history) for aggregate, history in world.memory.histories.items()} == before


def test_plays_follow_one_another(world: World) -> None:
    user_id = registered(world)
    played = replace(PLAY, played_at=datetime(2026, 2, 1, 8, 30, tzinfo=UTC))

    first = world.accounts.record_play(user_id, PLAY, CONTEXT)
    second = world.accounts.record_play(user_id, played, CONTEXT)

    assert (first.version, second.version) == (1, 2)
    assert payloads(world, f"player#{user_id}") == [
        PlayCompleted(game="chess", score=7, played_at="2026-03-01T12:00:00.000Z"),
        PlayCompleted(game="chess", score=7, played_at="2026-02-01T08:30:00.000Z"),
    ]


def test_a_play_that_others_overtake_is_decided_again() -> None:
    store = Busy(times=ATTEMPTS - 1)
    world = World(memory=store)
    user_id = registered(world)

    receipt = world.accounts.record_play(user_id, PLAY, CONTEXT)

    assert receipt.version == ATTEMPTS
    assert [event.version for event in store.load(f"player#{user_id}")] == [1, 2, 3]


def test_a_play_that_others_keep_overtaking_is_given_up() -> None:
    store = Busy(times=ATTEMPTS)
    world = World(memory=store)
    user_id = registered(world)

    with pytest.raises(ConcurrencyError):
        world.accounts.record_play(user_id, PLAY, CONTEXT)

    assert not [event for event in store.load(f"player#{user_id}") if event.data["game"] == "chess"]


def test_credentials_that_change_meanwhile_are_read_again() -> None:
    class Moving(InMemoryEventStore):
        """A password is changed just before an address moves, once."""

        moved = False

        def append(self, *appends: Append, also: Sequence[ConditionalWrite] = ()) -> list[RecordedEvent]:
            if not self.moved and any(isinstance(write, Replace) for write in also):
                self.moved = True
                self.tables["credentials"][f"credentials#{user_id}"]["password_hash"] = "$argon2id$new"
            return super().append(*appends, also=also)

    world = World(memory=Moving())
    user_id = registered(world)

    world.accounts.change_email(user_id, ChangeEmail(email="ada@example.com"), CONTEXT)

    assert world.table("credentials")[f"credentials#{user_id}"] == {
        "pk": f"credentials#{user_id}",
        "password_hash": "$argon2id$new",
        "email": "ada@example.com",
    }


def test_an_activity_is_an_aggregate_of_its_own_that_expires(world: World) -> None:
    command = RecordActivity(kind="ClickOnLogo", user_id=None, details={"page": "/"})

    receipt = world.accounts.record_activity(command, CONTEXT)

    assert receipt.aggregate_id == f"activity#{receipt.event_id}"
    (event,) = world.memory.load(receipt.aggregate_id)
    assert event.payload == ActivityRecorded(kind="ClickOnLogo", user_id=None, details={"page": "/"})
    assert event.expires_at == int((NOW + timedelta(days=90)).timestamp())


def test_a_repeated_request_answers_the_same_and_does_nothing(world: World) -> None:
    """FAULTS row 29."""
    user_id = registered(world)
    context = repeatable(game="chess", score=7)

    first = world.accounts.record_play(user_id, PLAY, context)
    world.now += timedelta(hours=1)
    again = world.accounts.record_play(user_id, PLAY, context)

    assert again == first
    assert len(world.memory.load(f"player#{user_id}")) == 1
    assert world.accounts.record_play(user_id, PLAY, repeatable("k-2", game="chess", score=7)).version == 2


def test_a_key_with_another_request_is_refused(world: World) -> None:
    """FAULTS row 29."""
    user_id = registered(world)
    world.accounts.record_play(user_id, PLAY, repeatable(game="chess", score=7))

    with pytest.raises(IdempotencyKeyReusedError):
        world.accounts.record_play(user_id, replace(PLAY, score=8), repeatable(game="chess", score=8))

    assert len(world.memory.load(f"player#{user_id}")) == 1


def test_a_repeated_request_answers_the_same_although_it_could_not_act_any_more(world: World) -> None:
    """FAULTS row 29: the answer was lost, and the user was deleted before the client tried again."""
    user_id = registered(world)
    context = repeatable(game="chess", score=7)
    first = world.accounts.record_play(user_id, PLAY, context)
    world.accounts.delete(user_id, CONTEXT)

    assert world.accounts.record_play(user_id, PLAY, context) == first
    with pytest.raises(UserDeletedError):
        world.accounts.record_play(user_id, PLAY, repeatable("k-2", game="chess", score=7))


def test_a_repeated_registration_answers_the_same_for_the_same_password_only(world: World) -> None:
    """FAULTS row 29."""
    context = repeatable(name="Ada", email="Ada@example.org", password="correct horse")
    first = world.accounts.register(ADA, context)

    assert world.accounts.register(ADA, context) == first
    with pytest.raises(IdempotencyKeyReusedError):
        world.accounts.register(replace(ADA, password=Password("another one")), context)
    assert len(world.memory.histories) == 1


def test_a_repeated_registration_of_someone_who_left_is_refused(world: World) -> None:
    """FAULTS row 29: with no hash to check against, nobody is told anything."""
    context = repeatable(name="Ada", email="Ada@example.org")
    user_id = world.accounts.register(ADA, context).aggregate_key
    world.accounts.delete(user_id, CONTEXT)

    with pytest.raises(IdempotencyKeyReusedError):
        world.accounts.register(ADA, context)


def test_a_refused_request_leaves_its_key_free(world: World) -> None:
    """FAULTS row 29."""
    registered(world)
    context = repeatable(name="Ada", email="Ada@example.org")
    with pytest.raises(EmailTakenError):
        world.accounts.register(ADA, context)

    assert world.accounts.register(EVE, context).version == 1


def test_no_password_reaches_the_ledger_an_event_or_a_fingerprint(world: World) -> None:
    """FAULTS row 30."""
    context = repeatable(password="correct horse")

    world.accounts.register(ADA, context)

    assert "correct horse" not in repr(world.memory.histories) + repr(world.memory.tables)
    assert context.request == repeatable(password="something else").request
    assert "password_hash" not in repr(world.table("ledger"))


def test_a_refused_write_that_nobody_can_explain_is_raised() -> None:
    class Refusing(InMemoryEventStore):
        def append(self, *appends: Append, also: Sequence[ConditionalWrite] = ()) -> list[RecordedEvent]:
            if any(isinstance(write, Replace) for write in also):
                raise WriteRefusedError(next(write for write in also if isinstance(write, Replace)))
            return super().append(*appends, also=also)

    world = World(memory=Refusing())
    user_id = registered(world)

    with pytest.raises(WriteRefusedError):
        world.accounts.change_email(user_id, ChangeEmail(email="ada@example.com"), CONTEXT)
