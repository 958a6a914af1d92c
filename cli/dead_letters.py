"""`headwater dead-letters`: what consumers gave up, to be seen, redriven or discarded.

Exit codes: 0, nothing waits, or what was asked for is done; 1, something waits, or it failed; 2, the command is not
written right; 3, nothing was seen and nobody waited to be sure.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click
from botocore.exceptions import BotoCoreError, ClientError

from cli import given
from cli.given import reason_option
from headwater.change_stream.claim_checks import S3ClaimStore
from headwater.dead_letters.redrive import StillFailingError, in_order
from operations.certainty import seen_within
from operations.dead_letters import redriving, view, waiting
from operations.dead_letters.inventory import Inventory, consumer_of_queue, dead_letter_queues, opened
from operations.dead_letters.redriving import Redriving, demand_recognised
from operations.dead_letters.view import contents, summary
from operations.dead_letters.waiting import DeadLetter
from operations.kept import recorder
from operations.output import as_json as json_text
from operations.output import none_called, print_json, say
from operations.target import Target

WAITS: Final = 1
NOT_SURE: Final = 3


@click.group("dead-letters")
def dead_letters() -> None:
    """Shows, redrives and discards what consumers gave up, and releases what stands still.

    Looking takes nothing off a queue. While a command works, others do not see what it looks at; that is over when the
    command ends, or five minutes after it was killed.
    """


_consumer = click.option(
    "--consumer", callback=given.stated, help="Only of this consumer, such as leaderboard or welcome_email."
)
_aggregate = click.option(
    "--aggregate", callback=given.stated, help="Only of this aggregate, such as 'player#0199…' (in quotes)."
)
_identifier = click.argument("identifier", metavar="ID", callback=given.stated)

_no_wait = click.option(
    "--no-wait",
    is_flag=True,
    help="If nothing is seen, do not wait for a minute to be sure: 'Not sure yet', exit code 3.",
)


@dead_letters.command("list")
@_consumer
@_aggregate
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of tables.")
@_no_wait
@click.pass_obj
def list_(
    target: Callable[[], Target], consumer: str | None, aggregate: str | None, as_json: bool, no_wait: bool
) -> None:
    """Prints all that waits, by consumer and cause: parked records, unresolved pointers, e-mails, archiver's batches.

    The exit code is 1 while something waits. "Nothing waits." comes after a minute in which all counts were zero.
    """
    stack, now = target(), datetime.now(UTC)
    with opened(stack) as found:
        _demand_known(stack, found, consumer)
        _demand_typed(found, aggregate)
        letters = found.chosen(consumer, aggregate)
        _tell_unseen(found.unseen)
        if not letters:
            _tell_none(stack, found, wait=not no_wait, to_stderr=as_json)
            return
        if as_json:
            for letter in letters:
                click.echo(json_text(summary(letter, found.ids[letter.key])))
        else:
            view.print_groups(letters, found.ids, now)
        raise click.exceptions.Exit(WAITS)


@dead_letters.command()
@_identifier
@click.option("--raw", is_flag=True, help="The records as the consumer was given them, as JSON, and nothing else.")
@click.option("--json", "_", is_flag=True, help="What is printed anyway: one JSON document.")
@click.pass_obj
def show(target: Callable[[], Target], identifier: str, raw: bool, _: bool) -> None:
    """Prints one dead letter with its parsed events, as JSON. It holds personal data: mind who sees the screen.

    An event that cannot be read is shown as it was delivered, under "unreadable". A message that is none of ours
    comes under "message", and with --raw as it is.
    """
    stack = target()
    with opened(stack) as found:
        letter = found.find(identifier)
        if raw:
            click.echo(letter.raw if isinstance(letter.raw, str) else json_text(letter.raw))
            return
        claims = S3ClaimStore(stack.client("s3"), stack.output("ArchiveBucketName"))
        print_json(summary(letter, found.ids[letter.key]) | contents(letter, claims))


@dead_letters.command()
@click.option("--all", "everything", is_flag=True, help="Of all consumers and aggregates.")
@_consumer
@_aggregate
@click.option("--dry-run", is_flag=True, help="Only says what would be done.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a dead letter and line.")
@_no_wait
@click.pass_obj
def redrive(
    target: Callable[[], Target],
    *,
    everything: bool,
    consumer: str | None,
    aggregate: str | None,
    dry_run: bool,
    as_json: bool,
    no_wait: bool,
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
        _demand_known(stack, found, consumer)
        _demand_typed(found, aggregate)
        letters = found.chosen(consumer, aggregate)
        _tell_unseen(found.unseen)
        if not letters:
            _tell_none(stack, found, wait=not no_wait, to_stderr=as_json)
            return
        if dry_run:
            failed = _redrive(found, letters, None, as_json=as_json)
        else:
            with stack.as_function():
                failed = _redrive(found, letters, Redriving(stack, found), as_json=as_json)
    if failed:
        would = "would still fail" if dry_run else "still fail"
        raise click.ClickException(f"{failed} of {len(letters)} {would} and stay where they are")
    if found.unseen:
        raise click.ClickException("not all could be seen: run it again in a few minutes")


@dead_letters.command()
@_identifier
@reason_option("Why nobody will miss it. It is recorded, with your name.")
@click.pass_obj
def discard(target: Callable[[], Target], identifier: str, reason: str) -> None:
    """Takes one dead letter off for good. A record of it, with the reason, is kept for a year.

    A read model or the badges stand still at an aggregate's event that they cannot apply. With the last of its dead
    letters that event is given up, or all that are missing there, and they go on from the next one. With fan_out's,
    of an event that nobody can read, all of them do.
    """
    stack = target()
    with opened(stack) as found:
        letter = found.find(identifier)
        done = redriving.discard(stack, found, letter, reason)
        for each in done.given_up:
            say(each)
        if done.stopped:
            raise click.ClickException(f"it stays, as its aggregate cannot go on: {done.stopped}")
    say(f"Discarded. {done.kept} keeps it for a year.")


@dead_letters.command()
@click.option(
    "--consumer", required=True, callback=given.stated, help="Whose rows: badges, or the name of a read model."
)
@click.option(
    "--aggregate",
    required=True,
    callback=given.aggregate,
    help="Which one stands still, such as 'player#0199…' (in quotes).",
)
@reason_option("Why it is done by hand. It is recorded, with your name.")
@click.pass_obj
def release(target: Callable[[], Target], consumer: str, aggregate: str, reason: str) -> None:
    """Lets an aggregate go on that stands still although none of its dead letters is left: the last one expired.

    It is applied from the event store, and gives up no event: at one that still fails it stops, and its next event
    parks it anew, to be seen, redriven or discarded. One that cannot be read is parked at once.
    """
    stack = target()
    with opened(stack) as found:
        if any(each.place == waiting.PARKED for each in found.chosen(consumer, aggregate)):
            raise click.ClickException("dead letters of it wait: redrive them, or discard them")
        found.demand_all_seen(waiting.PARKED)
        with stack.as_function():
            # Late: it reads the environment.
            from headwater import bootstrap
            from headwater.projections.runner import NotStoppedError

            try:
                failing = bootstrap.redrive().release(consumer, aggregate)
            except (NotStoppedError, StillFailingError) as error:
                raise click.ClickException(str(error)) from error
            except (BotoCoreError, ClientError):
                raise
            except Exception as error:
                raise click.ClickException(
                    f"it stands still as before, as it cannot be tried now: {type(error).__name__}: {error}"
                ) from error
        facts = {"consumer": consumer, "aggregate": aggregate, "still_failing": failing}
        kept = recorder(stack, f"release-{consumer}", facts, verb="release", done="released", reason=reason)()
    if failing:
        say(f"It still fails, and is parked anew, now or with its next event: {failing}")
    say(f"Released. {kept} keeps a record of it for a year.")


def _only_say(letter: DeadLetter) -> str:
    demand_recognised(letter)
    return f"would be taken off {letter.place}"


def _redrive(found: Inventory, letters: Sequence[DeadLetter], redriving: Redriving | None, *, as_json: bool) -> int:
    """Tells what became of each; gives how many failed. Past an aggregate's first failure, its others wait."""
    redrive = redriving.redrive if redriving else _only_say
    results: list[tuple[DeadLetter, str | Exception]] = []
    try:
        for letter, done in in_order(letters, lambda letter: (letter.consumer, letter.aggregate), redrive):
            results.append((letter, done))
            if as_json:
                click.echo(json_text(_result(found, letter, done)))
    finally:
        # Also after Ctrl-C: what was taken off is gone, and the rest waits as before.
        if not as_json:
            view.print_results(results, found.ids, len(letters), dry_run=redriving is None)
    return sum(isinstance(done, Exception) for _, done in results)


