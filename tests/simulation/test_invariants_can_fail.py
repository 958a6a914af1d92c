"""Each invariant is shown a broken world, and says what is broken: one that cannot fail proves nothing."""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from backports import zstd

from arcade.app import CHANGE_NOTICE, WELCOME_EMAIL
from devstack.simulator.cloud.items import encode
from devstack.simulator.cloud.s3 import StoredObject
from devstack.simulator.cloud.sesv2 import SentEmail
from devstack.simulator.config import Config
from devstack.simulator.consumer_invariants import each_change_is_told_once, each_user_is_greeted_once
from devstack.simulator.delivery import GivenUp
from devstack.simulator.evidence import Evidence
from devstack.simulator.faults import PROMISED
from devstack.simulator.findings import Harm
from devstack.simulator.graph import Blueprint
from devstack.simulator.runner import run_set
from devstack.simulator.simulation import Result, verdict
from devstack.simulator.world import World, opened
from headwater.archive import bi_export
from headwater.badges.progress import BADGE_PROGRESS
from headwater.notifications import change_notice, welcome_email

CONFIG = Config.of(1, 150, 0.0)
#: Long enough for users to be deleted in it.
WITH_DELETIONS = Config.of(2, 900, 0.0)


@contextmanager
def world_at_rest(blueprint: Blueprint, config: Config = CONFIG) -> Iterator[World]:
    """A world in which everything went well, before it is judged."""
    with opened(config, blueprint) as world:
        assert world.run() is not None
        yield world


def found(result: Result) -> set[tuple[str, Harm]]:
    return {(violation.invariant, violation.finding.harm) for violation in result.violations}


def rewrite(world: World, table: str, change: Callable[[dict[str, Any]], dict[str, Any] | None], where: str) -> None:
    """Changes, or removes, the first item whose JSON contains a text."""
    stored = world.cloud.table(table)
    for key, item in [(key, stored.get(key)) for key in list(stored.items)]:
        if item is not None and where in str(item):
            changed = change(item)
            if changed is None:
                stored.delete(key)
            else:
                stored.put(key, encode(changed))
            return
    raise AssertionError(f"{table} has no item with {where}")


def test_a_world_in_which_all_went_well_has_nothing_to_find(blueprint: Blueprint) -> None:
    with world_at_rest(blueprint) as world:
        assert found(verdict(world, 0.0)) == set()


@pytest.mark.parametrize(("change", "harm"), [(1, Harm.DOUBLED), (-1, Harm.LOST)])
def test_a_play_that_a_profile_counts_twice_or_not_at_all(blueprint: Blueprint, change: int, harm: Harm) -> None:
    def count(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "plays": {"N": str(int(row["plays"]["N"]) + change)}}

    with world_at_rest(blueprint) as world:
        rewrite(world, "ReadModelsTable", count, "player_profiles@")
        assert found(verdict(world, 0.0)) == {("read_models_are_the_fold", harm)}


def test_a_row_that_is_gone(blueprint: Blueprint) -> None:
    with world_at_rest(blueprint) as world:
        rewrite(world, "ReadModelsTable", lambda _: None, "'best_scores'")
        assert ("read_models_are_the_fold", Harm.LOST) in found(verdict(world, 0.0))


def test_progress_that_is_no_fold(blueprint: Blueprint) -> None:
    def forget(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "games": {"M": {}}}

    with world_at_rest(blueprint) as world:
        rewrite(world, "ReadModelsTable", forget, "'games': {'M': {'")
        assert found(verdict(world, 0.0)) == {("read_models_are_the_fold", Harm.WRONG)}


def test_a_row_that_no_event_made(blueprint: Blueprint) -> None:
    def rename(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "pk": {"S": "player_profiles@1#nobody"}}

    with world_at_rest(blueprint) as world:
        rewrite(world, "ReadModelsTable", rename, "player_profiles@")
        assert ("read_models_are_the_fold", Harm.WRONG) in found(verdict(world, 0.0))


def test_an_event_that_kinesis_never_saw(blueprint: Blueprint) -> None:
    """A stream that drops a record is the plainest loss there is."""
    with opened(CONFIG, blueprint) as world:
        put_records = world.cloud.kinesis.put_records
        dropped: list[Any] = []

        def drop_one(**params: Any) -> dict[str, Any]:
            if not dropped and len(params["Records"]) > 1 and b'"player#' in params["Records"][-1]["Data"]:
                dropped.append(params["Records"][-1])
                answer: dict[str, Any] = put_records(**{**params, "Records": params["Records"][:-1]})
                return {**answer, "Records": [*answer["Records"], answer["Records"][0]]}
            return dict(put_records(**params))

        world.cloud.kinesis.put_records = drop_one  # type: ignore[method-assign]
        drained = world.run()
        result = verdict(world, drained)

    # A later event of the player heals the read models from the event store; the stream itself stays short of it.
    assert dropped
    assert ("order_is_kept", Harm.ORDER) in found(result)


