"""What the fan-out asks of a destination, and what its publishers share.

To add a destination (EventBridge, Firehose): write one module with a class that satisfies `Publisher`, and list it in
bootstrap.py.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from botocore.exceptions import BotoCoreError, ClientError

from headwater.change_stream.claim_checks import ClaimStore
from headwater.change_stream.cloud_events import OutgoingEvent, without_data
from headwater.failures import name_of
from headwater.sending import SendError


class PublishError(SendError):
    """A destination did not take an event."""


class Publisher(Protocol):
    """One destination of all events."""

    def publish(self, events: Sequence[OutgoingEvent]) -> Mapping[int, PublishError]:
        """Sends the events; gives, by position in ``events``, those that the destination did not take.

        An event may have been sent even so, and one that was taken may have been sent twice: consumers dedupe.
        """
        ...


def fitted(event: OutgoingEvent, size: Callable[[OutgoingEvent], int], limit: int, claims: ClaimStore) -> OutgoingEvent:
    """The event if it has at most ``limit`` bytes, else itself with its data left in the claim store.

    Raises
    ------
    PublishError
        The claim store failed, or the event is too large even without its data.
    """
    if size(event) <= limit:
        return event
    try:
        light = without_data(event, claims.put(event.event_id, event.body))
    except (BotoCoreError, ClientError) as error:
        raise PublishError(f"claim store: {name_of(error)}", transient=False) from error
    if size(light) > limit:
        raise PublishError(f"{size(light)} bytes without its data; the destination takes {limit}", transient=False)
    return light
