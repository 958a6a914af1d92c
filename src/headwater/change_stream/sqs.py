"""Messages of a queue, as Lambda delivers them.

Source: "Using Lambda with Amazon SQS". With raw delivery the body is what was published to the topic, and the topic's
message attributes are the message's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.change_stream.batch import BatchOutcome, Failure
from headwater.change_stream.records import MalformedRecordError


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMessage:
    """One message. ``attributes`` are its text attributes; ``receive_count`` is 1 at the first delivery.

    ``queue`` is the name of the queue that it came from; with ``receipt_handle`` it can be hidden for longer.
    """

    message_id: str
    body: str
    attributes: Mapping[str, str]
    receive_count: int
    receipt_handle: str
    queue: str


def message_id(raw: Mapping[str, Any]) -> str:
    """What a batch answer names, readable even where the rest is not.

    Raises
    ------
    MalformedRecordError
        There is none.
    """
    identifier = raw.get("messageId") if isinstance(raw, dict) else None
    if not (isinstance(identifier, str) and identifier):
        raise MalformedRecordError("the SQS message's 'messageId' is not a text")
    return identifier


def parse(raw: Mapping[str, Any]) -> QueueMessage:
    """One element of the event's ``Records``.

    Raises
    ------
    MalformedRecordError
        A required field is missing or of another type.
    """
    identifier = message_id(raw)
    body = raw.get("body")
    if not isinstance(body, str):
        raise MalformedRecordError("the SQS message's 'body' is not a text")
    return QueueMessage(
        message_id=identifier,
        body=body,
        attributes=_attributes(raw),
        receive_count=_receive_count(raw),
        receipt_handle=str(raw.get("receiptHandle", "")),
        queue=str(raw.get("eventSourceARN", "")).rpartition(":")[2],
    )


def each_on_its_own(records: Sequence[Mapping[str, Any]], handle: Callable[[QueueMessage], None]) -> BatchOutcome:
    """Handles a batch's messages one by one; whatever one meets, the next ones get their turn.

    Raises
    ------
    MalformedRecordError
        A message has no id, so that no answer could name it; nothing was done.
    """
    identified = [(message_id(raw), raw) for raw in records]
    failures: list[Failure] = []
    for identifier, raw in identified:
        try:
            handle(parse(raw))
        except Exception as error:  # noqa: BLE001  # it comes again, or its queue moves it on
            failures.append(Failure(identifier, error))
    return BatchOutcome(len(records), tuple(failures))


def _attributes(raw: Mapping[str, Any]) -> dict[str, str]:
    try:
        return {
            name: attribute["stringValue"]
            for name, attribute in raw.get("messageAttributes", {}).items()
            if "stringValue" in attribute
        }
    except (AttributeError, TypeError) as error:
        raise MalformedRecordError("the SQS message's 'messageAttributes' are not objects by name") from error


def _receive_count(raw: Mapping[str, Any]) -> int:
    try:
        return int(raw["attributes"]["ApproximateReceiveCount"])
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedRecordError(
            f"the SQS message's 'attributes' have no number 'ApproximateReceiveCount': {error}"
        ) from error
