"""What a redrive does with the Pipe's records: it enriches them where it runs, and tells through the Pipe's own target.

The account domain's queue, in another AWS account, lets in the target function's role alone; an operator has no way in
but that function.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import orjson

from headwater.applications.elements import Element
from headwater.applications.enrichment import Enrichment
from headwater.change_stream.batch import BatchOutcome, Failure


class UntellableError(Exception):
    """An element that still cannot be told; the message says why."""


class Teller(Protocol):
    """The Pipe's target, where it is deployed."""

    def tell(self, elements: Sequence[Element]) -> Sequence[str]:
        """Has it told one whole batch; gives the ``eventID`` of each element that was refused.

        Raises
        ------
        UntellableError
            The batch failed as a whole.
        """
        ...


class PipeRedrive:
    """Does once more, at an operator's word, what the Pipe does: enrich, and tell."""

    def __init__(self, enrichment: Enrichment, teller: Teller) -> None:
        self._enrichment = enrichment
        self._teller = teller

    def redrive(self, records: Sequence[Mapping[str, Any]]) -> BatchOutcome:
        """Tells parked records. One that still cannot be told fails, and is not parked a second time."""
        elements = self._enrichment.enrich(records)
        failures = [
            Failure(element.event_id, UntellableError(f"{element.error}: {element.reason}"))
            for element in elements
            if element.status is None
        ]
        # Without those that have a reason, and without records: the target would park them anew.
        told = [element for element in elements if element.status is not None]
        batch = [
            replace(element, position=position, of=len(told), record=None) for position, element in enumerate(told)
        ]
        refused = self._teller.tell(batch) if batch else ()
        why = "the account domain's queue did not take it: the log of application-target says why"
        failures += [Failure(event_id, UntellableError(why)) for event_id in refused]
        return BatchOutcome(len(elements), tuple(failures))


class Lambda(Protocol):
    """The one operation of boto3's Lambda client that is used."""

    def invoke(self, **request: Any) -> Any: ...


class LambdaTeller:
    """Implements `Teller` by invoking the function, and waits for its answer."""

    def __init__(self, client: Lambda, function: str) -> None:
        self._client = client
        self._function = function

    def tell(self, elements: Sequence[Element]) -> Sequence[str]:
        payload = orjson.dumps([element.to_json() for element in elements])
        response = self._client.invoke(FunctionName=self._function, Payload=payload)
        answer = orjson.loads(response["Payload"].read())
        if "FunctionError" in response:
            raise UntellableError(f"{self._function} failed: {answer.get('errorType')}: {answer.get('errorMessage')}")
        match answer:
            case {"batchItemFailures": list(failures)}:
                return [str(failure["itemIdentifier"]) for failure in failures]
        # An empty answer, above all, must not pass for success.
        raise UntellableError(f"{self._function} did not say what it told: is the deployed version checked out?")
