"""Lines of the functions' logs: files on this machine, CloudWatch Logs for a deployed stack."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from botocore.exceptions import ClientError

from cli.console import redaction

_SHOWN: Final = 40
_RECENT: Final = timedelta(minutes=10)
#: Around the time of an event: what a consumer says of it, it says soon, or after its retries.
_AROUND: Final = timedelta(hours=1)
_MILLISECOND: Final = timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Logs(Protocol):
    """Where functions write; both give (function, line) pairs, oldest first, without what no page shows."""

    def last(self, function: str) -> Sequence[str]:
        """The newest lines of a function."""
        ...

    def about(self, text: str, functions: Sequence[str], since: datetime) -> Sequence[tuple[str, str]]:
        """The lines of some functions that hold a text, of the hour from ``since`` where a search costs."""
        ...


class LocalLogs:
    """``folder`` has a file a function."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def last(self, function: str) -> Sequence[str]:
        return list(deque(map(redaction.text, self._lines(function)), _SHOWN))

    def about(self, text: str, functions: Sequence[str], since: datetime) -> Sequence[tuple[str, str]]:  # noqa: ARG002
        found: deque[tuple[str, str]] = deque(maxlen=_SHOWN)
        for function in functions:
            found += ((function, redaction.text(line)) for line in self._lines(function) if text in line)
        return list(found)

    def _lines(self, function: str) -> Iterator[str]:
        path = self._folder / f"{function}.log"
        # It has logged nothing yet, or its run is gone.
        with suppress(FileNotFoundError), path.open(encoding="utf-8", errors="replace") as file:
            yield from (line.rstrip("\n") for line in file)


class DeployedLogs:
    """``groups``: each function's log group. Asked when somebody clicks: a search is billed by what it reads."""

    def __init__(self, client: Any, groups: dict[str, str]) -> None:
        self._client = client
        self._groups = groups

    def last(self, function: str) -> Sequence[str]:
        since = _milliseconds(datetime.now(UTC) - _RECENT)
        return list(deque((line for _, line in self._search(function, since, None, "")), _SHOWN))

    def about(self, text: str, functions: Sequence[str], since: datetime) -> Sequence[tuple[str, str]]:
        pattern = '"' + text.replace('"', '\\"') + '"'
        # Not as moments: an hour after the calendar's last one there is none.
        begin = _milliseconds(since)
        end = begin + _AROUND // _MILLISECOND
        return list(deque((each for name in functions for each in self._search(name, begin, end, pattern)), _SHOWN))

    def _search(self, function: str, since: int, until: int | None, pattern: str) -> Iterator[tuple[str, str]]:
        if function not in self._groups:
            return
        arguments: dict[str, Any] = {
            "logGroupName": self._groups[function],
            "startTime": since,
        }
        if until is not None:
            arguments["endTime"] = until
        if pattern:
            arguments["filterPattern"] = pattern
        try:
            # To the end, as the oldest come first.
            for page in self._client.get_paginator("filter_log_events").paginate(**arguments):
                for event in page["events"]:
                    yield function, redaction.text(event["message"].rstrip("\n"))
        except ClientError as error:
            yield function, f"the log cannot be read: {error.response['Error']['Code']}"


def _milliseconds(moment: datetime) -> int:
    """Since 1970, as CloudWatch Logs counts; it takes none before."""
    return max((moment - _EPOCH) // _MILLISECOND, 0)
