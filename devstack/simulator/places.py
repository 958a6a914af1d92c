"""Where an event stands: its aggregate and its version, which may be any number where a foreign producer wrote it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import orjson

_SEQUENCE: Final = b'"sequence":"'
#: At the least and at the most: a foreign producer's may be more than ours, and DynamoDB takes 38.
_DIGITS: Final = 20
_MOST_DIGITS: Final = 40

#: Aggregate id and version.
type Place = tuple[str, int | Decimal]


def place_of_item(item: Mapping[str, Any]) -> Place:
    """The place of an item of the events table, or of its key."""
    return item["aggregate_id"]["S"], number(item["version"]["N"])


def event_of(body: Any) -> Place:
    """Aggregate id and version of the event in a stream record, of either kind.

    Of another item its key and 0; of what is no event on Kinesis its partition key and 0.
    """
    if "dynamodb" in body:
        keys = body["dynamodb"]["Keys"]
        if "aggregate_id" not in keys:
            return "".join(value["S"] for value in keys.values()), 0
        return place_of_item(keys)
    try:
        envelope = orjson.loads(base64.b64decode(body["kinesis"]["data"]))
        subject, version = envelope["subject"], int(envelope["sequence"])
    except (KeyError, TypeError, ValueError):
        subject, version = None, 0
    if isinstance(subject, str) and "#" in subject:
        return subject, version
    return body["kinesis"]["partitionKey"], 0


def number(text: str) -> int | Decimal:
    """A number as DynamoDB spells it; whole ones as int."""
    if text.isdecimal():
        return int(text)
    value = Decimal(text)
    return int(value) if value == value.to_integral_value() else value


def version_on_kinesis(data: bytes) -> int | None:
    """The version that an event on Kinesis states, found without reading the rest of it; None of what states none."""
    start = data.find(_SEQUENCE) + len(_SEQUENCE)
    digits = data[start : data.find(b'"', start)]
    return int(digits) if _DIGITS <= len(digits) <= _MOST_DIGITS and digits.isdigit() else None


def key_of(aggregate_id: str) -> str:
    """The key of its row in a read model, which several aggregates of one user share."""
    return aggregate_id.partition("#")[2].partition("#")[0]
