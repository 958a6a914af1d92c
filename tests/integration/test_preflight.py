"""What is known before a deployment is told before anything is made."""

import json
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from click.testing import CliRunner, Result

from devstack.__main__ import main
from devstack.errors import DevstackError
from devstack.preflight import Deployment, state_of, steps, stream_of, too_long
from tests.fakes.moto import mock_aws

PROJECT = Path(__file__).parents[2]
TEMPLATE = PROJECT / "template.yaml"
#: Stands for `sam deploy`: says that it ran.
SAM = [sys.executable, "-c", "import sys; print('deployed', sys.argv[1:], flush=True)"]


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """An account; the states of its stacks, by name."""
    found: dict[str, str] = {}
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setattr("devstack.preflight.state_of", lambda stack, client: found.get(stack))
    monkeypatch.setattr("devstack.preflight.stream_of", lambda stack, client: found.get(f"{stack} stream"))
    with mock_aws():
        yield found


def config(tmp_path: Path, stack: str = "headwater", *parameters: str) -> Path:
    path = tmp_path / "samconfig.toml"
    overrides = json.dumps(["SenderAddress=no-reply@example.com", *parameters])
    path.write_text(
        f'[default.global.parameters]\nstack_name = "{stack}"\n'
        f"[default.deploy.parameters]\nparameter_overrides = {overrides}\n",
        encoding="utf-8",
    )
    return path


def deployed(config: Path, environment: str = "default") -> Result:
    options = ["--checked-template", str(TEMPLATE), "--checked-config", str(config), "--checked-env", environment]
    return CliRunner().invoke(main, ["deploy-checked", *options, *SAM])


