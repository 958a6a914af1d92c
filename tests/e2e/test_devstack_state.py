"""A stack that goes on from where it stopped: nothing lost, nothing applied twice, and what is broken set aside."""

import io
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from arcade.app import APP
from devstack.demo import accounting
from devstack.demo.traffic import Api, Request
from devstack.errors import DevstackError
from devstack.stack import LocalStack
from operations.running import running_stack
from tests.integration.devstack.processes import PARAMETERS, copy_of_project, devstack, until_up

QUIET_SECONDS = 60
USERS, PLAYS = 3, 120


def put(stack: LocalStack, *names: str, kind: str = "plain") -> None:
    for name in names:
        item = {"id": {"S": name}, "kind": {"S": kind}}
        stack.client("dynamodb").put_item(TableName=stack.outputs["OrdersTableName"], Item=item)


def seen(function: str) -> list[str]:
    ids: list[str] = sys.modules["toy.journal"].seen(function)
    return list(ids)


def started(project: Path, state: Path, said: io.StringIO | None = None) -> LocalStack:
    return LocalStack(project, parameters=PARAMETERS, state=state, stream=said or io.StringIO())


def test_a_restart_in_mid_backlog_loses_nothing_and_applies_nothing_twice(folder: Path, tmp_path: Path) -> None:
    """FAULTS rows 6 and 40: on the whole template, stopped while every consumer is behind."""
    delivered: list[tuple[str, Any]] = []
    with LocalStack(folder, state=tmp_path, stream=io.StringIO()) as stack:
        api = Api(stack.url)
        users = [
            api.send(Request("POST", "/register", {"name": "A", "email": f"u{n}@example.org", "password": "p" * 20}))
            for n in range(USERS)
        ]
        for number in range(PLAYS):
            play = {"game": "chess", "score": number}
            api.send(Request("POST", "/users/{user_id}/plays", play), users[number % USERS]["user_id"])

    with LocalStack(
        folder,
        state=tmp_path,
        stream=io.StringIO(),
        on_success=lambda function, event: delivered.append((function, event)),
    ) as stack:
        assert stack.resumed is not None
        stack.wait_until_quiet(QUIET_SECONDS)

        outputs, dynamodb = stack.outputs, stack.client("dynamodb")
        stations = [
            accounting.appended(accounting.log_items(dynamodb, outputs["EventsTableName"])),
            accounting.archived(accounting.archive_lines(stack.client("s3"), outputs["ArchiveBucketName"])),
            accounting.on_kinesis(stack.client("kinesis"), outputs["EventsStreamName"]),
            *accounting.applied(dynamodb, outputs["ReadModelsTableName"], APP.projections.values()),
        ]
        profiles = [Api(stack.url).send(Request("GET", "/users/{user_id}"), user["user_id"]) for user in users]
    assert delivered, "the first run had left work, or this test proves nothing"
    assert stations[0].events["player"] == PLAYS
    assert accounting.differences(stations) == []
    assert [profile["plays"] for profile in profiles] == [PLAYS // USERS] * USERS


def test_what_was_settled_is_not_delivered_again_and_the_rest_is(tmp_path: Path) -> None:
    project = copy_of_project(tmp_path)
    with started(project, tmp_path / "state") as stack:
        put(stack, "one", "two")
        stack.wait_until_quiet(QUIET_SECONDS)
        put(stack, "three", "four")
        before = seen("count")
    with started(project, tmp_path / "state") as stack:
        put(stack, "five")
        stack.wait_until_quiet(QUIET_SECONDS)
        after = seen("count")
        assert stack.client("s3").head_bucket(Bucket=stack.outputs["FailedBatchesBucketName"])
    assert sorted(before[:2]) == ["one", "two"]
    assert {"one", "two"}.isdisjoint(after)
    assert {"three", "four", "five"} <= {*before, *after}


def test_a_corrupt_checkpoint_file_is_set_aside_and_mappings_start_over(tmp_path: Path) -> None:
    project, state, said = copy_of_project(tmp_path), tmp_path / "state", io.StringIO()
    with started(project, state) as stack:
        put(stack, "one", "two")
        stack.wait_until_quiet(QUIET_SECONDS)
    (state / "saved" / "checkpoints.json").write_text("{")
    with started(project, state, said) as stack:
        stack.wait_until_quiet(QUIET_SECONDS)
        assert seen("forward")[:2] == ["one", "two"], "TRIM_HORIZON"
    (line,) = [line for line in said.getvalue().splitlines() if "checkpoint" in line]
    assert line.endswith("it is now checkpoints.json.set-aside, mappings begin at StartingPosition")


def test_emulator_state_that_cannot_be_read_is_set_aside_and_the_stack_starts_empty(tmp_path: Path) -> None:
    project, state, said = copy_of_project(tmp_path), tmp_path / "state", io.StringIO()
    with started(project, state) as stack:
        put(stack, "one")
    (state / "saved" / "emulator" / "state" / "dynamodb.json").write_text("{")
    with started(project, state, said) as stack:
        assert stack.resumed is None
        assert stack.client("dynamodb").scan(TableName=stack.outputs["OrdersTableName"])["Items"] == []
    assert "it is now saved.set-aside, and this is new" in said.getvalue()
    assert (state / "saved.set-aside" / "emulator").exists()


def test_after_a_kill_the_state_of_the_last_graceful_stop_is_used(tmp_path: Path) -> None:
    """FAULTS row 40."""
    project, state = copy_of_project(tmp_path), tmp_path / "state"
    with started(project, state) as stack:
        put(stack, "kept")
        stack.wait_until_quiet(QUIET_SECONDS)
        table = stack.outputs["OrdersTableName"]
    process = devstack(project, "--state", str(state))
    until_up(process, project)
    found = running_stack(project)
    assert found is not None
    dynamodb = found.session().client("dynamodb", endpoint_url=found.endpoint_url)
    dynamodb.put_item(TableName=table, Item={"id": {"S": "lost"}, "kind": {"S": "plain"}})
    dynamodb.close()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    with started(project, state) as stack:
        items = stack.client("dynamodb").scan(TableName=table)["Items"]
        put(stack, "new")
        stack.wait_until_quiet(QUIET_SECONDS)
        assert seen("count") == ["new"]
    assert [item["id"]["S"] for item in items] == ["kept"]


def test_two_stacks_do_not_keep_their_state_in_one_folder(tmp_path: Path) -> None:
    project, state = copy_of_project(tmp_path), tmp_path / "state"
    process = devstack(project, "--state", str(state))
    until_up(process, project)
    try:
        with pytest.raises(DevstackError, match="another stack keeps its state in"):
            started(project, state).start()
    finally:
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=60)[0]
    assert "Traceback" not in output
    assert (state / "saved" / "checkpoints.json").exists()


