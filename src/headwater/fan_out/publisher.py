"""What the fan-out asks of a destination, and what its publishers share.

To add a destination (EventBridge, Firehose): write one module with a class that satisfies `Publisher`, and list it in
bootstrap.py.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from headwater.change_stream.claim_checks import ClaimStore
from headwater.change_stream.cloud_events import OutgoingEvent, without_data
from headwater.failures import FailureKind
from headwater.sending import SendError


class UnfitEventError(SendError):
    """An event that a destination cannot take, by its documented limits."""

    def __init__(self, message: str) -> None:
        super().__init__(message, FailureKind.PERMANENT)


class Publisher(Protocol):
    """One destination of all events."""

    def publish(self, events: Sequence[OutgoingEvent]) -> Mapping[int, SendError]:
        """Sends the events; gives, by position in ``events``, those that the destination did not take.

        An event may have been sent even so, and one that was taken may have been sent twice: consumers dedupe.
        """
        ...


def fitted(event: OutgoingEvent, size: Callable[[OutgoingEvent], int], limit: int, claims: ClaimStore) -> OutgoingEvent:
    """The event if it has at most ``limit`` bytes, else itself with its data left in the claim store.

    Raises
    ------
    UnfitEventError
        It is too large even without its data.
    SendError
        The claim store did not take it.
    """
    if size(event) <= limit:
        return event
    try:
        # Named by its content: nothing keeps programs from giving two events one id.
        light = without_data(event, claims.put(hashlib.sha256(event.body).hexdigest(), event.body))
    except Exception as error:
        raise SendError.of("claim store", error) from error
    if size(light) > limit:
        raise UnfitEventError(f"{size(light)} bytes without its data; the destination takes {limit}")
    return light
