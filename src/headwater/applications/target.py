"""The Pipe's target: tells the account domain, and parks what cannot be told with its reason."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import orjson

from headwater.applications.elements import Element
from headwater.change_stream.batch import BatchOutcome, Failure
from headwater.dead_letters.patience import Failed, Patience, Tried
from headwater.failures import JudgedError, kind_of, name_of
from headwater.sending import SendError, queue_text


class Inbox(Protocol):
    """The account domain's queue."""

    def send(self, messages: Sequence[str]) -> Mapping[int, SendError]:
        """Sends the messages; gives, by position in ``messages``, those that the queue did not take."""
        ...


class Parking(Protocol):
    """Where elements go that have a reason why they cannot be told. Each call returns once it is there."""

    def park(self, element: Element) -> None:
        """Puts it where operators find it."""
        ...

    def set_aside(self, element: Element) -> None:
        """Puts it where it is redriven by itself, until it is parked at last."""
        ...


class _NotEnrichedError(JudgedError):
    """What the enrichment met, by the name that it had there."""

    def __init__(self, element: Element) -> None:
        super().__init__(element.error)
        self.kind = element.kind
        self.code = element.error
        self.detail = element.reason or ""


class Target:
    """Handles one batch of elements. Whatever fails is named, and comes again through the whole Pipe.

    What no other try helps is parked, what nobody foresaw is set aside after a while; both only where the record came
    with the element.
    """

    def __init__(self, inbox: Inbox, parking: Parking, patience: Patience) -> None:
        self._inbox = inbox
        self._parking = parking
        self._patience = patience

    def deliver(self, elements: Sequence[Element]) -> BatchOutcome:
        """Sends and parks; the outcome names the elements that did neither, by their ``eventID``."""
        told = [element for element in elements if element.status is not None]
        refused = self._inbox.send([_message(element) for element in told]) if told else {}
        failed: list[tuple[Element, JudgedError]] = [
            (element, _NotEnrichedError(element)) for element in elements if element.status is None
        ]
        failed += [(_refused(told[position], error), error) for position, error in refused.items()]
        # Each record for itself: the order of an aggregate's actions is the account domain's concern.
        tried: dict[str, Tried] = dict.fromkeys(element.event_id for element in elements)
        tried |= {element.event_id: Failed(error, element.event_id) for element, error in failed}
        verdicts = self._patience.judge(tried)
        failures: list[Failure] = []
        for element, error in sorted(failed, key=lambda each: each[0].position):
            put_away = verdicts.way(element.event_id, error, self._parking)
            if put_away is None or element.record is None:
                failures.append(Failure(element.event_id, error))
                continue
            try:
                put_away(element)
            except Exception as failure:  # noqa: BLE001  # whatever one meets, the next ones get their turn
                failures.append(Failure(element.event_id, failure))
        return BatchOutcome(len(elements), tuple(failures))


def _refused(element: Element, error: SendError) -> Element:
    reason = f"{error} ({error.detail})"
    return replace(element, status=None, error=name_of(error), kind=kind_of(error), reason=reason)


def _message(element: Element) -> str:
    return queue_text(orjson.dumps(element.status))
