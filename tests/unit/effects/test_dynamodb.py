"""The ledger on DynamoDB, where the SDK tries a call again whose answer was lost (FAULTS row 3)."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ReadTimeoutError

from devstack.simulator.cloud import Cloud, NoFaults
from headwater.effects.dynamodb import LEASE, DynamoDbEffectLedger
from headwater.effects.ledger import Claim, ClaimHeldError, UnconfirmedClaimError
from tests.fakes.cloud import FakeAws

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class LosesOneAnswer(NoFaults):
    """The first call takes effect, and its answer never arrives."""

    def __init__(self) -> None:
        self.lost = False

    def after(self, service: str, operation: str, params: Mapping[str, Any]) -> None:
        if not self.lost:
            self.lost = True
            raise ReadTimeoutError(endpoint_url="https://dynamodb.invalid")


def test_a_claim_whose_first_answer_was_lost_is_still_ones_own() -> None:
    cloud = Cloud(lambda: 1_700_000_000.0, LosesOneAnswer(), random.Random(1), attempts=2)
    cloud.create_table("ledger", "pk")
    ledger = DynamoDbEffectLedger(cast("DynamoDBClient", cloud.dynamodb), "ledger")

    claim = ledger.claim("welcome_email", "event-1", "user#ada#1")

    assert claim is not None
    ledger.confirm(claim)
    assert ledger.claim("welcome_email", "event-1", "user#ada#1") is None


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.mark.parametrize("take_over", [False, True])
@pytest.mark.parametrize("after", [timedelta(0), LEASE - timedelta(seconds=1)])
def test_while_a_lease_runs_nobody_else_acts_even_who_would_repeat(after: timedelta, *, take_over: bool) -> None:
    """Or two functions would send the same e-mail at once."""
    clock = Clock()
    ledger = DynamoDbEffectLedger(FakeAws().dynamodb, "ledger", clock=clock)
    ledger.claim("welcome_email", "event-1", "user#ada#1")
    clock.now += after

    with pytest.raises(ClaimHeldError):
        ledger.claim("welcome_email", "event-1", "user#ada#1", take_over=take_over)


def test_from_the_end_of_its_lease_a_claim_is_unconfirmed_and_can_be_taken_over() -> None:
    clock = Clock()
    ledger = DynamoDbEffectLedger(FakeAws().dynamodb, "ledger", clock=clock)
    ledger.claim("welcome_email", "event-1", "user#ada#1")
    clock.now += LEASE

    with pytest.raises(UnconfirmedClaimError):
        ledger.claim("welcome_email", "event-1", "user#ada#1")
    assert isinstance(ledger.claim("welcome_email", "event-1", "user#ada#1", take_over=True), Claim)


def test_who_took_over_holds_a_lease_of_their_own() -> None:
    clock = Clock()
    ledger = DynamoDbEffectLedger(FakeAws().dynamodb, "ledger", clock=clock)
    ledger.claim("welcome_email", "event-1", "user#ada#1")
    clock.now += LEASE
    ledger.claim("welcome_email", "event-1", "user#ada#1", take_over=True)
    clock.now += LEASE - timedelta(seconds=1)

    with pytest.raises(ClaimHeldError):
        ledger.claim("welcome_email", "event-1", "user#ada#1", take_over=True)
