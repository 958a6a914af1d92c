"""The JSON Schemas in schemas/, for whatever a test appends."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from headwater.domain.events import RecordedEvent
from tests.fakes.events import EVENT_TYPES

FOLDER = Path(__file__).parents[2] / "schemas"


@cache
def validator(type_: str, version: int) -> Draft202012Validator:
    """The validator of one event type's schema version."""
    schema: dict[str, Any] = json.loads((FOLDER / f"{type_}.{version}.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def demand_valid(event: RecordedEvent) -> None:
    """Fails a test that appends an event of a known type which its schema does not take."""
    if event.type in EVENT_TYPES:
        validator(event.type, event.schema_version).validate(json.loads(json.dumps(event.data)))
