"""`headwater dead-letters`: what consumers gave up, to be seen, redriven or discarded."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click
import orjson
from rich.console import Console
from rich.json import JSON
from rich.markup import escape
from rich.table import Table

from cli import waiting
from cli.queues import HOLD_SECONDS, Held, Message, held
from cli.target import Target
from cli.waiting import DeadLetter
from headwater.change_stream.claim_checks import S3ClaimStore
from headwater.clock import timestamp
from headwater.dead_letters.redrive import Discarded, HeldUpError, StillFailingError, in_order
from headwater.dead_letters.unresolved import REASON
from headwater.projections.runner import NotStoppedError

_QUEUE_URL: Final = re.compile(r"(\w+?)(Subscription)?DeadLetterQueueUrl")
#: Where Lambda puts what a mapping gives up.
_OBJECTS: Final = "aws/lambda/"
#: Less than this left, and the table shows it in red.
_URGENT: Final = timedelta(days=1)

type Queues = Mapping[str, tuple[str, str]]


class RedriveFailedError(Exception):
    """A dead letter that still cannot be processed; the message says why."""


def dead_letter_queues(outputs: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The consumers' dead-letter queues by name, each with the URL of the queue that its messages go back to."""
    queues = {}
    for output, url in outputs.items():
        if found := _QUEUE_URL.fullmatch(output):
            queues[output.removesuffix("Url")] = (url, outputs.get(f"{found[1]}QueueUrl", ""))
    return queues


@dataclass(slots=True)
class Waiting:
    """Everything that waits, held for as long as the command works; use it within `opened`."""

    letters: list[DeadLetter] = field(default_factory=list)
    hidden: Counter[str] = field(default_factory=Counter)
    queues: dict[str, Held] = field(default_factory=dict)

    def find(self, identifier: str) -> DeadLetter:
        """The dead letter whose id, message id or object key begins so.

        Raises
        ------
        click.ClickException
            It is empty, none begins so, or several do.
        """
        if not identifier.strip():
            raise click.ClickException("the ID is empty: 'dead-letters list' shows them")
        found = [each for each in self.letters if each.id.startswith(identifier) or each.key.startswith(identifier)]
        if len(found) != 1:
            raise click.ClickException(
                f"{len(found)} dead letters have an id that begins with {identifier!r}: 'dead-letters list' shows them"
            )
        return found[0]

    def chosen(self, consumer: str | None, aggregate: str | None) -> list[DeadLetter]:
        return [
            letter
            for letter in self.letters
            if consumer in (None, letter.consumer) and aggregate in (None, letter.aggregate)
        ]


@contextmanager
def opened(target: Target) -> Iterator[Waiting]:
    """What waits in the stack's queues and its bucket."""
    sqs, s3, found = target.client("sqs"), target.client("s3"), Waiting()
    claims = S3ClaimStore(s3, target.output("ArchiveBucketName"))
    readers: list[tuple[str, str, Callable[[Message], DeadLetter]]] = [
        (waiting.PARKED, target.output("ParkedRecordsQueueUrl"), lambda message: waiting.of_parked(message, claims)),
        (waiting.UNRESOLVED, target.output("UnresolvedPointersQueueUrl"), waiting.of_pointer),
    ]
    for name, (url, _) in dead_letter_queues(target.outputs).items():
        readers.append((name, url, _event_reader(name)))
    with ExitStack() as holds:
        managers = [held(sqs, url) for _, url, _ in readers]
        # Together: each waits a second for its queue to say that it is empty.
        with ThreadPoolExecutor(len(managers)) as together:
            opening = [together.submit(manager.__enter__) for manager in managers]
        for manager, entered in zip(managers, opening, strict=True):
            if entered.exception() is None:
                holds.push(manager)
        for (name, _, read), entered in zip(readers, opening, strict=True):
            queue = found.queues[name] = entered.result()
            found.letters += [_read(read, name, message) for message in queue.messages]
            if queue.hidden:
                found.hidden[name] = queue.hidden
        bucket = target.output("FailedBatchesBucketName")
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=_OBJECTS):
            for entry in page.get("Contents", []):
                body = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
                found.letters.append(waiting.of_object(entry["Key"], body))
        # In the order in which they are to be redriven.
        found.letters.sort(key=lambda each: (each.consumer, each.aggregate, min(each.versions, default=0), each.key))
        yield found


def _read(read: Callable[[Message], DeadLetter], queue: str, message: Message) -> DeadLetter:
    try:
        return read(message)
    except Exception as error:  # noqa: BLE001  # one that nobody thought of must not hide all others
        return waiting.unknown(queue, "", message, f"{type(error).__name__}: {error}")


