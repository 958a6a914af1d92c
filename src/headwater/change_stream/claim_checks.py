"""Claim checks: an event too large for its destination waits in S3, and the message carries its address."""

from typing import TYPE_CHECKING, Protocol

from headwater.change_stream import cloud_events
from headwater.change_stream.cloud_events import Delivery
from headwater.domain.events import EventTypes, MalformedEventError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PREFIX = "claims/"


class ClaimStore(Protocol):
    """Keeps whole outgoing events, and other large bodies, by name."""

    def put(self, name: str, body: bytes) -> str:
        """Stores the body, in place of any of that name; gives the ``dataref`` to send."""
        ...

    def get(self, dataref: str) -> bytes:
        """The stored event.

        Raises
        ------
        MalformedEventError
            The address is not one that `put` gives.
        """
        ...


class S3ClaimStore:
    """Claims in the archive bucket under ``claims/``; its lifecycle rule removes them after 30 days."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, name: str, body: bytes) -> str:
        key = f"{_PREFIX}{name}.json"
        self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType="application/cloudevents+json")
        return f"s3://{self._bucket}/{key}"

    def get(self, dataref: str) -> bytes:
        prefix = f"s3://{self._bucket}/{_PREFIX}"
        # The address comes with a message: anything but our own claims would be somebody else's choice of object.
        if not dataref.startswith(prefix):
            raise MalformedEventError(f"dataref {dataref!r} is not a claim in {prefix}")
        key = dataref.removeprefix(f"s3://{self._bucket}/")
        return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()


def resolve(body: bytes | str, claims: ClaimStore, types: EventTypes) -> Delivery:
    """Reads an outgoing event, fetching it whole where only a claim check arrived."""
    delivery = cloud_events.decode(body, types)
    if not delivery.dataref:
        return delivery
    claimed, light = cloud_events.decode(claims.get(delivery.dataref), types), delivery.event
    if (claimed.event.event_id, claimed.event.aggregate_id, claimed.event.version) != (
        light.event_id,
        light.aggregate_id,
        light.version,
    ):
        raise MalformedEventError("the event's claim check leads to another event")
    return claimed