def test_a_second_signal_does_not_keep_the_state_from_being_saved(tmp_path: Path) -> None:
    """FAULTS row 40: make hands its own SIGTERM on to a process that has had one already."""
    project, state = copy_of_project(tmp_path), tmp_path / "state"
    process = devstack(project, "--state", str(state))
    until_up(process, project)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert (state / "saved" / "state.json").exists()


def test_an_emulator_that_died_in_a_rehearsal_is_not_said_to_have_saved_it(tmp_path: Path) -> None:
    project, said = copy_of_project(tmp_path), io.StringIO()
    with started(project, tmp_path / "state", said) as stack:
        assert stack._rehearsals is not None
        stack._rehearsals.start("refuse-mail", None)
        os.kill(int((stack.run_folder / "emulator.pid").read_text()), signal.SIGKILL)
        with pytest.raises(DevstackError, match="the emulator ended by itself"):
            stack.wait()

    assert "did not stop in order" in said.getvalue()
    assert "a rehearsal is saved" not in said.getvalue()


def test_the_port_in_the_queues_urls_cannot_be_changed(tmp_path: Path) -> None:
    project, state = copy_of_project(tmp_path), tmp_path / "state"
    started(project, state).start().stop()
    with pytest.raises(DevstackError, match="leave --emulator-port away"):
        LocalStack(project, parameters=PARAMETERS, state=state, emulator_port=9).start()


def test_a_change_of_the_template_reaches_a_kept_stack(tmp_path: Path) -> None:
    project, state = copy_of_project(tmp_path), tmp_path / "state"
    with started(project, state) as stack:
        put(stack, "kept")
    template = project / "template.yaml"
    template.write_text(
        template.read_text().replace(
            "  FailedBatchesBucket:\n    Type: AWS::S3::Bucket\n",
            "  FailedBatchesBucket:\n    Type: AWS::S3::Bucket\n\n  AddedQueue:\n    Type: AWS::SQS::Queue\n",
        )
    )
    with started(project, state) as stack:
        assert stack.client("dynamodb").scan(TableName=stack.outputs["OrdersTableName"])["Count"] == 1
        resources = stack.client("cloudformation").describe_stack_resources(StackName="local")["StackResources"]
    assert "AddedQueue" in {resource["LogicalResourceId"] for resource in resources}


def test_a_split_shards_children_are_read_after_it(tmp_path: Path) -> None:
    """FAULTS row 6: a shard split while the mapping runs, and a restart after it."""
    project, state = copy_of_project(tmp_path), tmp_path / "state"
    with started(project, state) as stack:
        kinesis, arn = stack.client("kinesis"), _stream_of(stack)
        put(stack, *[f"before-{number}" for number in range(20)])
        stack.wait_until_quiet(QUIET_SECONDS)
        for shard in kinesis.list_shards(StreamARN=arn)["Shards"]:
            low, high = (int(shard["HashKeyRange"][name]) for name in ("StartingHashKey", "EndingHashKey"))
            kinesis.split_shard(StreamARN=arn, ShardToSplit=shard["ShardId"], NewStartingHashKey=str((low + high) // 2))
        put(stack, *[f"after-{number}" for number in range(20)])
        stack.wait_until_quiet(QUIET_SECONDS)
        counted = seen("count")
    with started(project, state) as stack:
        put(stack, "later")
        stack.wait_until_quiet(QUIET_SECONDS)
        assert seen("count") == ["later"]
    assert sorted(counted) == sorted(f"{when}-{number}" for when in ("before", "after") for number in range(20))


def _stream_of(stack: LocalStack) -> str:
    (mapping,) = [mapping for mapping in stack.hosted.mappings if mapping.kind == "kinesis"]
    return mapping.source_arn