def test_a_gap_in_the_table(blueprint: Blueprint) -> None:
    with world_at_rest(blueprint) as world:
        rewrite(world, "EventsTable", lambda _: None, "'version': {'N': '2'}")
        result = found(verdict(world, 0.0))

    assert ("versions_have_no_gap", Harm.ORDER) in result
    assert ("archive_is_the_log", Harm.WRONG) in result


def test_an_event_id_that_stands_twice(blueprint: Blueprint) -> None:
    with world_at_rest(blueprint) as world:
        known = next(iter(world.cloud.items("EventsTable")))["event_id"]
        rewrite(world, "EventsTable", lambda item: {**item, "event_id": known}, "'version': {'N': '3'}")
        assert ("versions_have_no_gap", Harm.DOUBLED) in found(verdict(world, 0.0))


def test_a_command_that_was_acknowledged_and_forgotten(blueprint: Blueprint) -> None:
    with world_at_rest(blueprint) as world:
        rewrite(world, "EventsTable", lambda _: None, "activity#")
        assert ("commands_happen_once", Harm.LOST) in found(verdict(world, 0.0))


def test_a_command_that_happened_twice(blueprint: Blueprint) -> None:
    with world_at_rest(blueprint) as world:
        plays = [item for item in world.cloud.items("EventsTable") if "player#" in item["aggregate_id"]["S"]]
        rewrite(
            world, "EventsTable", lambda item: {**item, "metadata": plays[0]["metadata"]}, plays[1]["event_id"]["S"]
        )
        assert ("commands_happen_once", Harm.DOUBLED) in found(verdict(world, 0.0))


