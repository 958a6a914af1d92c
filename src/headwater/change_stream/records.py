"""One change of one item, as a DynamoDB stream delivers it."""

from datetime import UTC, datetime
from enum import StrEnum

from msgspec import Struct

from headwater.attribute_values import AttributeMap
from headwater.failures import PermanentError


class Operation(StrEnum):
    """What happened to the item. EXPIRE is a removal by the table's TTL, not by a person."""

    INSERT = "INSERT"
    MODIFY = "MODIFY"
    REMOVE = "REMOVE"
    EXPIRE = "EXPIRE"


class MalformedRecordError(PermanentError):
    """A record that does not have the shape which AWS documents; the message names the field."""


class ChangeRecord(Struct, frozen=True, kw_only=True):
    """A stream record of any view type; images that the view leaves out are None.

    ``sequence_number`` orders the records of one shard as an integer; ``captured_at`` is the record's
    ApproximateCreationDateTime in epoch seconds. Images and keys are DynamoDB JSON.
    """

    stream_event_id: str
    sequence_number: str
    operation: Operation
    captured_at: float
    keys: AttributeMap
    new_image: AttributeMap | None
    old_image: AttributeMap | None

    @property
    def captured_date(self) -> str:
        """The UTC day, ``YYYY-MM-DD``."""
        return datetime.fromtimestamp(self.captured_at, UTC).date().isoformat()
