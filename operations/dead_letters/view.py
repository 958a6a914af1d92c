"""How dead letters are shown to people: by consumer and cause, within 80 columns, with ids that can be copied."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from headwater.change_stream.claim_checks import ClaimStore
from headwater.clock import timestamp
from headwater.dead_letters.redrive import HeldUpError, StillFailingError
from operations.dead_letters import waiting
from operations.dead_letters.waiting import DeadLetter
from operations.output import counted, plain

type Ids = Mapping[str, str]

#: Less than this left, and the row is red.
_URGENT: Final = timedelta(days=1)
#: Of a cause; `show` prints it whole.
_LONGEST: Final = 300
_UUID: Final = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
_VERSION: Final = re.compile(r"(?<!schema )\b(versions? )\d+")
_INDENT: Final = 2
#: Below this there is room for ids and aggregates alone.
_NARROW: Final = 60


class RedriveFailedError(Exception):
    """A dead letter that cannot be processed, whatever its consumer's code would say; the message says why."""


def reason(error: Exception) -> str:
    """An error in one line. What the consumer's code said stands in it with its own type already."""
    return (
        str(error) if isinstance(error, StillFailingError | RedriveFailedError) else f"{type(error).__name__}: {error}"
    )


def cause(letter: DeadLetter, error: str) -> str:
    """An error without what tells one record from the next, so that those that fail alike are one cause."""
    key = letter.aggregate.partition("#")[2]
    for name in (letter.aggregate, key):
        if len(name) > 2:
            error = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", error)
    return _VERSION.sub(r"\1…", _UUID.sub("…", error))


def summary(letter: DeadLetter, identifier: str) -> dict[str, Any]:
    """What a listing says of one, by the names that ``--json`` has."""
    return {
        "id": identifier,
        "in": letter.place,
        "key": letter.key,
        "consumer": letter.consumer,
        "reason": letter.reason,
        "error": letter.error,
        "attempts": letter.attempts,
        "aggregate": letter.aggregate,
        "versions": list(letter.versions),
        "records": letter.records,
        "failed_at": timestamp(letter.failed_at),
        "expires_at": timestamp(letter.expires_at) if letter.expires_at else None,
    }


def contents(letter: DeadLetter, claims: ClaimStore) -> dict[str, Any]:
    """Its parsed events, or the message as it came."""
    if not letter.events:
        return {"message": letter.raw}
    # A consumer's dead-letter queue has one event a message, and no list of records beside it.
    raws = letter.raw if isinstance(letter.raw, list) else [letter.raw] * len(letter.events)
    events = [waiting.whole(event, claims) for event in letter.events]
    return {
        "events": [{"unreadable": raw} if event is None else event for event, raw in zip(events, raws, strict=False)]
    }


def print_groups(letters: Sequence[DeadLetter], ids: Ids, now: datetime) -> None:
    """Prints each consumer's causes, with the dead letters that have it."""
    groups: dict[tuple[str, str, str], list[DeadLetter]] = {}
    for letter in letters:
        key = letter.consumer, letter.reason, cause(letter, letter.error or "")
        groups.setdefault(key, []).append(letter)
    console = Console(highlight=False)
    console.print(Text(counted(len(letters), "dead letter")))
    for (consumer, why, _), members in sorted(groups.items(), key=lambda group: group[0][:2]):
        console.print()
        records = counted(sum(letter.records for letter in members), "record")
        console.print(Text(f"{plain(consumer) or 'nobody knows whose'} · {plain(why)} · {records}", style="bold"))
        # The title names its type.
        _print_cause(console, members, [(letter.error or "").removeprefix(f"{why}: ") for letter in members])
        table = _list(members, ids) if console.width < _NARROW else _table(members, ids, now)
        console.print(Padding(table, (0, 0, 0, _INDENT), expand=False))


def print_results(
    results: Sequence[tuple[DeadLetter, str | Exception]], ids: Ids, asked: int, *, dry_run: bool
) -> None:
    """Prints what became of a redrive: what was done by consumer, and each cause of failure once."""
    console = Console(highlight=False)
    done = Counter((letter.consumer, result) for letter, result in results if isinstance(result, str))
    console.print(Text("Redrive, dry run: nothing is done" if dry_run else "Redrive", style="bold"))
    for (consumer, what), count in sorted(done.items()):
        console.print(Text(f"  {plain(consumer)}: {count} {what}", style="" if dry_run else "green"))
    failed: dict[tuple[str, str], list[tuple[DeadLetter, str]]] = {}
    held_up = Counter[tuple[str, str]]()
    for letter, result in results:
        if isinstance(result, HeldUpError):
            held_up[letter.consumer, letter.aggregate] += 1
        elif isinstance(result, Exception):
            text = reason(result)
            failed.setdefault((letter.consumer, cause(letter, text)), []).append((letter, text))
    for (consumer, _), members in failed.items():
        console.print()
        title = f"{plain(consumer) or 'nobody knows whose'} · {counted(len(members), 'dead letter')}"
        if behind := sum(held_up[consumer, name] for name in {letter.aggregate for letter, _ in members}):
            title += f", and {behind} more that wait behind {'it' if len(members) == 1 else 'them'}"
        console.print(Text(title, style="bold"))
        _print_cause(console, [letter for letter, _ in members], [text for _, text in members], style="red")
        console.print(Padding(_list([letter for letter, _ in members], ids), (0, 0, 0, _INDENT), expand=False))
    if len(results) < asked:
        console.print(
            f"Stopped: {asked - len(results)} were not tried to their end, and wait as before.", soft_wrap=True
        )


def _print_cause(console: Console, letters: Sequence[DeadLetter], errors: Sequence[str], style: str = "") -> None:
    # Of one cause; its own words if they are the same for all.
    text = errors[0] if len(set(errors)) == 1 else cause(letters[0], errors[0])
    if text:
        text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
        console.print(Padding(Text(plain(text), style=style), (0, 0, 0, _INDENT), expand=False))


def _list(letters: Sequence[DeadLetter], ids: Ids) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for letter in letters:
        table.add_row(ids[letter.key], _where(letter))
    return table


def _table(letters: Sequence[DeadLetter], ids: Ids, now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("id", no_wrap=True, min_width=max(len(ids[letter.key]) for letter in letters))
    table.add_column("aggregate", overflow="fold")
    for column in ("version", "age", "left"):
        table.add_column(column, justify="right", no_wrap=True)
    for letter in letters:
        urgent = letter.expires_at is not None and letter.expires_at - now < _URGENT
        table.add_row(
            ids[letter.key],
            _where(letter),
            _versions(letter.versions),
            age(letter, now),
            left(letter, now),
            style="red" if urgent else None,
        )
    return table


def _where(letter: DeadLetter) -> Text:
    return Text(plain(letter.aggregate) or f"in {letter.place}")


def _versions(versions: Sequence[int]) -> str:
    if not versions:
        return ""
    return str(versions[0]) if len(versions) == 1 else f"{min(versions)}…{max(versions)}"


def age(letter: DeadLetter, now: datetime) -> str:
    """How long ago it failed."""
    return _whole(now - letter.failed_at)


def left(letter: DeadLetter, now: datetime) -> str:
    """How long it still waits, rounded down: nobody is told of time that is not there."""
    return _whole(letter.expires_at - now) if letter.expires_at else "never expires"


def _whole(span: timedelta) -> str:
    minutes = max(0, int(span.total_seconds() // 60))
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} d"