def _result(found: Inventory, letter: DeadLetter, done: str | Exception) -> dict[str, Any]:
    outcome = {"error": view.reason(done)} if isinstance(done, Exception) else {"done": done}
    return {
        "id": found.ids[letter.key],
        "consumer": letter.consumer,
        "aggregate": letter.aggregate,
        "records": letter.records,
        **outcome,
    }


def _demand_known(target: Target, found: Inventory, consumer: str | None) -> None:
    """Refuses a consumer's name that nobody has: of a misspelt one, nothing waits for ever."""
    if consumer is None:
        return
    known = {letter.consumer for letter in found.letters if letter.consumer} | {"archiver"}
    known |= {consumer_of_queue(queue) for queue in dead_letter_queues(target.outputs)}
    if consumer in known:
        return
    with target.as_function():
        # Late: it reads the environment.
        from headwater import bootstrap

        known |= set(bootstrap.redrive().consumers)
    if consumer not in known:
        raise click.BadParameter(
            none_called(f"consumer {consumer!r}", consumer, sorted(known)), param_hint="--consumer"
        )


def _demand_typed(found: Inventory, aggregate: str | None) -> None:
    """Refuses an id without its type where one with it waits; foreign programs may append under any other."""
    if any(letter.aggregate == aggregate for letter in found.letters):
        return
    near = sorted({each.aggregate for each in found.letters if each.aggregate.partition("#")[2] == aggregate})
    if aggregate and near:
        raise click.BadParameter(
            f"nothing of {aggregate!r} waits: did you mean {' or '.join(near)}?", param_hint="--aggregate"
        )