def _event_reader(queue: str) -> Callable[[Message], DeadLetter]:
    consumer = re.sub(r"(?<!^)(?=[A-Z])", "_", re.sub(r"(Subscription)?DeadLetterQueue$", "", queue)).lower()
    return lambda message: waiting.of_event(message, queue, consumer)


@click.group("dead-letters")
def dead_letters() -> None:
    """Shows, redrives and discards what consumers gave up, and releases what stands still.

    Looking takes nothing off a queue. While a command works, others do not see what it looks at; that is over when the
    command ends, or five minutes after it was killed.
    """


_consumer = click.option("--consumer", help="Only of this consumer, such as leaderboard or welcome_email.")
_aggregate = click.option("--aggregate", help="Only of this aggregate, such as 'player#0199…' (in quotes).")


@dead_letters.command("list")
@_consumer
@_aggregate
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of a table.")
@click.pass_obj
def list_(target: Callable[[], Target], consumer: str | None, aggregate: str | None, as_json: bool) -> None:
    """Prints a table of all that waits: parked records, unresolved pointers, e-mails, the archiver's batches."""
    now = datetime.now(UTC)
    with opened(target()) as found:
        letters = found.chosen(consumer, aggregate)
        _tell_hidden(found)
        if as_json:
            for letter in letters:
                click.echo(orjson.dumps(_summary(letter)))
            return
        if not letters:
            _tell_none(found)
            return
        console = Console()
        console.print(_table(letters, now))


@dead_letters.command()
@click.argument("identifier", metavar="ID")
@click.option("--raw", is_flag=True, help="The records as the consumer was given them, as JSON, and nothing else.")
@click.pass_obj
def show(target: Callable[[], Target], identifier: str, raw: bool) -> None:
    """Prints one dead letter with its parsed events. It holds personal data: mind who sees the screen."""
    stack = target()
    with opened(stack) as found:
        letter = found.find(identifier)
        if raw:
            click.echo(letter.raw if isinstance(letter.raw, str) else orjson.dumps(letter.raw))
            return
        console = Console()
        console.print(JSON.from_data(_summary(letter)))
        claims = S3ClaimStore(stack.client("s3"), stack.output("ArchiveBucketName"))
        for each in letter.events or [letter.raw]:
            event = waiting.whole(each, claims)
            if event is None:
                console.print("a record that cannot be read; --raw prints it", style="bold red")
            elif isinstance(event, str):
                console.print(event, markup=False, highlight=False)
            else:
                console.print(JSON.from_data(event))


@dead_letters.command()
@click.option("--all", "everything", is_flag=True, help="Of all consumers and aggregates.")
@_consumer
@_aggregate
@click.option("--dry-run", is_flag=True, help="Only says what would be done.")
@click.pass_obj
def redrive(
    target: Callable[[], Target], everything: bool, consumer: str | None, aggregate: str | None, dry_run: bool
) -> None:
    """Processes again what waits, in order, and takes off what succeeds. The rest stays where it is.

    Parked records run through their consumer's code here, with your rights; repair and deploy first. The Pipe's are
    told by its target function. An e-mail's event goes back to its queue, an unresolved pointer to the function that
    looks for its records.
    """
    if everything == bool(consumer or aggregate):
        raise click.UsageError("say what to redrive: --all, or --consumer and --aggregate to choose")
    stack = target()
    with opened(stack) as found:
        letters = found.chosen(consumer, aggregate)
        _tell_hidden(found)
        if not letters:
            _tell_none(found)
            return
        if dry_run:
            _redrive(letters, None)
            return
        with stack.as_function():
            failed = _redrive(letters, _Redriving(stack, found))
    if failed:
        raise click.ClickException(f"{failed} of {len(letters)} still fail and stay where they are")


@dead_letters.command()
@click.argument("identifier", metavar="ID")
@click.option("--reason", required=True, help="Why nobody will miss it. It is recorded, with your name.")
@click.pass_obj
def discard(target: Callable[[], Target], identifier: str, reason: str) -> None:
    """Takes one dead letter off for good. A record of it, with the reason, is kept for a year.

    A read model or the badges stand still at an aggregate's event that they cannot apply. With the last of its dead
    letters that event is given up, and they go on from the next one.
    """
    if not reason.strip():
        raise click.BadParameter("say why", param_hint="--reason")
    stack = target()
    with opened(stack) as found:
        letter = found.find(identifier)
        now = timestamp(datetime.now(UTC))
        record = {
            **_summary(letter),
            "reason_to_discard": reason,
            "discarded_by": stack.client("sts").get_caller_identity()["Arn"],
            "discarded_at": now,
            "events": letter.events,
            "raw": letter.raw,
        }
        keep = _recorder(stack, f"discarded/{now[:10]}/{letter.id}-{now[11:]}.json", record)
        last = _is_last(found, letter)
        # First the record: a command that dies in between has discarded nothing.
        kept = keep()
        if last:
            discarded = _go_on(stack, letter)
            for aggregate, version in discarded.given_up:
                click.echo(f"{letter.consumer} goes on without version {version} of {aggregate}.")
            if discarded.given_up:
                keep(given_up=discarded.given_up)
            if discarded.stopped:
                raise click.ClickException(f"it stays, as its aggregate cannot go on: {discarded.stopped}")
        _take_off(stack, found, letter)
    click.echo(f"Discarded. {kept} keeps it for a year.")