def test_a_stack_without_anything_against_it_is_deployed(
    states: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = deployed(config(tmp_path, "headwater", "DeletionProtection=false"))

    assert result.exit_code == 0, result.output
    assert capfd.readouterr().out.splitlines() == ["deployed []"]


def told(parameter: str) -> str:
    """What `SAM` says when it is given this parameter beside the sender's address."""
    given = ["--parameter-overrides", 'SenderAddress="no-reply@example.com"', '{}="{}"'.format(*parameter.split("="))]
    return f"deployed {given}"


def test_a_first_deployment_goes_without_protection_and_a_second_one_switches_it_on(
    states: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    found = iter([None, "CREATE_COMPLETE"])
    monkeypatch.setattr("devstack.preflight.state_of", lambda stack, client: next(found))

    result = deployed(config(tmp_path))

    assert result.exit_code == 0, result.output
    first, second = capfd.readouterr().out.splitlines()
    assert first == told("DeletionProtection=false")
    # What SAM CLI is not told, the stack keeps as the first step made it.
    assert second == told("DeletionProtection=true")


def test_a_first_deployment_that_its_person_declines_is_not_made_with_protection_instead(
    states: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """SAM CLI ends with 0 then, and leaves a change set."""
    result = deployed(config(tmp_path))

    assert (result.exit_code, "its change set was not executed" in result.output) == (1, True)
    assert capfd.readouterr().out.splitlines() == [told("DeletionProtection=false")]


def test_a_stack_that_is_there_is_deployed_once(
    states: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A second deployment without changes is SAM CLI's to tell: `fail_on_empty_changeset = false`."""
    states["headwater"] = "CREATE_COMPLETE"

    assert deployed(config(tmp_path)).exit_code == 0
    # One that was interrupted between its two steps is protected now.
    assert capfd.readouterr().out.splitlines() == [told("DeletionProtection=true")]
    assert deployed(config(tmp_path, "headwater", "DeletionProtection=true")).exit_code == 0
    assert capfd.readouterr().out.splitlines() == ["deployed []"]


def test_the_first_deployment_that_fails_ends_it(states: dict[str, str], tmp_path: Path) -> None:
    read = Deployment.read(TEMPLATE, config(tmp_path), "default")

    assert len(steps(read, ["sam"], first=True)) == 2
    options = ["--checked-template", str(TEMPLATE), "--checked-config", str(config(tmp_path))]
    result = CliRunner().invoke(main, ["deploy-checked", *options, sys.executable, "-c", "raise SystemExit(3)"])
    assert (result.exit_code, result.output.count("Step")) == (3, 1)


@pytest.mark.parametrize(("length", "fits"), [(34, True), (35, False)])
def test_a_stack_name_from_which_a_role_would_be_called_too_long(tmp_path: Path, length: int, fits: bool) -> None:
    read = Deployment.read(TEMPLATE, config(tmp_path, "h" * length), "default")

    told = list(too_long(read, "eu-west-1"))

    assert (told == []) is fits
    assert fits or "choose a stack name of at most 34 characters" in told[0]


def test_thirty_characters_are_right_in_each_region(tmp_path: Path) -> None:
    """The limit that the other stack's SenderStackName states."""
    longest = max(boto3.session.Session().get_available_regions("sqs"), key=len)

    assert list(too_long(Deployment.read(TEMPLATE, config(tmp_path, "h" * 30), "default"), longest)) == []
    assert "^[A-Za-z][A-Za-z0-9-]{0,29}$" in (PROJECT / "receiver.yaml").read_text(encoding="utf-8")


def test_a_second_stack_with_the_same_database_is_told(states: dict[str, str], tmp_path: Path) -> None:
    boto3.client("glue").create_database(DatabaseInput={"Name": "headwater"})

    refused = deployed(config(tmp_path, "headwater-two"))
    own = deployed(config(tmp_path, "headwater-two", "AnalyticsDatabaseName=headwater_two", "DeletionProtection=false"))

    assert refused.exit_code == 1
    assert "the Glue database headwater is another stack's" in refused.output
    assert own.exit_code == 0


def test_a_stack_whose_first_deployment_failed_is_to_be_deleted(states: dict[str, str], tmp_path: Path) -> None:
    states["headwater"] = "ROLLBACK_COMPLETE"

    result = deployed(config(tmp_path))

    assert result.exit_code == 1
    assert "headwater is ROLLBACK_COMPLETE" in result.output
    assert "headwater --stack headwater" in result.output


def test_a_stack_is_there_if_cloudformation_knows_it() -> None:
    client = boto3.client("cloudformation", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(client) as stub:
        stack = {"StackName": "headwater", "StackStatus": "UPDATE_COMPLETE", "CreationTime": datetime(2026, 3, 1)}  # noqa: DTZ001
        stub.add_response("describe_stacks", {"Stacks": [stack]})
        stub.add_response("describe_stacks", {"Stacks": [{**stack, "StackStatus": "REVIEW_IN_PROGRESS"}]})
        stub.add_client_error("describe_stacks", "ValidationError", "Stack with id headwater does not exist")
        stub.add_client_error("describe_stacks", "AccessDenied")

        assert state_of("headwater", client) == "UPDATE_COMPLETE"
        assert state_of("headwater", client) is None
        assert state_of("headwater", client) is None
        with pytest.raises(ClientError, match="AccessDenied"):
            state_of("headwater", client)


def test_a_stack_of_an_older_version_may_have_no_stream() -> None:
    client = boto3.client("cloudformation", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    name = {"StackName": "headwater", "LogicalResourceId": "EventsStream"}
    there = {
        "PhysicalResourceId": "events",
        "ResourceType": "AWS::Kinesis::Stream",
        "ResourceStatus": "CREATE_COMPLETE",
    }
    detail = {**there, "LogicalResourceId": "EventsStream", "LastUpdatedTimestamp": datetime(2026, 3, 1)}  # noqa: DTZ001
    with Stubber(client) as stub:
        stub.add_response("describe_stack_resource", {"StackResourceDetail": detail}, name)
        stub.add_client_error("describe_stack_resource", "ValidationError", expected_params=name)
        stub.add_client_error("describe_stack_resource", "AccessDenied", expected_params=name)

        assert stream_of("headwater", client) == "events"
        assert stream_of("headwater", client) is None
        with pytest.raises(ClientError):
            stream_of("headwater", client)


GLOBAL = '[default.global.parameters]\nstack_name = "headwater"\n[default.deploy.parameters]\n'


@pytest.mark.parametrize(
    "stated", ['"LogLevel=DEBUG SenderAddress=a@b.cd"', '["LogLevel=DEBUG", "SenderAddress=\'a@b.cd\'"]']
)
def test_parameters_are_read_as_sam_reads_them(tmp_path: Path, stated: str) -> None:
    path = tmp_path / "samconfig.toml"
    path.write_text(f"{GLOBAL}parameter_overrides = {stated}\n", encoding="utf-8")

    assert Deployment.read(TEMPLATE, path, "default").parameters == {"LogLevel": "DEBUG", "SenderAddress": "a@b.cd"}


def test_it_asks_where_sam_will_deploy(states: dict[str, str], tmp_path: Path) -> None:
    """In another Region the database would be free, and the stack's first deployment due."""
    path = config(tmp_path)
    path.write_text(path.read_text(encoding="utf-8") + 'region = "eu-north-1"\n', encoding="utf-8")
    boto3.client("glue", region_name="eu-north-1").create_database(DatabaseInput={"Name": "headwater"})

    assert "the Glue database headwater is another stack's" in deployed(path).output


def test_a_profile_that_the_machine_lacks_is_told(states: dict[str, str], tmp_path: Path) -> None:
    path = config(tmp_path)
    path.write_text(path.read_text(encoding="utf-8") + 'profile = "nobody"\n', encoding="utf-8")

    assert "The config profile (nobody) could not be found" in deployed(path).output


def test_a_configuration_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "samconfig.toml"
    path.write_bytes(b"\xff\xfe")

    with pytest.raises(DevstackError, match="is not TOML"):
        Deployment.read(TEMPLATE, path, "default")


@pytest.mark.parametrize(
    ("text", "environment", "told"),
    [
        ("[default", "default", "is not TOML"),
        ("", "prod", "lacks 'prod' for the environment 'prod'"),
        ("[default.global.parameters]\n", "default", "lacks 'stack_name'"),
        ('default = "headwater"', "default", "cannot be understood"),
        (GLOBAL + "parameter_overrides = {A = 1}", "default", "is a text or a list of texts"),
        (GLOBAL + "parameter_overrides = [1]", "default", "cannot be understood"),
        (GLOBAL + 'parameter_overrides = ["LogLevel"]', "default", "takes NAME=VALUE, not LogLevel"),
        (GLOBAL + 'parameter_overrides = "A=\'b"', "default", "No closing quotation"),
    ],
)
def test_a_configuration_that_says_nothing_is_named(tmp_path: Path, text: str, environment: str, told: str) -> None:
    path = tmp_path / "samconfig.toml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(DevstackError, match=re.escape(told)):
        Deployment.read(TEMPLATE, path, environment)


def with_stream(states: dict[str, str], shards: int) -> None:
    """The stack is there, with a stream of so many shards."""
    states |= {"headwater": "UPDATE_COMPLETE", "headwater stream": "events"}
    boto3.client("kinesis").create_stream(StreamName="events", ShardCount=shards)


@pytest.mark.parametrize(("shards", "wanted"), [(4, 1), (4, 9), (2, 5)])
def test_shards_that_kinesis_does_not_take_away_or_add_at_once(
    states: dict[str, str], tmp_path: Path, shards: int, wanted: int
) -> None:
    with_stream(states, shards)

    result = deployed(config(tmp_path, "headwater", f"EventsStreamShards={wanted}"))

    assert result.exit_code != 0
    step = shards // 2 if wanted < shards else shards * 2
    assert f"EventsStream has {shards} shards (PROVISIONED)" in " ".join(result.output.split())
    assert f"deploy with EventsStreamShards={step} first" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("shards", "parameters"),
    [(1, ()), (2, ()), (2, ("EventsStreamShards=4",)), (4, ("EventsStreamMode=ON_DEMAND",))],
)
def test_shards_that_kinesis_gives_in_one_step(
    states: dict[str, str], tmp_path: Path, shards: int, parameters: tuple[str, ...]
) -> None:
    with_stream(states, shards)

    assert deployed(config(tmp_path, "headwater", *parameters)).exit_code == 0


def test_a_region_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3.session.Session, "region_name", property(lambda self: None))

    result = deployed(config(tmp_path))

    assert (result.exit_code, "export AWS_DEFAULT_REGION" in result.output) == (1, True)
