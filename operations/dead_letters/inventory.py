"""All that consumers gave up, wherever it waits: held while a command works on it, and counted where nobody looks."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import click

from headwater.archive.objects import GIVEN_UP
from headwater.change_stream.claim_checks import S3ClaimStore
from operations.dead_letters import waiting
from operations.dead_letters.queues import HOLD_SECONDS, Held, Message, counted, held
from operations.dead_letters.waiting import DeadLetter
from operations.output import shortened
from operations.target import Target

_QUEUE_URL: Final = re.compile(r"(\w+)QueueUrl")
_DEAD_LETTER_QUEUE_URL: Final = re.compile(r"(\w+?)(Subscription)?DeadLetterQueueUrl")
#: In another account, whose operators see to it; the Pipe parks here what that queue does not take.
_ELSEWHERE: Final = frozenset({"ApplicationInboxQueue"})


def dead_letter_queues(outputs: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The consumers' dead-letter queues by name, each with the URL of the queue that its messages go back to."""
    queues = {}
    for output, url in outputs.items():
        if found := _DEAD_LETTER_QUEUE_URL.fullmatch(output):
            queues[output.removesuffix("Url")] = (url, outputs.get(f"{found[1]}QueueUrl", ""))
    return queues


def pending_queues(outputs: Mapping[str, str]) -> dict[str, str]:
    """URLs of the queues, by name, from which what failed is on its way to be parked, or tried again by itself.

    They are counted and not looked into: their messages have a function that receives them, and a receive counts.
    Every queue that the stack names is one, unless people look into it, or it feeds a consumer with a dead-letter
    queue of its own: what waits there has not failed.
    """
    looked_into = {waiting.PARKED, waiting.UNRESOLVED, *dead_letter_queues(outputs)}
    return {
        f"{found[1]}Queue": url
        for output, url in outputs.items()
        if (found := _QUEUE_URL.fullmatch(output))
        and f"{found[1]}Queue" not in looked_into | _ELSEWHERE
        and f"{found[1]}DeadLetterQueueUrl" not in outputs
    }


def counts(target: Target) -> dict[str, int]:
    """How many wait in each place that people look into, by SQS's and S3's own count: nothing is held for it."""
    sqs, s3 = target.client("sqs"), target.client("s3")
    urls = {waiting.PARKED: target.output("ParkedRecordsQueueUrl")}
    urls |= {waiting.UNRESOLVED: target.output("UnresolvedPointersQueueUrl")}
    urls |= {name: url for name, (url, _) in dead_letter_queues(target.outputs).items()}
    with ThreadPoolExecutor(len(urls)) as together:
        found = dict(zip(urls, together.map(lambda url: counted(sqs, url), urls.values()), strict=True))
    found[waiting.ARCHIVER] = sum(1 for _ in _objects(s3, target.output("FailedBatchesBucketName")))
    return found