def _change_first_line(world: World, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    objects = world.cloud.bucket("ArchiveBucket").objects
    key = next(key for key in objects if key.startswith("raw/"))
    lines = zstd.decompress(objects[key].body).splitlines()
    first = change(orjson.loads(lines[0]))
    kept = [*([] if first is None else [orjson.dumps(first)]), *lines[1:]]
    objects[key] = StoredObject(zstd.compress(b"\n".join(kept)), "application/zstd", 0.0)


@pytest.mark.parametrize(
    ("change", "harm"),
    [
        (lambda _: None, Harm.LOST),
        (lambda line: {**line, "payload": '{"changed":true}'}, Harm.WRONG),
        (lambda line: {**line, "version": line["version"] + 1000}, Harm.WRONG),
    ],
)
def test_an_archive_that_is_not_the_log(
    blueprint: Blueprint, change: Callable[[dict[str, Any]], dict[str, Any] | None], harm: Harm
) -> None:
    with world_at_rest(blueprint) as world:
        _change_first_line(world, change)
        assert ("archive_is_the_log", harm) in found(verdict(world, 0.0))


def _mails(world: World, subject: str) -> list[SentEmail]:
    return [mail for mail in world.cloud.outbox if mail.subject == subject]


@pytest.mark.parametrize(
    "subject", [welcome_email.SUBJECT, change_notice.ADDRESS_CHANGED, change_notice.PROFILE_CHANGED]
)
@pytest.mark.parametrize(("mails", "harm"), [(0, Harm.LOST), (2, Harm.DOUBLED)])
def test_an_e_mail_that_was_not_sent_or_was_sent_twice(
    blueprint: Blueprint, subject: str, mails: int, harm: Harm
) -> None:
    invariant = "each_user_is_greeted_once" if subject == welcome_email.SUBJECT else "each_change_is_told_once"
    with world_at_rest(blueprint) as world:
        mail = _mails(world, subject)[0]
        world.cloud.outbox.remove(mail)
        world.cloud.outbox.extend([mail] * mails)
        assert found(verdict(world, 0.0)) == {(invariant, harm)}


def test_an_e_mail_that_was_sent_again_as_was_reported(blueprint: Blueprint) -> None:
    with world_at_rest(blueprint) as world:
        mail = _mails(world, welcome_email.SUBJECT)[0]
        event = next(event for event in Evidence(world).events("user") if event.data.get("email") == mail.recipients[0])
        world.cloud.outbox.append(mail)
        world.functions.log.unconfirmed[WELCOME_EMAIL.name, event.event_id, ""] += 1

        result = verdict(world, 0.0)

    assert (found(result), result.harms) == (set(), {Harm.REPEATED: 1})


@pytest.mark.parametrize("consumer", [WELCOME_EMAIL.name, CHANGE_NOTICE.name])
def test_an_e_mail_that_nobody_claimed_and_that_waits_nowhere(blueprint: Blueprint, consumer: str) -> None:
    with world_at_rest(blueprint) as world:
        rewrite(world, "LedgerTable", lambda _: None, f"effect#{consumer}#")
        assert Harm.LOST in {harm for _, harm in found(verdict(world, 0.0))}


@pytest.mark.parametrize("held", [0, 1])
@pytest.mark.parametrize(("mails", "harms"), [(1, {Harm.HELD}), (2, {Harm.HELD}), (0, {Harm.HELD, Harm.LOST})])
def test_an_address_that_registered_twice_and_whose_first_or_second_welcome_is_held(
    blueprint: Blueprint, held: int, mails: int, harms: set[Harm]
) -> None:
    """The e-mail that is held may have been sent or not; the other one must have been."""
    with world_at_rest(blueprint) as world:
        first, second = _mails(world, welcome_email.SUBJECT)[:2]
        rest = [mail for mail in world.cloud.outbox if mail not in (first, second)]
        world.cloud.outbox[:] = [*rest, *[first] * mails]
        name = first.text.partition(",")[0].removeprefix("Hello ")

        def same(item: dict[str, Any]) -> dict[str, Any]:
            return {**item, "data": {"S": orjson.dumps({"name": name, "email": first.recipients[0]}).decode()}}

        rewrite(world, "EventsTable", same, f'"email":"{second.recipients[0]}"')
        registered = [
            event
            for event in Evidence(world).events("user")
            if event.version == 1 and event.data["email"] == first.recipients[0]
        ]
        effect = f"effect#{WELCOME_EMAIL.name}#{registered[held].event_id}"
        rewrite(world, "LedgerTable", lambda item: {**item, "state": {"S": "claimed"}}, effect)
        world.cloud.sqs.send_message(
            QueueUrl=world.cloud.queue("WelcomeEmailDeadLetterQueue").url,
            MessageBody=orjson.dumps({"id": registered[held].event_id}).decode(),
        )
        assert {finding.harm for finding in each_user_is_greeted_once(Evidence(world))} == harms


def test_a_notice_to_a_user_who_is_gone_is_owed_to_nobody(blueprint: Blueprint) -> None:
    """Its function found the deletion before it was the notice's turn."""
    with world_at_rest(blueprint, WITH_DELETIONS) as world:
        gone = {event.aggregate_id for event in Evidence(world).events("user") if event.type == "UserDeleted"}
        told = next(
            event
            for event in Evidence(world).events("user")
            if event.type == "UserProfileChanged" and event.aggregate_id in gone
        )
        hello = f"Hello {told.data['name']},"
        world.cloud.outbox[:] = [mail for mail in world.cloud.outbox if not mail.text.startswith(hello)]
        rewrite(world, "LedgerTable", lambda _: None, f"effect#{CHANGE_NOTICE.name}#{told.event_id}")
        assert list(each_change_is_told_once(Evidence(world))) == []


@pytest.mark.parametrize(
    ("change", "harm"),
    [
        (lambda _: None, Harm.LOST),
        (lambda item: {"pk": item["pk"]}, Harm.WRONG),
        (lambda item: {**item, "preferences": {"M": {"language": {"S": "pt"}}}}, Harm.WRONG),
    ],
)
def test_preferences_that_are_gone_or_are_others(
    blueprint: Blueprint, change: Callable[[dict[str, Any]], dict[str, Any] | None], harm: Harm
) -> None:
    with world_at_rest(blueprint) as world:
        rewrite(world, "PreferencesTable", change, "'language'")
        assert found(verdict(world, 0.0)) == {("preferences_are_those_of_users", harm)}


def test_credentials_that_a_deleted_user_leaves_behind(blueprint: Blueprint) -> None:
    with world_at_rest(blueprint, WITH_DELETIONS) as world:
        deleted = next(event for event in Evidence(world).events("user") if event.type == "UserDeleted")
        pk = f"credentials#{deleted.aggregate_key}"
        item = {"pk": {"S": pk}, "password_hash": {"S": "…"}, "email": {"S": "a@x.org"}}
        world.cloud.table("CredentialsTable").put((pk,), encode(item))
        assert found(verdict(world, 0.0)) == {("nothing_is_kept_of_the_deleted", Harm.WRONG)}


def test_a_deletion_that_nobody_cleaned_up_after(blueprint: Blueprint) -> None:
    with world_at_rest(blueprint, WITH_DELETIONS) as world:
        deleted = next(event for event in Evidence(world).events("user") if event.type == "UserDeleted")
        for effect, invariant in (
            ("credentials", "nothing_is_kept_of_the_deleted"),
            ("preferences", "preferences_are_those_of_users"),
        ):
            rewrite(world, "LedgerTable", lambda _: None, f"effect#account_cleanup#{deleted.event_id}#{effect}")
            assert {(invariant, Harm.LOST), ("each_effect_is_done", Harm.LOST)} <= found(verdict(world, 0.0))


@pytest.mark.parametrize(
    ("change", "harms"),
    [
        (lambda lines: lines[1:], {Harm.LOST}),
        (lambda lines: [*lines, lines[0]], {Harm.DOUBLED}),
        (lambda lines: [lines[0].replace(b'"version":', b'"version":1'), *lines[1:]], {Harm.LOST, Harm.WRONG}),
        (lambda lines: [lines[0].replace(b'"type":"', b'"type":"Un'), *lines[1:]], {Harm.WRONG}),
        (lambda lines: [*lines, lines[0].replace(b'"event_id":"', b'"event_id":"other-')], {Harm.WRONG}),
    ],
)
def test_an_export_that_is_not_the_log(
    blueprint: Blueprint, change: Callable[[list[bytes]], list[bytes]], harms: set[Harm]
) -> None:
    with world_at_rest(blueprint) as world:
        bucket = world.cloud.bucket("ArchiveBucket")
        key = next(key for key in sorted(bucket.objects) if key.startswith(bi_export.PREFIX))
        changed = b"".join(change(bucket.objects[key].body.splitlines(keepends=True)))
        bucket.put(key, StoredObject(changed, "application/json", 0.0))
        assert found(verdict(world, 0.0)) == {("export_is_the_log", harm) for harm in harms}


def test_a_badge_that_was_earned_and_not_awarded(blueprint: Blueprint) -> None:
    with world_at_rest(blueprint) as world:
        # A deleted player is owed nothing.
        alive = next(key for key, row in Evidence(world).rows(BADGE_PROGRESS).items() if row.state is not None)
        rewrite(world, "EventsTable", lambda _: None, f"badge#{alive}#")
        assert ("badges_are_earned_once", Harm.LOST) in found(verdict(world, 0.0))


def test_a_badge_that_was_awarded_and_not_earned(blueprint: Blueprint) -> None:
    def other(item: dict[str, Any]) -> dict[str, Any]:
        changed = {**item, "aggregate_id": {"S": item["aggregate_id"]["S"] + "-of-nobody"}}
        world.cloud.table("EventsTable").put((changed["aggregate_id"]["S"], 1), encode(changed))
        return item

    with world_at_rest(blueprint) as world:
        rewrite(world, "EventsTable", other, "badge#")
        assert ("badges_are_earned_once", Harm.WRONG) in found(verdict(world, 0.0))


def test_a_neighbour_of_no_poison_that_was_given_up(blueprint: Blueprint) -> None:
    with world_at_rest(blueprint) as world:
        world.given_up.append(GivenUp("BadgesFunction", "arn", "shard", "1", "1", (("player#innocent", 1),)))
        assert found(verdict(world, 0.0)) == {("parked_is_poisoned", Harm.WRONG)}


def test_a_batch_that_was_given_up_without_a_word(blueprint: Blueprint) -> None:
    """Parked means that somebody can see it: with the message on the queue gone, the event is lost."""
    with opened(Config.of(2, 300, 0.0, poisons=1), blueprint) as world:
        drained = world.run()
        world.cloud.queue("ParkedRecordsQueue").messages.clear()
        result = verdict(world, drained)

    assert Harm.LOST in {harm for _, harm in found(result)}


@pytest.mark.parametrize("queue", ["FailedBatchesQueue", "UnresolvedPointersQueue"])
def test_a_pointer_that_nobody_resolved(blueprint: Blueprint, queue: str) -> None:
    with world_at_rest(blueprint) as world:
        world.cloud.sqs.send_message(QueueUrl=world.cloud.queue(queue).url, MessageBody="{}")
        assert found(verdict(world, 0.0)) == {("pointers_are_resolved", Harm.WRONG)}


def test_a_row_that_goes_back(blueprint: Blueprint) -> None:
    with world_at_rest(blueprint) as world:
        row = next(item for item in world.cloud.items("ReadModelsTable") if "player" in item["applied"]["M"])
        older = {**row, "applied": {"M": {"player": {"N": "0"}}}}
        world.cloud.dynamodb.put_item(TableName="ReadModelsTable", Item=older)
        assert ("order_is_kept", Harm.ORDER) in found(verdict(world, 0.0))


def test_a_backlog_that_never_drains(blueprint: Blueprint) -> None:
    with opened(CONFIG, blueprint) as world:
        world.faults.break_service("kinesis", float("inf"))
        result = verdict(world, world.run())

    assert ("backlog_reaches_zero", Harm.WRONG) in found(result)


def test_a_fault_kind_that_was_never_injected_fails_the_set() -> None:
    verdict = run_set([Config.of(1, 20, 0.01)], jobs=1)

    assert not verdict.holds
    assert set(verdict.not_injected) < PROMISED
    assert "shard_split" in verdict.not_injected


def test_kinesis_records_are_read_as_they_were_written(blueprint: Blueprint) -> None:
    """The watch over order reads versions out of the records' text; it must not silently find none."""
    with world_at_rest(blueprint) as world:
        log = world.cloud.log("EventsStream")
        data = base64.b64decode(log.shards[0].records[0].body["kinesis"]["data"])

        assert b'"sequence":"00000000000000000001"' in data
        assert world.order.shown > 100


@pytest.mark.parametrize(
    ("change", "harm"),
    [
        (lambda history: history[:-1], Harm.LOST),
        (lambda history: [*history, history[-1]], Harm.DOUBLED),
        (lambda history: history[::-1], Harm.ORDER),
    ],
)
def test_a_history_that_is_not_the_actions(
    blueprint: Blueprint, change: Callable[[list[Any]], list[Any]], harm: Harm
) -> None:
    def alter(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "history": {"L": change(row["history"]["L"])}}

    with world_at_rest(blueprint) as world:
        rewrite(world, "TrackingTable", alter, "'Preparing'")
        assert ("histories_are_the_actions", harm) in found(verdict(world, 0.0))


def test_an_application_that_another_account_sees(blueprint: Blueprint) -> None:
    with world_at_rest(blueprint) as world:
        rewrite(world, "TrackingTable", lambda row: {**row, "account_id": {"S": "somebody"}}, "'Received'")
        assert found(verdict(world, 0.0)) == {("histories_are_the_actions", Harm.WRONG)}


def test_an_application_that_is_not_tracked(blueprint: Blueprint) -> None:
    with world_at_rest(blueprint) as world:
        rewrite(world, "TrackingTable", lambda _: None, "'Received'")
        assert found(verdict(world, 0.0)) == {("histories_are_the_actions", Harm.LOST)}


def test_an_application_that_nobody_made(blueprint: Blueprint) -> None:
    with world_at_rest(blueprint) as world:
        rewrite(world, "ApplicationsTable", lambda _: None, "#ACTION#")
        assert found(verdict(world, 0.0)) & {("histories_are_the_actions", Harm.WRONG)}


def test_an_action_that_cannot_be_told_and_waits_nowhere(blueprint: Blueprint) -> None:
    config = Config.of(1, 800, 0.0)
    with opened(config, blueprint) as world:
        world.run()
        assert world.applicants.untellable
        assert found(verdict(world, 0.0)) == set()
        world.cloud.queue("ParkedRecordsQueue").messages.clear()
        assert found(verdict(world, 0.0)) == {("what_cannot_be_told_is_parked", Harm.LOST)}


def test_an_action_that_was_parked_and_could_have_been_told(blueprint: Blueprint) -> None:
    with opened(Config.of(1, 800, 0.0), blueprint) as world:
        world.run()
        world.applicants.untellable.clear()
        assert ("what_cannot_be_told_is_parked", Harm.WRONG) in found(verdict(world, 0.0))


def test_an_action_that_is_not_archived(blueprint: Blueprint) -> None:
    with world_at_rest(blueprint) as world:
        objects = world.cloud.bucket("ArchiveBucket").objects
        for key in [key for key in objects if key.startswith("raw/source=applications/")]:
            del objects[key]
        assert found(verdict(world, 0.0)) == {("applications_are_archived", Harm.LOST)}
