"""The JSON Schemas of events, in schemas/, from what the events' classes say of their fields.

`make wiring` writes them. Other schemas in the folder are written by hand.
"""

import json
from pathlib import Path
from typing import Any, Final

import msgspec

from cli.wiring.declared import application
from headwater.domain.constraints import annotations, for_schema
from headwater.domain.events import DomainEvent

FOLDER: Final = Path(__file__).resolve().parents[2] / "schemas"


def written() -> dict[Path, str]:
    """The text of each event's schema, by the file that holds it."""
    return {
        FOLDER / f"{name}.{kind.schema_version}.json": json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n"
        for name, kind in application().events.items()
    }


def schema(kind: type[DomainEvent]) -> dict[str, Any]:
    """What an event's data is, within the limits of an append."""
    fields = [(name, for_schema(annotation)) for name, annotation in annotations(kind).items()]
    limited = msgspec.defstruct(
        kind.__name__, fields, namespace={"__doc__": kind.__doc__}, kw_only=True, forbid_unknown_fields=True
    )
    ((_, generated),) = msgspec.json.schema(limited)["$defs"].items()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:headwater:schema:{kind.__name__}:{kind.schema_version}",
        **generated,
    }
