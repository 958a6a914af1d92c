"""The Pipe's enrichment: from actions in the stream to what the account domain is told of them.

An action names its application and not the account, so that the applications of a batch are read, all at once.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from headwater.applications.elements import Element
from headwater.attribute_values import unmarshal_item
from headwater.batch_get import batch_get
from headwater.change_stream import dynamodb
from headwater.domain.tracking import SCHEMA_VERSION, StatusChange, parse_id, to_milliseconds
from headwater.failures import BLAMELESS, PermanentError, kind_of, name_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: The sort key of an application's own item, beside which its actions lie.
APPLICATION_ITEM = "#APPLICATION"
#: Of a hundred records, the Pipe's batch, so many bytes each fit into a function's answer with a good deal of room.
_CARRIED_BYTES = 16 * 1024


class ApplicationMissingError(PermanentError):
    """There is no application of an action's id."""


class Applications(Protocol):
    """Reads applications."""

    def get(self, application_ids: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        """The items by application id, as plain values, of those that are there. Read consistently, at once."""
        ...


class DynamoDbApplications:
    """Implements `Applications` on ApplicationsTable: one BatchGetItem for up to a hundred."""

    def __init__(self, client: "DynamoDBClient", table: str, sleep: Callable[[float], None]) -> None:
        self._client = client
        self._table = table
        self._sleep = sleep

    def get(self, application_ids: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        # BatchGetItem refuses a key that is asked for twice.
        keys = [
            {"pk": {"S": f"APPLICATION#{application_id}"}, "sk": {"S": APPLICATION_ITEM}}
            for application_id in dict.fromkeys(application_ids)
        ]
        # Consistently: the stream may be faster than the replica that an eventual read would ask.
        items = map(unmarshal_item, batch_get(self._client, self._table, keys, sleep=self._sleep))
        return {item["pk"].removeprefix("APPLICATION#"): item for item in items}


class Enrichment:
    """Gives each record of a batch its element; see `headwater.applications.elements`."""

    def __init__(self, applications: Applications) -> None:
        self._applications = applications

    def enrich(self, records: Sequence[Any]) -> list[Element]:
        """One element a record, in the records' order.

        What one record cannot be enriched for is in its element, also an error that nobody foresaw; an application that
        cannot be read for the moment raises, so that the Pipe retries the batch.
        """
        actions = [_action(record) for record in records]
        found = self._applications.get(
            dict.fromkeys(action["application_id"] for action in actions if isinstance(action, dict))
        )
        return [
            self._element(record, action, found, position=position, of=len(records))
            for position, (record, action) in enumerate(zip(records, actions, strict=True))
        ]

    def _element(
        self,
        record: Any,
        action: dict[str, Any] | Exception,
        found: Mapping[str, Mapping[str, Any]],
        *,
        position: int,
        of: int,
    ) -> Element:
        event_id = record.get("eventID") if isinstance(record, dict) else None
        place: dict[str, Any] = {"event_id": str(event_id or ""), "position": position, "of": of}
        try:
            change = _change(action, found)
        except Exception as error:
            if (kind := kind_of(error)) in BLAMELESS:
                raise
            return Element(**place, error=name_of(error), kind=kind, reason=str(error), record=record)
        # Usually there: a batch of long records would not fit into an answer.
        carried = record if len(orjson.dumps(record)) <= _CARRIED_BYTES else None
        return Element(**place, status={"schema_version": SCHEMA_VERSION, **asdict(change)}, record=carried)


def _action(record: Any) -> dict[str, Any] | Exception:
    """The action that a record of the stream shows, or why it shows none."""
    try:
        # Without an image, which the Pipe's filter lets nothing through without, there is no id either.
        action = unmarshal_item(dynamodb.parse(record).new_image or {})
        parse_id("application_id", action.get("application_id"))
    except Exception as error:  # noqa: BLE001  # raised again where the element is made
        return error
    return action


def _change(action: dict[str, Any] | Exception, found: Mapping[str, Mapping[str, Any]]) -> StatusChange:
    if isinstance(action, Exception):
        raise action
    application = found.get(action["application_id"])
    if application is None:
        raise ApplicationMissingError(
            f"there is no application {action['application_id']}, which action {action.get('action_id')} is about"
        )
    own = {name: application[name] for name in ("account_id", "kind", "title") if name in application}
    return StatusChange.parse({**action, "occurred_at": to_milliseconds(action.get("occurred_at")), **own})
