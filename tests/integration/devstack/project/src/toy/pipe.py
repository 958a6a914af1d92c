"""A pipe's two functions, which fail on demand: the kind of what they are given says how."""

from typing import Any

from toy import journal  # type: ignore[import-not-found]


def enrich(batch: list[dict[str, Any]], _context: Any) -> Any:
    """Adds a greeting; raises, answers fewer, or answers nothing."""
    items = [record["dynamodb"]["NewImage"] for record in batch]
    journal.note("enrich", [item["id"]["S"] for item in items], {"batch": batch})
    kinds = [item["kind"]["S"] for item in items]
    if "unreadable" in kinds:
        raise ValueError("cannot be read")
    if "nothing" in kinds:
        return []
    enriched = [
        {"eventID": record["eventID"], "id": item["id"]["S"], "kind": item["kind"]["S"], "of": len(batch)}
        for record, item in zip(batch, items, strict=True)
    ]
    return enriched[:-1] if "fewer" in kinds and len(enriched) > 1 else enriched


def tell(batch: list[dict[str, Any]], _context: Any) -> Any:
    """Refuses a batch that is not whole, and by its eventID what says so."""
    journal.note("tell", [element["id"] for element in batch], {"batch": batch})
    if len(batch) != batch[0]["of"]:
        raise ValueError(f"{len(batch)} of {batch[0]['of']}")
    refused = [element["eventID"] for element in batch if element["kind"] == "refused"]
    return {"batchItemFailures": [{"itemIdentifier": event_id} for event_id in refused]}