def _tell_none(target: Target, found: Inventory, *, wait: bool, to_stderr: bool) -> None:
    """Says that nothing was found, and only if it is sure that nothing waits.

    Raises
    ------
    click.exceptions.Exit
        Something waits that could not be looked at, or nobody waited to be sure.
    """
    unseen: Mapping[str, int] = found.unseen
    if not unseen:
        if not wait:
            say("Not sure yet: nothing is seen, but counts are right only after a minute.", err=True)
            raise click.exceptions.Exit(NOT_SURE)
        unseen = seen_within(found.count_unseen, target.clock, target.steady, lambda text: say(text, err=True))
        _tell_unseen(unseen)
    if unseen:
        say("What was asked for may be among them: ask again.", err=True)
        raise click.exceptions.Exit(WAITS)
    if not found.letters:
        say("Nothing waits.", err=to_stderr)
        return
    counts = Counter(letter.consumer or "nobody knows whose" for letter in found.letters)
    others = ", ".join(f"{consumer} ({count})" for consumer, count in sorted(counts.items()))
    say(f"Nothing of that waits. What does: {others}.", err=to_stderr)


def _tell_unseen(unseen: Mapping[str, int]) -> None:
    """Says what could not be looked at; a listing is not whole then."""
    for place, count in sorted(unseen.items()):
        say(f"{count} more in {place}: {waiting.on_their_way(place)}", err=True)
