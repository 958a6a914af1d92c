"""The effect ledger on DynamoDB: one item an effect, key ``effect#<consumer>#<effect id>``."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from headwater.attribute_values import marshal_item, unmarshal_item
from headwater.clock import utc_now
from headwater.effects.ledger import Claim, ClaimHeldError, UnconfirmedClaimError
from headwater.ids import uuid7

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: Twice the longest function timeout: past it, whoever claimed cannot be at work any more.
LEASE = timedelta(minutes=2)
#: Over a year, so that what happens once a year and is replayed late is still known.
MEMORY = timedelta(days=400)

_CLAIMED, _CONFIRMED, _REFUSED = "claimed", "confirmed", "refused"


class DynamoDbEffectLedger:
    """Implements `headwater.effects.ledger.EffectLedger`. Times are in epoch seconds; the TTL is ``expires_at``."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        *,
        lease: timedelta = LEASE,
        memory: timedelta = MEMORY,
        clock: Callable[[], datetime] = utc_now,
        new_token: Callable[[], str] = uuid7,
    ) -> None:
        self._client = client
        self._table = table
        self._lease = lease
        self._memory = memory
        self._clock = clock
        self._new_token = new_token

    @property
    def memory(self) -> timedelta:
        return self._memory

    def entry(self, consumer: str, effect_id: str) -> dict[str, Any] | None:
        """What is remembered of an effect: its ``state``, and ``lease_until`` or ``confirmed_at`` in epoch seconds."""
        key = marshal_item({"pk": _key(consumer, effect_id)})
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return unmarshal_item(item) if item is not None else None

    def claim(self, consumer: str, effect_id: str, of: str, *, take_over: bool = False) -> Claim | None:
        now = self._clock()
        claim = Claim(consumer=consumer, effect_id=effect_id, of=of, token=self._new_token())
        condition = "attribute_not_exists(pk)"
        if take_over:
            condition += " OR (#state = :claimed AND lease_until <= :now AND (attribute_not_exists(#of) OR #of = :of))"
        try:
            self._client.put_item(
                TableName=self._table,
                Item=marshal_item(
                    {
                        "pk": _pk(claim),
                        "state": _CLAIMED,
                        "of": of,
                        "token": claim.token,
                        "lease_until": _seconds(now + self._lease),
                        "expires_at": _seconds(now + self._memory),
                    }
                ),
                ConditionExpression=condition,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **_parameters({":claimed": _CLAIMED, ":now": _seconds(now), ":of": of} if take_over else {}),
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            answer: dict[str, Any] = {**error.response}
            held = unmarshal_item(answer["Item"])
            if held.get("token") == claim.token:
                # The SDK tried twice: the first answer was lost, and this claim is what it left.
                return claim
            # Entries from before there was an ``of`` are taken for this event's, as they nearly always are.
            if held.get("of", of) != of:
                return self.claim(consumer, f"{effect_id}@{of}", of, take_over=take_over)
            if held["state"] != _CLAIMED:
                return None
            if held["lease_until"] > _seconds(now):
                raise ClaimHeldError(f"{_pk(claim)} is claimed until {held['lease_until']}") from error
            raise UnconfirmedClaimError(
                f"{_pk(claim)} was claimed until {held['lease_until']} and never confirmed"
            ) from error
        return claim

    def confirm(self, claim: Claim, *, refused: bool = False) -> None:
        now = self._clock()
        self._client.put_item(
            TableName=self._table,
            Item=marshal_item(
                {
                    "pk": _pk(claim),
                    "state": _REFUSED if refused else _CONFIRMED,
                    "of": claim.of,
                    "confirmed_at": _seconds(now),
                    "expires_at": _seconds(now + self._memory),
                }
            ),
        )

    def release(self, claim: Claim) -> None:
        try:
            self._client.delete_item(
                TableName=self._table,
                Key=marshal_item({"pk": _pk(claim)}),
                ConditionExpression="#state = :claimed AND #token = :token",
                ExpressionAttributeNames={"#state": "state", "#token": "token"},
                ExpressionAttributeValues=marshal_item({":claimed": _CLAIMED, ":token": claim.token}),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            # Taken over or confirmed since: no longer ours to give up.
            return


def _pk(claim: Claim) -> str:
    return _key(claim.consumer, claim.effect_id)


def _key(consumer: str, effect_id: str) -> str:
    return f"effect#{consumer}#{effect_id}"


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _parameters(values: dict[str, Any]) -> dict[str, Any]:
    if not values:
        return {}
    return {
        "ExpressionAttributeNames": {"#state": "state", "#of": "of"},
        "ExpressionAttributeValues": marshal_item(values),
    }
