"""What a record says of itself, as far as it can be read: enough to find again what was made of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from devstack.try_input.inputs import Source

#: Attributes and members that name one event or action, whoever writes them.
_IDS: Final = ("event_id", "action_id", "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One record of an input. Texts are empty, ``version`` is None, where the record does not tell them.

    ``identifier`` is what a batch answer names; ``stream_event_id`` the stream's own id. ``ids`` name the event, or the
    action, that the record carries. ``whole`` is what is parked of it, where that is not the record as it was given.
    """

    raw: Any
    whole: Any = None
    title: str
    identifier: str = ""
    stream_event_id: str = ""
    aggregate_id: str = ""
    version: int | None = None
    ids: frozenset[str] = frozenset()


def given(source: Source, raw: Any, path: str = "") -> Given:
    """One record of a source; ``path`` is where a body was posted."""
    match source:
        case "dynamodb":
            return _changed(raw)
        case "kinesis":
            event = parsed(_decoded(_at(raw, "kinesis", "data")))
            number = _text(_at(raw, "kinesis", "sequenceNumber"))
            return _carried(raw, event, number, _text(_at(raw, "kinesis", "partitionKey")))
        case "sqs":
            return _carried(raw, parsed(_at(raw, "body")), _text(_at(raw, "messageId")))
        case "pipe" if isinstance(_at(raw, "status"), dict):
            return _carried(raw, raw["status"], _text(_at(raw, "eventID")))
        case "pipe":
            whole = raw if _at(raw, "record") is None else raw["record"]
            inner = _changed(whole)
            return replace(inner, raw=raw, whole=whole, identifier=_text(_at(raw, "eventID")))
        case "http":
            return Given(raw=raw, title=f"{_text(_at(raw, 'requestContext', 'http', 'method'))} {_at(raw, 'rawPath')}")
        case "http-body":
            return Given(raw=raw, title=f"POST {path}")
    return Given(raw=raw, title="the event")


def parsed(value: Any) -> Any:
    """A text's JSON; None if it is none."""
    try:
        return json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return None


def texts(value: Any) -> Iterator[str]:
    """Every text within JSON, in texts that are JSON themselves too, and the parts of keys that are joined by ``#``."""
    # Without recursion: odd records are nested more deeply than Python calls.
    left = [value]
    while left:
        match left.pop():
            case dict() as members:
                left += members.values()
            case list() as members:
                left += members
            case str() as text:
                if text[:1] in {"{", "["} and (inner := parsed(text)) is not None:
                    left.append(inner)
                else:
                    yield text
                    if "#" in text:
                        yield from text.split("#")


def _changed(raw: Any) -> Given:
    keys = _at(raw, "dynamodb", "Keys")
    image = _at(raw, "dynamodb", "NewImage") or _at(raw, "dynamodb", "OldImage")
    aggregate_id = _text(_at(keys, "aggregate_id", "S"))
    version = _whole(_at(keys, "version", "N"))
    other = "".join(_text(_at(keys, name, "S")) for name in ("pk", "sk"))
    return Given(
        raw=raw,
        title=_title(aggregate_id, version) or other or "a record without legible keys",
        identifier=_text(_at(raw, "dynamodb", "SequenceNumber")),
        stream_event_id=_text(_at(raw, "eventID")),
        aggregate_id=aggregate_id,
        version=version,
        ids=frozenset(filter(None, (_text(_at(image, name, "S")) for name in _IDS))),
    )


def _carried(raw: Any, event: Any, identifier: str, key: str = "") -> Given:
    aggregate_id = _text(_at(event, "subject"))
    version = _whole(_at(event, "sequence"))
    ids = frozenset(filter(None, (_text(_at(event, name)) for name in _IDS)))
    title = _title(aggregate_id or key, version) or next(iter(ids), identifier) or "a record without legible ids"
    return Given(raw=raw, title=title, identifier=identifier, aggregate_id=aggregate_id, version=version, ids=ids)


def _title(aggregate_id: str, version: int | None) -> str:
    return aggregate_id if version is None or not aggregate_id else f"{aggregate_id}@{version}"


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _decoded(value: Any) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        return None
