"""One suite against the ledger in memory and on DynamoDB (the simulator's and moto's), so that no fake can rot."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from headwater.effects.dynamodb import DynamoDbEffectLedger
from headwater.effects.ledger import Claim, ClaimHeldError, EffectLedger, UnconfirmedClaimError
from tests.fakes.cloud import FakeAws
from tests.fakes.ledger import InMemoryEffectLedger
from tests.fakes.moto import mock_aws
from tests.fakes.tables import create_tables

LEASE, MEMORY = timedelta(minutes=2), timedelta(days=400)
CONSUMER, EVENT, OF = "welcome_email", "0199-event", "user#ada#1"


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def in_memory(clock: Clock) -> EffectLedger:
    return InMemoryEffectLedger(lease=LEASE, memory=MEMORY, clock=clock)


def simulated(clock: Clock) -> EffectLedger:
    return DynamoDbEffectLedger(FakeAws().dynamodb, "ledger", lease=LEASE, memory=MEMORY, clock=clock)


def on_dynamodb(clock: Clock) -> EffectLedger:
    client = boto3.client("dynamodb")
    create_tables(client)
    return DynamoDbEffectLedger(client, "ledger", lease=LEASE, memory=MEMORY, clock=clock)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=[in_memory, simulated, on_dynamodb])
def ledger(request: pytest.FixtureRequest, clock: Clock) -> Iterator[EffectLedger]:
    build: Callable[[Clock], EffectLedger] = request.param
    with mock_aws():
        yield build(clock)


def claimed(ledger: EffectLedger, *, take_over: bool = False) -> Claim:
    claim = ledger.claim(CONSUMER, EVENT, OF, take_over=take_over)
    assert claim
    return claim


def test_a_confirmed_effect_is_never_claimed_again(ledger: EffectLedger, clock: Clock) -> None:
    ledger.confirm(claimed(ledger))
    clock.now += timedelta(days=399)

    assert ledger.claim(CONSUMER, EVENT, OF) is None
    assert ledger.claim(CONSUMER, EVENT, OF, take_over=True) is None


def test_a_refused_effect_is_never_claimed_again(ledger: EffectLedger, clock: Clock) -> None:
    ledger.confirm(claimed(ledger), refused=True)
    clock.now += timedelta(days=399)

    assert ledger.claim(CONSUMER, EVENT, OF) is None
    assert ledger.claim(CONSUMER, EVENT, OF, take_over=True) is None


@pytest.mark.parametrize("take_over", [False, True])
def test_nobody_else_gets_a_claim_within_its_lease(ledger: EffectLedger, clock: Clock, *, take_over: bool) -> None:
    claimed(ledger)
    clock.now += LEASE - timedelta(seconds=1)

    with pytest.raises(ClaimHeldError):
        ledger.claim(CONSUMER, EVENT, OF, take_over=take_over)


def test_a_claim_past_its_lease_is_told_apart_and_taken_over_on_demand_only(ledger: EffectLedger, clock: Clock) -> None:
    claimed(ledger)
    clock.now += LEASE

    with pytest.raises(UnconfirmedClaimError):
        ledger.claim(CONSUMER, EVENT, OF)
    claimed(ledger, take_over=True)
    with pytest.raises(ClaimHeldError):
        ledger.claim(CONSUMER, EVENT, OF, take_over=True)


def test_a_released_claim_is_free_at_once(ledger: EffectLedger) -> None:
    ledger.release(claimed(ledger))

    claimed(ledger)


def test_a_claim_that_was_taken_over_cannot_be_released_by_its_first_holder(ledger: EffectLedger, clock: Clock) -> None:
    first = claimed(ledger)
    clock.now += LEASE
    claimed(ledger, take_over=True)

    ledger.release(first)

    with pytest.raises(ClaimHeldError):
        ledger.claim(CONSUMER, EVENT, OF)


def test_a_confirmed_effect_cannot_be_released(ledger: EffectLedger) -> None:
    claim = claimed(ledger)
    ledger.confirm(claim)

    ledger.release(claim)

    assert ledger.claim(CONSUMER, EVENT, OF) is None


def test_releasing_twice_is_harmless(ledger: EffectLedger) -> None:
    claim = claimed(ledger)
    ledger.release(claim)

    ledger.release(claim)

    claimed(ledger)


def test_effects_of_other_consumers_and_events_are_apart(ledger: EffectLedger) -> None:
    ledger.confirm(claimed(ledger))

    assert ledger.claim("change_notice", EVENT, OF)
    assert ledger.claim(CONSUMER, "0199-other", OF)


def test_events_that_have_one_id_are_claimed_apart(ledger: EffectLedger, clock: Clock) -> None:
    """Nothing keeps programs from it, and neither may go without its effect."""
    ledger.confirm(claimed(ledger))

    other = ledger.claim(CONSUMER, EVENT, "user#bob#1")
    assert other
    with pytest.raises(ClaimHeldError):
        ledger.claim(CONSUMER, EVENT, "user#bob#1", take_over=True)
    ledger.release(other)
    unconfirmed = ledger.claim(CONSUMER, EVENT, "user#bob#1")
    clock.now += LEASE
    with pytest.raises(UnconfirmedClaimError):
        ledger.claim(CONSUMER, EVENT, "user#bob#1")
    assert unconfirmed
    ledger.confirm(unconfirmed)

    assert ledger.claim(CONSUMER, EVENT, "user#bob#1") is None
    assert ledger.claim(CONSUMER, EVENT, OF) is None
    assert ledger.claim(CONSUMER, EVENT, "user#bob#2")


def test_a_claim_past_its_lease_is_not_taken_over_for_another_event(ledger: EffectLedger, clock: Clock) -> None:
    claimed(ledger)
    clock.now += LEASE

    assert ledger.claim(CONSUMER, EVENT, "user#bob#1", take_over=True)
    with pytest.raises(UnconfirmedClaimError):
        ledger.claim(CONSUMER, EVENT, OF)


@mock_aws()
def test_an_entry_from_before_events_of_one_id_were_told_apart_settles_its_effect(clock: Clock) -> None:
    client = boto3.client("dynamodb")
    create_tables(client)
    ledger = DynamoDbEffectLedger(client, "ledger", lease=LEASE, memory=MEMORY, clock=clock)
    for event, state in (("0199-settled", "confirmed"), (EVENT, "claimed")):
        lease = {"lease_until": {"N": str(int((clock.now - LEASE).timestamp()))}} if state == "claimed" else {}
        item = {"pk": {"S": f"effect#{CONSUMER}#{event}"}, "state": {"S": state}, **lease}
        client.put_item(TableName="ledger", Item=item)

    assert ledger.claim(CONSUMER, "0199-settled", OF) is None
    with pytest.raises(UnconfirmedClaimError):
        ledger.claim(CONSUMER, EVENT, OF)
    claimed(ledger, take_over=True)


@mock_aws()
def test_the_item_carries_its_key_and_the_ttl_of_the_ledgers_memory(clock: Clock) -> None:
    client = boto3.client("dynamodb")
    create_tables(client)
    ledger = DynamoDbEffectLedger(client, "ledger", lease=LEASE, memory=MEMORY, clock=clock)
    expires_at = str(int((clock.now + MEMORY).timestamp()))

    claim = claimed(ledger)
    (unconfirmed,) = client.scan(TableName="ledger")["Items"]
    ledger.confirm(claim)
    (confirmed,) = client.scan(TableName="ledger")["Items"]
    ledger.confirm(claim, refused=True)
    (refused,) = client.scan(TableName="ledger")["Items"]

    assert unconfirmed["pk"] == confirmed["pk"] == {"S": f"effect#{CONSUMER}#{EVENT}"}
    assert unconfirmed["expires_at"] == confirmed["expires_at"] == {"N": expires_at}
    states = [item["state"]["S"] for item in (unconfirmed, confirmed, refused)]
    assert states == ["claimed", "confirmed", "refused"]