@dead_letters.command()
@click.option("--consumer", required=True, help="Whose rows: badges, or the name of a read model.")
@click.option("--aggregate", required=True, help="Which one stands still, such as 'player#0199…' (in quotes).")
@click.option("--reason", required=True, help="Why it is done by hand. It is recorded, with your name.")
@click.pass_obj
def release(target: Callable[[], Target], consumer: str, aggregate: str, reason: str) -> None:
    """Lets an aggregate go on that stands still although none of its dead letters is left: the last one expired.

    It is applied from the event store, and gives up no event: at one that still fails it stops, and its next event
    parks it anew, to be seen, redriven or discarded.
    """
    if not reason.strip():
        raise click.BadParameter("say why", param_hint="--reason")
    stack = target()
    with opened(stack) as found:
        if any(each.place == waiting.PARKED for each in found.chosen(consumer, aggregate)):
            raise click.ClickException("dead letters of it wait: redrive them, or discard them")
        _demand_none_hidden(found, waiting.PARKED)
        with stack.as_function():
            # Late: it reads the environment.
            from headwater import bootstrap

            try:
                failing = bootstrap.redrive().release(consumer, aggregate)
            except (NotStoppedError, StillFailingError) as error:
                raise click.ClickException(str(error)) from error
        now = timestamp(datetime.now(UTC))
        record = {
            "consumer": consumer,
            "aggregate": aggregate,
            "reason_to_release": reason,
            "released_by": stack.client("sts").get_caller_identity()["Arn"],
            "released_at": now,
            "still_failing": failing,
        }
        kept = _recorder(stack, f"discarded/{now[:10]}/release-{consumer}-{now[11:]}.json", record)()
    if failing:
        click.echo(f"It still fails, and its next event parks it anew: {failing}")
    click.echo(f"Released. {kept} keeps a record of it for a year.")


def _recorder(target: Target, key: str, record: Mapping[str, Any]) -> Callable[..., str]:
    """Keeps a record of what was done, with what is added to it; gives its address."""
    bucket = target.output("FailedBatchesBucketName")

    def keep(**more: Any) -> str:
        body = orjson.dumps({**record, **more})
        target.client("s3").put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json")
        return f"s3://{bucket}/{key}"

    return keep


def _demand_none_hidden(found: Waiting, place: str) -> None:
    if hidden := found.hidden.get(place):
        raise click.ClickException(
            f"{hidden} more in {place} are being looked at by somebody else, perhaps of the same aggregate: "
            f"try again within {HOLD_SECONDS // 60} minutes"
        )


def _is_last(found: Waiting, letter: DeadLetter) -> bool:
    """Whether no other parked message is left from which the aggregate could be redriven."""
    if letter.place != waiting.PARKED or not letter.aggregate or letter.reason == waiting.UNKNOWN:
        return False
    lane = letter.consumer, letter.aggregate
    parked = [each for each in found.letters if (each.place, each.consumer, each.aggregate) == (letter.place, *lane)]
    if len(parked) > 1:
        return False
    _demand_none_hidden(found, letter.place)
    return True


def _go_on(target: Target, letter: DeadLetter) -> Discarded:
    with target.as_function():
        # Late: it reads the environment.
        from headwater import bootstrap

        return bootstrap.redrive().discard(letter.consumer, letter.raw)


