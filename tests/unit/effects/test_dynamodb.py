"""The ledger on DynamoDB, where the SDK tries a call again whose answer was lost (FAULTS row 3)."""

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ReadTimeoutError

from devstack.simulator.cloud import Cloud, NoFaults
from headwater.effects.dynamodb import DynamoDbEffectLedger

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

    claim = ledger.claim("welcome_email", "event-1")

    assert claim is not None
    ledger.confirm(claim)
    assert ledger.claim("welcome_email", "event-1") is None
