"""Records of the Kinesis stream, as Lambda delivers them.

Source: "Using AWS Lambda with Amazon Kinesis Data Streams".
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from headwater.change_stream.records import MalformedRecordError


def sequence_number(raw: Mapping[str, Any]) -> str:
    """The record's place in its shard: what a batch answer names."""
    try:
        return str(raw["kinesis"]["sequenceNumber"])
    except (KeyError, TypeError) as error:
        raise MalformedRecordError(f"not a Kinesis record: {error!r}") from error


def partition_key(raw: Mapping[str, Any]) -> str:
    """What the record was routed by: its aggregate's id, legible even where the body is not."""
    try:
        return str(raw["kinesis"]["partitionKey"])
    except (KeyError, TypeError) as error:
        raise MalformedRecordError(f"not a Kinesis record: {error!r}") from error


def body(raw: Mapping[str, Any]) -> bytes:
    """The record's data."""
    try:
        return base64.b64decode(raw["kinesis"]["data"], validate=True)
    except (KeyError, TypeError, binascii.Error) as error:
        raise MalformedRecordError(f"not a Kinesis record: {error!r}") from error
