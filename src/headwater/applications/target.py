"""The Pipe's target: tells the account domain, and parks what cannot be told with its reason."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import orjson

from headwater.applications.elements import Element
from headwater.change_stream.batch import BatchOutcome, Failure
from headwater.failures import FOR_GOOD, kind_of, name_of
from headwater.sending import SendError, queue_text


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
    """Handles one batch of elements. Whatever fails is named, and comes again through the whole Pipe.

    What the queue refuses for good is parked as what cannot be told is, where its record came with it.
    """

    def __init__(self, inbox: Inbox, parking: Parking) -> None:
        self._inbox = inbox
        self._parking = parking

    def deliver(self, elements: Sequence[Element]) -> BatchOutcome:
        """Sends and parks; the outcome names the elements that did neither, by their ``eventID``."""
        told = [element for element in elements if element.status is not None]
        refused = self._inbox.send([_message(element) for element in told]) if told else {}
        failures: list[Failure] = []
        parked = [element for element in elements if element.status is None]
        for position, error in refused.items():
            element = told[position]
            if kind_of(error) in FOR_GOOD and element.record is not None:
                parked.append(replace(element, status=None, error=name_of(error), reason=f"{error} ({error.detail})"))
            else:
                failures.append(Failure(element.event_id, error))
        for element in parked:
            try:
                self._parking.park(element)
            except Exception as failed:  # noqa: BLE001  # whatever one meets, the next ones get their turn
                failures.append(Failure(element.event_id, failed))
        return BatchOutcome(len(elements), tuple(failures))


def _message(element: Element) -> str:
    return queue_text(orjson.dumps(element.status))
