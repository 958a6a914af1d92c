"""Files with one input each: the event as Lambda delivers it, and what is to be in the tables before.

The file's name may tell the source, as its last part but one: ``<what>.<source>.json`` with a source of `SOURCES`.
Otherwise the event tells it by itself. Of a source ``http-body`` the whole file is a request's body, and the name's
first word the path that it is posted to: ``register-name-invisible.http-body.json`` goes to ``/register``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from devstack.try_input.errors import UsageError

type Source = Literal["dynamodb", "kinesis", "sqs", "pipe", "http", "http-body", "direct"]

SOURCES: Final[tuple[Source, ...]] = get_args(Source.__value__)
#: Those whose event is a batch in ``Records``.
BATCHES: Final = frozenset({"dynamodb", "kinesis", "sqs"})
#: Epoch seconds: what lies outside is no time that a record tells.
_YEAR_2000, _YEAR_2100 = 946_684_800, 4_102_444_800


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One file. ``event`` is what the handler gets; of ``http-body`` it is the body's text.

    ``appended`` are items in DynamoDB JSON. ``path`` is where a body is posted.
    """

    name: str
    stem: str
    source: Source
    event: Any
    appended: Sequence[Mapping[str, Any]] = ()
    path: str = ""

    @property
    def records(self) -> Sequence[Any]:
        """The batch; an event that is none counts as its only record."""
        if self.source in BATCHES:
            records: list[Any] = self.event["Records"]
            return records
        return self.event if self.source == "pipe" else [self.event]

    @property
    def latest(self) -> float | None:
        """When its last record arrived, in epoch seconds; None if none tells a sensible time."""
        return max(_times(self.event), default=None) if self.source in (BATCHES | {"pipe"}) else None


def found(path: Path) -> list[Path]:
    """The file, or the JSON files of a folder by name.

    Raises
    ------
    UsageError
        There is none.
    """
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        if not files:
            raise UsageError(f"the folder {path} holds no file *.json")
        return files
    if not path.exists():
        raise UsageError(f"there is no file {path}")
    return [path]


def read(path: Path, *, post: str | None = None) -> Input:
    """One file. ``post`` is the path that a body goes to, where its name does not tell it.

    Raises
    ------
    UsageError
        It cannot be read, or is no event; the message says where it is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
        # As Lambda's runtime reads it: NaN, lone surrogates and whole numbers of up to 4,300 digits come through.
        content = json.loads(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UsageError(f"{path} is not JSON: {error.msg} ({where})") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    stem, _, named = path.name.removesuffix(".json").rpartition(".")
    if named == "http-body":
        word = (stem or named).partition("-")[0]
        return Input(name=path.name, stem=stem, source="http-body", event=text, path=post or f"/{word}")
    appended: Any = ()
    if isinstance(content, dict) and "appended" in content:
        content = dict(content)
        appended = content.pop("appended")
        if not isinstance(appended, list) or not all(isinstance(item, dict) for item in appended):
            raise UsageError(f"{path}: 'appended' is a list of items in DynamoDB JSON, and this one is not")
    source = next((known for known in SOURCES if known == named), None)
    if source is None:
        stem, source = path.name.removesuffix(".json"), _told(path, content)
    _check(path, source, content)
    return Input(name=path.name, stem=stem, source=source, event=content, appended=appended)


def _told(path: Path, content: Any) -> Source:
    """The source that an event tells by itself."""
    if isinstance(content, list):
        return "pipe"
    if not isinstance(content, dict):
        raise UsageError(f"{path} is no event: it holds neither a JSON object nor a list")
    if "requestContext" in content:
        return "http"
    if "Records" not in content:
        return "direct"
    records = content["Records"]
    first = records[0] if isinstance(records, list) and records else None
    told = str(first.get("eventSource", "")).removeprefix("aws:") if isinstance(first, dict) else ""
    for source in SOURCES:
        if source == told:
            return source
    raise UsageError(
        f"{path}: its first record names no eventSource of {', '.join(sorted(BATCHES))}; "
        f"or say it in the file's name, as in {path.name.removesuffix('.json')}.dynamodb.json"
    )


def _check(path: Path, source: Source, content: Any) -> None:
    if source == "pipe" and not isinstance(content, list):
        raise UsageError(f"{path}: a pipe hands over a list of records, and this is none")
    if source != "pipe" and not isinstance(content, dict):
        raise UsageError(f"{path} is no event of {source}: it is not a JSON object")
    if source in BATCHES and not isinstance(content.get("Records"), list):
        raise UsageError(f"{path} is no event of {source}: it has no list 'Records'")


def _times(event: Any) -> Iterator[float]:
    """The arrivals that records tell: in seconds, or in milliseconds as text."""
    for record in event if isinstance(event, list) else event["Records"]:
        for part, field, unit in (
            ("dynamodb", "ApproximateCreationDateTime", 1),
            ("kinesis", "approximateArrivalTimestamp", 1),
            ("attributes", "SentTimestamp", 1000),
        ):
            holder = record.get(part) if isinstance(record, dict) else None
            told = holder.get(field) if isinstance(holder, dict) else None
            try:
                seconds = float(told or 0) / unit
            except (TypeError, ValueError, OverflowError):
                continue
            if _YEAR_2000 < seconds < _YEAR_2100:
                yield seconds