class _Redriving:
    """How each kind of dead letter is processed again. What it raises says why one still fails."""

    def __init__(self, target: Target, found: Waiting) -> None:
        self._target = target
        self._found = found
        # Late: it reads the environment.
        from headwater import bootstrap

        self._bootstrap = bootstrap
        self._queues = dead_letter_queues(target.outputs)

    def redrive(self, letter: DeadLetter) -> str:
        """Processes it and takes it off; gives what was done, in a word or two."""
        _demand_known(letter)
        match letter.place:
            case waiting.PARKED:
                done = self._parked(letter)
            case waiting.UNRESOLVED:
                done = self._send(letter, self._target.output("FailedBatchesQueueUrl"))
            case waiting.ARCHIVER:
                done = self._archive(letter)
            case queue:
                done = self._send(letter, self._queues[queue][1])
        _take_off(self._target, self._found, letter)
        return done

    def _parked(self, letter: DeadLetter) -> str:
        self._bootstrap.redrive().run(letter.consumer, letter.raw)
        return "applied"

    def _archive(self, letter: DeadLetter) -> str:
        outcome = self._bootstrap.archiver().archive(letter.raw)
        return f"{outcome.received} records archived"

    def _send(self, letter: DeadLetter, url: str) -> str:
        message = letter.message
        if message is None:
            raise RedriveFailedError("it is on no queue")
        self._target.client("sqs").send_message(
            QueueUrl=url,
            MessageBody=message.body,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in message.attributes.items()
                if name != REASON
            },
        )
        return f"sent to {url.rpartition('/')[2]}"


def _demand_known(letter: DeadLetter) -> None:
    # A pointer of unknown shape may be one that the function has learned meanwhile.
    if letter.reason == waiting.UNKNOWN and letter.place != waiting.UNRESOLVED:
        raise RedriveFailedError("nobody can tell what it is: discard it, or redrive it by hand")


def _only_say(letter: DeadLetter) -> str:
    _demand_known(letter)
    return f"would be taken off {letter.place}"


def _redrive(letters: Sequence[DeadLetter], redriving: _Redriving | None) -> int:
    """Prints a line a dead letter; gives how many failed. Past an aggregate's first failure, its others wait."""
    table = Table(title="Redrive" if redriving else "Redrive, dry run: nothing is done", title_justify="left")
    for column in ("id", "consumer", "aggregate", "records", "result"):
        table.add_column(column, overflow="fold")
    redrive = redriving.redrive if redriving else _only_say
    failed = 0
    for letter, done in in_order(letters, lambda letter: (letter.consumer, letter.aggregate), redrive):
        match done:
            case HeldUpError():
                result = f"[yellow]{done}[/]"
            case Exception():
                # One line each: nobody reads a traceback.
                result = f"[red]{escape(f'{type(done).__name__}: {done}')}[/]"
            case _:
                result = f"[green]{done}[/]" if redriving else done
        failed += isinstance(done, Exception)
        table.add_row(letter.id, escape(letter.consumer), escape(letter.aggregate), str(letter.records), result)
    Console().print(table)
    return failed


def _take_off(target: Target, found: Waiting, letter: DeadLetter) -> None:
    if letter.message is not None:
        found.queues[letter.place].delete(letter.message)
    else:
        target.client("s3").delete_object(Bucket=target.output("FailedBatchesBucketName"), Key=letter.key)


def _tell_none(found: Waiting) -> None:
    if not found.letters:
        click.echo("Nothing waits.")
        return
    counts = Counter(letter.consumer or "nobody knows whose" for letter in found.letters)
    others = ", ".join(f"{consumer} ({count})" for consumer, count in sorted(counts.items()))
    click.echo(f"Nothing of that waits. What does: {others}.")


def _tell_hidden(found: Waiting) -> None:
    for queue, count in found.hidden.items():
        click.echo(
            f"{count} more in {queue} are being looked at by somebody else; they show again within "
            f"{HOLD_SECONDS // 60} minutes.",
            err=True,
        )


def _summary(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
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


def _table(letters: Sequence[DeadLetter], now: datetime) -> Table:
    table = Table(title=f"{len(letters)} dead letters", title_justify="left")
    for column in ("id", "reason", "consumer", "aggregate"):
        table.add_column(column, overflow="fold")
    for column in ("versions", "records", "age", "expires in"):
        table.add_column(column, justify="right", no_wrap=True)
    for letter in letters:
        left = letter.expires_at - now if letter.expires_at else None
        table.add_row(
            letter.id,
            escape(letter.reason),
            escape(letter.consumer),
            escape(letter.aggregate),
            _versions(letter.versions),
            str(letter.records),
            _duration(now - letter.failed_at),
            "never" if left is None else _duration(left),
            style="red" if left is not None and left < _URGENT else None,
        )
    return table


def _versions(versions: Sequence[int]) -> str:
    if not versions:
        return ""
    return str(versions[0]) if len(versions) == 1 else f"{min(versions)}…{max(versions)}"


def _duration(span: timedelta) -> str:
    minutes = max(0, int(span.total_seconds() // 60))
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} d"
