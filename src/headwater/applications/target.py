"""The Pipe's target: tells the account domain, and parks what cannot be told with its reason."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from headwater.applications.elements import Element
from headwater.change_stream.batch import BatchOutcome, Failure
from headwater.failures import name_of
from headwater.limits import SqsLimits
from headwater.sending import RetryPolicy, SendError, queue_text, refusals, send_with_retries, split

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class Inbox(Protocol):
    """The account domain's queue."""

    def send(self, messages: Sequence[str]) -> Mapping[int, SendError]:
        """Sends the messages; gives, by position in ``messages``, those that the queue did not take."""
        ...


class Parking(Protocol):
    """Where records wait for a person."""

    def park(self, element: Element) -> None:
        """Puts an element that has a reason where operators find it; returns once it is there."""
        ...


class Target:
    """Handles one batch of elements. Whatever fails is named, and comes again through the whole Pipe."""

    def __init__(self, inbox: Inbox, parking: Parking) -> None:
        self._inbox = inbox
        self._parking = parking

    def deliver(self, elements: Sequence[Element]) -> BatchOutcome:
        """Sends and parks; the outcome names the elements that did neither, by their ``eventID``."""
        told = [element for element in elements if element.status is not None]
        refused = self._inbox.send([_message(element) for element in told]) if told else {}
        failures = [Failure(told[position].event_id, error) for position, error in refused.items()]
        for element in elements:
            if element.status is None:
                try:
                    self._parking.park(element)
                except Exception as error:  # noqa: BLE001  # whatever one meets, the next ones get their turn
                    failures.append(Failure(element.event_id, error))
        return BatchOutcome(len(elements), tuple(failures))


def _message(element: Element) -> str:
    return queue_text(orjson.dumps(element.status))


class SqsInbox:
    """Implements `Inbox`. A standard queue promises no order, so none is kept."""

    def __init__(
        self,
        client: "SQSClient",
        url: str,
        *,
        limits: SqsLimits | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._client = client
        self._url = url
        self._limits = limits or SqsLimits()
        self._retry = retry or RetryPolicy()

    def send(self, messages: Sequence[str]) -> Mapping[int, SendError]:
        return send_with_retries(range(len(messages)), lambda pending: self._send(messages, pending), self._retry)

    def _send(self, messages: Sequence[str], pending: Sequence[int]) -> dict[int, SendError]:
        sizes = {position: len(messages[position].encode()) for position in pending}
        refused: dict[int, SendError] = {}
        outage: SendError | None = None
        for request in split(pending, sizes, self._limits.entries, self._limits.request_bytes):
            if outage is None:
                try:
                    refused |= self._send_batch(messages, request)
                except (BotoCoreError, ClientError) as error:
                    # The SDK has tried several times: leave the rest to the Pipe's retry rather than to a timeout.
                    outage = SendError(f"SQS: {name_of(error)}", transient=False)
            if outage is not None:
                refused |= dict.fromkeys(request, outage)
        return refused

    def _send_batch(self, messages: Sequence[str], positions: Sequence[int]) -> dict[int, SendError]:
        answer = self._client.send_message_batch(
            QueueUrl=self._url,
            Entries=[{"Id": str(position), "MessageBody": messages[position]} for position in positions],
        )
        return refusals("SQS", positions, answer, SendError)
