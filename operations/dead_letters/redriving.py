"""Dead letters processed again, or given up with a record of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import click
from botocore.exceptions import BotoCoreError, ClientError

from headwater.change_stream.records import MalformedRecordError
from headwater.dead_letters.redrive import Discarded as PassedOver
from headwater.dead_letters.unresolved import REASON
from operations.dead_letters import waiting
from operations.dead_letters.inventory import Inventory, dead_letter_queues
from operations.dead_letters.view import RedriveFailedError, summary
from operations.dead_letters.waiting import DeadLetter
from operations.kept import recorder
from operations.output import as_json as json_text
from operations.target import Target

#: What cannot be read is judged by it, once, for all that stand behind it.
_FAN_OUT: Final = "fan_out"


@dataclass(frozen=True, slots=True)
class Discarded:
    """``kept`` is the address of the record; ``given_up`` are the events that are passed over, each in words.

    ``stopped`` says why the aggregate cannot go on: the dead letter stays then.
    """

    kept: str
    given_up: Sequence[str] = ()
    stopped: str | None = None


def discard(target: Target, found: Inventory, letter: DeadLetter, reason: str) -> Discarded:
    """Takes one dead letter off for good, with a record of it. After an event's last, its consumer goes on."""
    facts = {**summary(letter, found.ids[letter.key]), "events": letter.events, "raw": letter.raw}
    keep = recorder(target, found.ids[letter.key], facts, verb="discard", done="discarded", reason=reason)
    last = _is_last(found, letter)
    # First the record: a command that dies in between has discarded nothing.
    kept = keep()
    passed_over = _go_on(target, letter) if last else PassedOver()
    if passed_over.given_up:
        keep(given_up=passed_over.given_up)
    goes = "Read models and badges go" if letter.consumer == _FAN_OUT else f"{letter.consumer} goes"
    given_up = [f"{goes} on without {each}." for each in passed_over.given_up]
    if not passed_over.stopped:
        take_off(target, found, letter)
    return Discarded(kept, given_up, passed_over.stopped)


class Redriving:
    """How each kind of dead letter is processed again. What it raises says why one still fails."""

    def __init__(self, target: Target, found: Inventory) -> None:
        self._target = target
        self._found = found
        # Late: it reads the environment.
        from headwater import bootstrap

        self._bootstrap = bootstrap
        self._queues = dead_letter_queues(target.outputs)

    def redrive(self, letter: DeadLetter) -> str:
        """Processes it and takes it off; gives what was done, in a word or two."""
        demand_recognised(letter)
        match letter.place:
            case waiting.PARKED:
                done = self._parked(letter)
            case waiting.UNRESOLVED:
                done = self._send(letter, self._target.output("FailedBatchesQueueUrl"))
            case waiting.ARCHIVER:
                done = self._archive(letter)
            case queue:
                done = self._send(letter, self._queues[queue][1])
        take_off(self._target, self._found, letter)
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


def demand_recognised(letter: DeadLetter) -> None:
    # A pointer of unknown shape may be one that the function has learned meanwhile.
    if letter.reason == waiting.UNKNOWN and letter.place != waiting.UNRESOLVED:
        raise RedriveFailedError("nobody can tell what it is: discard it, or redrive it by hand")


def take_off(target: Target, found: Inventory, letter: DeadLetter) -> None:
    if letter.message is not None:
        found.queues[letter.place].delete(letter.message)
    else:
        target.client("s3").delete_object(Bucket=target.output("FailedBatchesBucketName"), Key=letter.key)


def _is_last(found: Inventory, letter: DeadLetter) -> bool:
    """Whether no other parked message is left from which what the letter stands for could be redriven."""
    if letter.place != waiting.PARKED or not letter.aggregate or letter.reason == waiting.UNKNOWN:
        return False
    stands_for = _stands_for(letter)
    if sum(each.place == letter.place and _stands_for(each) == stands_for for each in found.letters) > 1:
        return False
    found.demand_all_seen(letter.place)
    return True


def _stands_for(letter: DeadLetter) -> tuple[str, ...]:
    """A consumer's aggregate, which stands still as a whole; of fan_out, which keeps none standing, the event."""
    if letter.consumer != _FAN_OUT:
        return letter.consumer, letter.aggregate
    return letter.consumer, letter.aggregate, json_text([_keys(raw) for raw in letter.raw])


def _keys(raw: Any) -> Any:
    match raw:
        case {"dynamodb": {"Keys": keys}}:
            return keys
    # None that a table's stream has: it stands for itself.
    return raw


def _go_on(target: Target, letter: DeadLetter) -> PassedOver:
    with target.as_function():
        # Late: it reads the environment.
        from headwater import bootstrap

        try:
            return bootstrap.redrive().discard(letter.consumer, letter.raw)
        except MalformedRecordError:
            # No stream delivers such records, so that no aggregate can stand still for them.
            return PassedOver()
        except (BotoCoreError, ClientError):
            raise
        except Exception as error:
            raise click.ClickException(
                f"it stays, as its aggregate cannot go on now: {type(error).__name__}: {error}"
            ) from error
