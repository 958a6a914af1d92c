"""The person on call: once the cause is repaired, redrives all that waits until nothing does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from devstack.simulator.cloud.sqs import Queue
from devstack.simulator.faults import SimulatedCrash
from devstack.simulator.lag import LagWatch
from devstack.simulator.places import Place, event_of
from devstack.simulator.surroundings import Surroundings
from headwater import bootstrap
from headwater.change_stream.claim_checks import ClaimStore
from headwater.dead_letters.parked import MalformedParkedError, decode
from headwater.dead_letters.redrive import in_order

PARKED: Final = "ParkedRecordsQueue"
UNRESOLVED: Final = "UnresolvedPointersQueue"
FAILED_BATCHES: Final = "FailedBatchesQueue"
#: For so long a command hides what it works on; so long after one that was stopped, all is to be seen again.
HOLD_SECONDS: Final = 300
_DEAD_LETTERS: Final = re.compile(r"(\w+?)(Subscription)?DeadLetterQueue")


class _Letter(NamedTuple):
    """A message that waits; ``place`` is its order in its lane."""

    lane: tuple[str, str]
    place: tuple[int, str]
    queue: Queue
    handle: str
    content: Any


class _Now(NamedTuple):
    """A command's beginning: what it redrives has waited for a person until then."""

    outage_until: float


class Operator:
    """Does what `headwater dead-letters redrive --all` does, with the same code below it.

    ``redriven`` counts messages by consumer; ``records`` are the events in them, by consumer.
    """

    def __init__(self, world: Surroundings, queues: Sequence[str], claims: ClaimStore, lag: LagWatch) -> None:
        self._world = world
        self._queues = queues
        self._claims = claims
        self._lag = lag
        self.rounds = 0
        self.redriven: Counter[str] = Counter()
        self.records: dict[str, set[Place]] = {}

    @property
    def waits(self) -> bool:
        """Whether any message is on a queue of dead letters, hidden ones included."""
        return any(len(queue) for queue, _ in self.queues())

    def queues(self) -> Iterator[tuple[Queue, str]]:
        """The queue of parked records, and each consumer's dead letters with the queue that they go back to."""
        cloud = self._world.cloud
        yield cloud.queue(PARKED), ""
        yield cloud.queue(UNRESOLVED), FAILED_BATCHES
        for name in self._queues:
            if found := _DEAD_LETTERS.fullmatch(name):
                yield cloud.queue(name), f"{found[1]}Queue"

    def redrive(self) -> None:
        """One command, in order; what fails stays. Where the faults stop it, what it held shows again by itself."""
        world, engine = self._world, self._world.engine
        self.rounds += 1
        outer, world.faults.in_function = world.faults.in_function, True
        outcome = "ended"
        try:
            with self._lag.during(_Now(engine.now)):
                self._redrive_all()
        except (SimulatedCrash, ClientError, BotoCoreError) as error:
            outcome = type(error).__name__
        finally:
            world.faults.in_function = outer
        engine.note(f"redrive {self.rounds} {outcome}")
        world.stir()

    def _redrive_all(self) -> None:
        engine = self._world.engine
        letters = sorted(
            (letter for queue, target in self.queues() for letter in self._received(queue, target)),
            key=lambda letter: (letter.lane, letter.place),
        )
        for letter, done in in_order(letters, lambda letter: letter.lane, self._redrive):
            failed = isinstance(done, Exception)
            engine.note(f"redrive {' '.join(letter.lane)} {type(done).__name__ if failed else 'applied'}")
            if failed:
                engine.detail(f"redrive of {letter.lane} fails: {done!r}")
                self._release(letter)

    def _received(self, queue: Queue, target: str) -> Iterator[_Letter]:
        world, held = self._world, dict[str, _Letter]()
        while messages := world.cloud.sqs.receive_message(
            QueueUrl=queue.url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=HOLD_SECONDS,
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
        ).get("Messages"):
            for message in messages:
                handle = message["ReceiptHandle"]
                if queue.name == UNRESOLVED and "MessageAttributes" in message:
                    # It says why no other try helps.
                    continue
                if target:
                    lane, version, content = (target, ""), 0, message["Body"]
                else:
                    try:
                        content = decode(message["Body"], self._claims)
                    except MalformedParkedError:
                        # Whoever put it there: it stays, and shows again by itself.
                        continue
                    lane = content.consumer, content.aggregate_id
                    version = min(content.versions, default=0)
                # By its handle, as the faults may have doubled the message.
                held[handle] = _Letter(lane, (version, handle), queue, handle, content)
        yield from held.values()

    def _redrive(self, letter: _Letter) -> None:
        world = self._world
        consumer, _ = letter.lane
        if letter.queue.name == PARKED:
            with world.newer_code.as_consumer():
                bootstrap.redrive().run(consumer, letter.content.raw)
            self.records.setdefault(consumer, set()).update(map(event_of, letter.content.raw))
        else:
            world.cloud.sqs.send_message(QueueUrl=world.cloud.queue(consumer).url, MessageBody=letter.content)
        world.cloud.sqs.delete_message(QueueUrl=letter.queue.url, ReceiptHandle=letter.handle)
        self.redriven[consumer] += 1

    def _release(self, letter: _Letter) -> None:
        # What fails shows again by itself.
        release = partial(self._world.cloud.sqs.change_message_visibility, VisibilityTimeout=0)
        try:
            release(QueueUrl=letter.queue.url, ReceiptHandle=letter.handle)
        except (ClientError, BotoCoreError) as error:
            self._world.engine.detail(f"release fails: {error!r}")