def consumer_of_queue(queue: str) -> str:
    """The consumer that a dead-letter queue belongs to: ``WelcomeEmailDeadLetterQueue`` is welcome_email's."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", re.sub(r"(Subscription)?DeadLetterQueue$", "", queue)).lower()


@dataclass(frozen=True)
class Inventory:
    """Everything that waits, held for as long as the command works; use it within `opened`.

    ``unseen`` is how many more each place had when it was opened, which nobody could look at.
    """

    letters: Sequence[DeadLetter]
    queues: Mapping[str, Held]
    unseen: Mapping[str, int]
    count_unseen: Callable[[], Mapping[str, int]]

    @cached_property
    def ids(self) -> Mapping[str, str]:
        """What each dead letter goes by, by its key: the beginning of its handle, as long as none other begins so."""
        short = shortened(letter.handle for letter in self.letters)
        return {letter.key: short[letter.handle] for letter in self.letters}

    def find(self, identifier: str) -> DeadLetter:
        """The dead letter whose id, message id or object key begins so.

        Raises
        ------
        click.ClickException
            It is empty, none begins so, or several do; says which ids come close.
        """
        wanted = identifier.strip().lower()
        if not wanted:
            raise click.ClickException("the ID is empty: 'dead-letters list' shows all")
        found = [
            each
            for each in self.letters
            if each.handle.lower().startswith(wanted) or each.key.lower().startswith(wanted)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(sorted(self.ids[each.key] for each in found)[:10])
            raise click.ClickException(f"{len(found)} dead letters have an id that begins with {identifier!r}: {ids}")
        near = difflib.get_close_matches(wanted, self.ids.values(), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "'dead-letters list' shows all"
        if self.unseen:
            hint += f" {sum(self.unseen.values())} more cannot be seen now, and it may be among them"
        raise click.ClickException(f"no dead letter has an id that begins with {identifier!r}: {hint}")

    def chosen(self, consumer: str | None, aggregate: str | None) -> list[DeadLetter]:
        return [
            letter
            for letter in self.letters
            if consumer in (None, letter.consumer) and aggregate in (None, letter.aggregate)
        ]

    def demand_all_seen(self, place: str) -> None:
        """Refuses to go on while messages of a place are in somebody else's hands.

        Raises
        ------
        click.ClickException
            Some are.
        """
        if unseen := self.unseen.get(place):
            raise click.ClickException(
                f"{unseen} more in {place} are being looked at by somebody else, perhaps of the same aggregate: "
                f"try again within {HOLD_SECONDS // 60} minutes"
            )


@contextmanager
def opened(target: Target) -> Iterator[Inventory]:
    """What waits in the stack's queues and its bucket."""
    sqs, s3 = target.client("sqs"), target.client("s3")
    claims = S3ClaimStore(s3, target.output("ArchiveBucketName"))
    readers: list[tuple[str, str, Callable[[Message], DeadLetter]]] = [
        (waiting.PARKED, target.output("ParkedRecordsQueueUrl"), lambda message: waiting.of_parked(message, claims)),
        (waiting.UNRESOLVED, target.output("UnresolvedPointersQueueUrl"), waiting.of_pointer),
    ]
    for name, (url, _) in dead_letter_queues(target.outputs).items():
        readers.append((name, url, _event_reader(name)))
    pending = pending_queues(target.outputs)
    bucket = target.output("FailedBatchesBucketName")
    with ExitStack() as holds:
        holding = _hold(sqs, [url for _, url, _ in readers], holds)
        queues = {name: queue for (name, _, _), queue in zip(readers, holding, strict=True)}
        letters = [_read(read, name, message) for name, _, read in readers for message in queues[name].messages]
        for key in _objects(s3, bucket):
            # Gone since it was listed: somebody else took it off.
            with suppress(s3.exceptions.NoSuchKey):
                letters.append(waiting.of_object(key, s3.get_object(Bucket=bucket, Key=key)["Body"].read()))
        # In the order in which they are to be redriven.
        letters.sort(key=lambda each: (each.consumer, each.aggregate, min(each.versions, default=0), each.key))
        known = {letter.key for letter in letters}

        def count_unseen() -> dict[str, int]:
            counts = {name: queue.unseen() for name, queue in queues.items()}
            counts |= {name: counted(sqs, url) for name, url in pending.items()}
            counts[waiting.ARCHIVER] = sum(key not in known for key in _objects(s3, bucket))
            return {place: count for place, count in counts.items() if count}

        yield Inventory(letters, queues, count_unseen(), count_unseen)


def _hold(sqs: Any, urls: Sequence[str], holds: ExitStack) -> list[Held]:
    managers = [held(sqs, url) for url in urls]
    opening = []
    try:
        # Together: each waits a second for its queue to say that it is empty.
        with ThreadPoolExecutor(len(managers)) as together:
            opening = [together.submit(manager.__enter__) for manager in managers]
    finally:
        # Also after Ctrl-C: what was received meanwhile is to be shown again.
        for manager, entered in zip(managers, opening, strict=False):
            if not entered.cancelled() and entered.exception() is None:
                holds.push(manager)
    return [entered.result() for entered in opening]


def _objects(s3: Any, bucket: str) -> Iterator[str]:
    """Keys of the archiver's batches; a console's folder is none."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=GIVEN_UP):
        yield from (entry["Key"] for entry in page.get("Contents", []) if not entry["Key"].endswith("/"))


def _read(read: Callable[[Message], DeadLetter], queue: str, message: Message) -> DeadLetter:
    try:
        return read(message)
    except Exception as error:  # noqa: BLE001  # one that nobody thought of must not hide all others
        return waiting.unknown(queue, "", message, f"{type(error).__name__}: {error}")


def _event_reader(queue: str) -> Callable[[Message], DeadLetter]:
    consumer = consumer_of_queue(queue)
    return lambda message: waiting.of_event(message, queue, consumer)
