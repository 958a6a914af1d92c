"""Rules that the deployed template must hold, each of which somebody once broke somewhere."""

import importlib.util
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest

from arcade.app import APP
from devstack.console import Console
from devstack.functions import FunctionHost
from headwater.application import function_of, logical_id
from headwater.applications.enrichment import Enrichment
from headwater.applications.target import Target
from headwater.archive import bi_export, curated
from headwater.archive.compaction import CLAIMED_FOR, FUNCTION_RUNS
from headwater.archive.lookup import PUBLISHING_TAKES, STREAM_REMEMBERS
from headwater.change_stream.filters import FilterCriteria
from headwater.dead_letters.pointers import consumer_of
from headwater.dead_letters.resolver import FILTERS
from headwater.dead_letters.set_aside import PAUSES
from headwater.effects.consumer import OUTAGE_PAUSES
from headwater.effects.effect import Effect
from headwater.functions.api.application_routes import ApplicationRoutes
from headwater.functions.pipe import target_handler
from headwater.limits import DynamoDbLimits
from headwater.notifications.mailer import QUOTA_RETRY_AFTER
from headwater.projections.dynamodb import RANKINGS_INDEX
from headwater.settings import Settings
from operations.dead_letters.inventory import dead_letter_queues, pending_queues
from operations.target import SETTINGS
from tests.fakes.applications import InMemoryApplications, InMemoryInbox, InMemoryParking, action, application, record
from tests.fakes.odd_objects import FOREIGN
from tests.fakes.patience import patience
from tests.infrastructure.alarms import Alarm
from tests.infrastructure.expansion import PROJECT, TEMPLATE, Node
from tests.infrastructure.iam import Call, allows

#: The backbone's consumers, and the application's.
CONSUMERS: Final = ("archiver", "fan_out", "bi_export", "dead_letters", "redrive", *APP.projections, *APP.effects)
#: Each function with its handler.
FUNCTIONS: Final = {
    **{function_of(name): f"headwater.functions.consumers.{name}" for name in CONSUMERS},
    "CompactionFunction": "headwater.functions.compaction.handler",
    "ApplicationEnrichmentFunction": "headwater.functions.application_enrichment.handler",
    "ApplicationTargetFunction": "headwater.functions.application_target.handler",
    "HttpApiFunction": "headwater.functions.http_api.handler",
}
STREAM_MAPPINGS: Final = {
    "ArchiverFunctionEventsTableStream",
    "ArchiverFunctionApplicationsTableStream",
    "FanOutFunctionEventsTableStream",
    "BiExportFunctionEventsStream",
    *(f"{function_of(name)}EventsStream" for name in APP.projections),
}
#: Where the functions emit their metrics, of each stack its own.
NAMESPACE: Final = {"Fn::Sub": "Headwater/${AWS::StackName}"}
#: Of a pipe and of a state machine.
UNTRACED_ROLES: Final = {"ApplicationStatusPipeRole", "ApplicationProcessRole", "CompactionScheduleRole"}
FOURTEEN_DAYS: Final = 14 * 24 * 3600  # the longest that SQS keeps a message

# Kinesis Data Streams, quotas: five reads a second and 2 MB/s a shard, shared by all standard consumers.
MOST_STANDARD_MAPPINGS: Final = 5
#: What EventBridge Scheduler could not start: the next night takes its days too.
NOT_REDRIVEN: Final = {"UnstartedCompactionsQueue"}


def of_type(template: Node, kind: str) -> dict[str, Node]:
    """Properties of each resource of a type, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def text(value: Any) -> str:
    """A policy's resource as text, with what CloudFormation fills in left as it is written."""
    match value:
        case {"Fn::Sub": str(pattern)}:
            return pattern
        case {"Fn::Sub": [str(pattern), _]}:
            return pattern
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case str():
            return value
    raise AssertionError(f"a policy names a resource in a form that this test does not read: {value}")


def statements(template: Node) -> Iterator[tuple[str, Node]]:
    """Every policy statement of the template, with its resource's logical id."""
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        documents += [properties["PolicyDocument"]] if "PolicyDocument" in properties else []
        for document in documents:
            for statement in as_list(document["Statement"]):
                yield name, statement


def mappings_of(expanded: Node, source: Any) -> dict[str, Node]:
    mappings = of_type(expanded, "AWS::Lambda::EventSourceMapping")
    return {name: mapping for name, mapping in mappings.items() if mapping["EventSourceArn"] == source}


def alarms_on(expanded: Node, metric: str) -> list[Node]:
    return [
        alarm for alarm in of_type(expanded, "AWS::CloudWatch::Alarm").values() if alarm.get("MetricName") == metric
    ]


def dimension(alarm: Node, name: str) -> Any:
    return next((entry["Value"] for entry in alarm["Dimensions"] if entry["Name"] == name), None)


def queue_of(effect: Effect) -> str:
    return f"{logical_id(effect.name)}Queue"


# Functions


def test_the_functions_are_those_that_this_suite_knows(template: Node) -> None:
    assert set(of_type(template, "AWS::Serverless::Function")) == set(FUNCTIONS)


@pytest.mark.parametrize(("function", "handler"), FUNCTIONS.items())
def test_each_function_has_its_module_and_its_fixture(template: Node, function: str, handler: str) -> None:
    assert template["Resources"][function]["Properties"]["Handler"] == handler
    assert importlib.util.find_spec(handler.rpartition(".")[0]) is not None
    assert (PROJECT / "events" / f"{function}.json").is_file(), "for sam local invoke"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_function_logs_to_a_group_that_forgets(expanded: Node, function: str) -> None:
    group = expanded["Resources"][function]["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]

    assert expanded["Resources"][group]["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_no_log_group_keeps_everything(expanded: Node) -> None:
    groups = of_type(expanded, "AWS::Logs::LogGroup")

    assert [name for name, group in groups.items() if "RetentionInDays" not in group] == []


def test_no_two_functions_share_a_role_or_a_log_group(expanded: Node) -> None:
    functions = of_type(expanded, "AWS::Lambda::Function").values()

    assert set(Counter(str(function["Role"]) for function in functions).values()) == {1}
    assert set(Counter(str(function["LoggingConfig"]) for function in functions).values()) == {1}


def test_each_function_is_traced_and_runs_python_3_13(expanded: Node) -> None:
    for name, function in of_type(expanded, "AWS::Lambda::Function").items():
        assert function["TracingConfig"] == {"Mode": {"Ref": "Tracing"}}, name
        assert function["Runtime"] == "python3.13", name
        assert function["Architectures"] == [{"Ref": "Architecture"}], name


def test_the_environment_is_the_same_for_all_and_names_data_only(template: Node) -> None:
    shared = template["Globals"]["Function"]["Environment"]["Variables"]
    own = {
        name: props for name, props in of_type(template, "AWS::Serverless::Function").items() if "Environment" in props
    }
    compute = {"AWS::Serverless::Function", "AWS::Serverless::HttpApi", "AWS::Serverless::StateMachine"}
    # The inbox of the account domain is another stack's: its address is put together, and refers to no resource.
    named = [value["Ref"] for value in shared.values() if isinstance(value, dict) and "Ref" in value]

    assert own == {}
    assert [name for name in named if template["Resources"].get(name, {}).get("Type") in compute] == []


def test_the_functions_emit_their_metrics_where_the_alarms_look(template: Node) -> None:
    variables = template["Globals"]["Function"]["Environment"]["Variables"]

    assert variables["POWERTOOLS_METRICS_NAMESPACE"] == NAMESPACE


def test_the_environment_holds_every_setting(template: Node) -> None:
    declared = template["Globals"]["Function"]["Environment"]["Variables"]

    assert {field.name.upper() for field in fields(Settings)} <= set(declared)


def test_each_setting_is_an_output_too_so_that_an_operator_can_run_the_functions_code(template: Node) -> None:
    variables = template["Globals"]["Function"]["Environment"]["Variables"]

    assert set(SETTINGS) == {field.name for field in fields(Settings)}
    for setting, output in SETTINGS.items():
        assert template["Outputs"][output]["Value"] == variables[setting.upper()], setting


def test_a_function_that_is_called_by_its_name_has_it_here_and_on_the_local_stack(template: Node) -> None:
    name = template["Globals"]["Function"]["Environment"]["Variables"]["APPLICATION_TARGET_FUNCTION"]
    host = FunctionHost([], Path(), Console(), "${AWS::StackName}")

    assert template["Resources"]["ApplicationTargetFunction"]["Properties"]["FunctionName"] == name
    assert name == {"Fn::Sub": host.function_name("ApplicationTargetFunction")}


def test_each_queue_of_dead_letters_is_an_output_and_the_queue_to_send_it_back_to_as_well(template: Node) -> None:
    queues = {name for name in of_type(template, "AWS::SQS::Queue") if name.endswith("DeadLetterQueue")}
    outputs = {name: f"https://sqs/{name.removesuffix('Url')}" for name in template["Outputs"] if name.endswith("Url")}

    found = dead_letter_queues(outputs)

    assert {name.rpartition("/")[2] for name, _ in found.values()} == queues
    assert {target.rpartition("/")[2] for _, target in found.values()} <= set(of_type(template, "AWS::SQS::Queue"))


# Permissions


def test_nobody_but_the_target_may_send_to_the_account_domain_since_nobody_else_is_let_in(expanded: Node) -> None:
    """FAULTS row 36: with two accounts, a right on this side alone opens nothing; a redrive invokes the target."""
    senders = {
        owner
        for owner, statement in statements(expanded)
        for resource in as_list(statement.get("Resource", []))
        if text(resource).endswith("-application-inbox")
    }
    invokers = {
        owner
        for owner, statement in statements(expanded)
        if "lambda:InvokeFunction" in as_list(statement["Action"])
        # By its name or by its reference.
        and "ApplicationTargetFunction" in json.dumps(statement["Resource"])
    }

    assert senders == {"ApplicationTargetRole"}
    assert invokers == {"ApplicationStatusPipeRole", "DeadLettersRedrivePolicy", "RedriveRole"}


def test_no_function_gets_a_managed_policy_of_aws(expanded: Node) -> None:
    for name, role in of_type(expanded, "AWS::IAM::Role").items():
        # Traces are a function's.
        own = [] if name in UNTRACED_ROLES else [{"Ref": "TracingPolicy"}]
        assert role.get("ManagedPolicyArns", []) == own, name


def test_every_role_is_written_out(template: Node, expanded: Node) -> None:
    assert set(of_type(expanded, "AWS::IAM::Role")) == set(of_type(template, "AWS::IAM::Role"))


def test_nothing_is_allowed_by_wildcard(expanded: Node) -> None:
    """Those listed are reasoned in the template; a prefix within one named resource is no wildcard."""
    mailing = {f"{logical_id(each.name)}Role" for each in APP.effects.values() if each.mails}
    reasoned = {("TracingPolicy", "*"), *((role, "identity/*") for role in mailing)}
    found = set()
    for name, statement in statements(expanded):
        if statement["Effect"] != "Allow":
            continue
        assert "NotAction" not in statement, name
        assert "NotResource" not in statement, name
        assert [action for action in as_list(statement["Action"]) if "*" in action] == [], name
        for resource in map(text, as_list(statement["Resource"])):
            if "*" in resource and not re.match(r"\$\{\w+\.Arn\}/.", resource):
                found.add((name, resource.rsplit(":", 1)[-1]))

    assert found == reasoned


def test_each_wildcard_has_a_comment_beside_it() -> None:
    lines = TEMPLATE.read_text(encoding="utf-8").splitlines()
    bare = []
    for number, line in enumerate(lines):
        code = line.split(" #")[0]
        wildcard = re.search(r"""(Action|Resource|Principal): .*(["':]\*|:\*)|^\s*- .*identity/\*""", code)
        if not wildcard or line.lstrip().startswith("#"):
            continue
        start = next(at for at in range(number, 0, -1) if lines[at].lstrip().startswith("- Sid:"))
        if not any("#" in candidate for candidate in lines[start - 1 : number + 1]):
            bare.append(f"{number + 1}: {line.strip()}")

    assert bare == []


def test_only_refusals_are_for_everybody(expanded: Node) -> None:
    everybody = [
        (name, statement["Effect"]) for name, statement in statements(expanded) if statement.get("Principal") == "*"
    ]

    assert {effect for _, effect in everybody} == {"Deny"}


@pytest.mark.parametrize("kind", ["S3::Bucket", "SQS::Queue", "SNS::Topic"])
def test_each_bucket_queue_and_topic_refuses_plain_text(expanded: Node, kind: str) -> None:
    protected = set()
    for policy in of_type(expanded, f"AWS::{kind}Policy").values():
        denials = [entry for entry in policy["PolicyDocument"]["Statement"] if entry["Effect"] == "Deny"]
        of_plain_text = [entry["Condition"] for entry in denials if entry["Sid"] == "TlsOnly"]
        assert of_plain_text == [{"Bool": {"aws:SecureTransport": "false"}}]
        targets = policy.get("Queues") or policy.get("Topics") or [policy["Bucket"]]
        protected |= {target["Ref"] for target in targets}

    assert protected == set(of_type(expanded, f"AWS::{kind}"))


def test_each_route_needs_a_signed_request(expanded: Node) -> None:
    for path, methods in expanded["Resources"]["HttpApi"]["Properties"]["Body"]["paths"].items():
        for method, route in methods.items():
            assert route["security"] == [{"AWS_IAM": []}], f"{method} {path}"


def test_what_only_some_may_call_has_a_route_of_its_own(expanded: Node) -> None:
    """As IAM tells routes apart, and behind the default route there is one."""
    paths = expanded["Resources"]["HttpApi"]["Properties"]["Body"]["paths"]
    ours = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    places = (cast(Any, None),) * 5

    gated = {route.name for route in ApplicationRoutes(*places).routes() if route.gated}

    assert gated == {"POST /applications/{id}/decision"}
    assert gated <= ours


# Streams


def test_the_table_stream_has_two_readers_only(expanded: Node) -> None:
    readers = mappings_of(expanded, {"Fn::GetAtt": ["EventsTable", "StreamArn"]})

    assert set(readers) == {"ArchiverFunctionEventsTableStream", "FanOutFunctionEventsTableStream"}


def test_the_events_stream_is_not_read_by_more_than_a_shard_can_serve(expanded: Node) -> None:
    readers = mappings_of(expanded, {"Fn::GetAtt": ["EventsStream", "Arn"]})

    assert 0 < len(readers) <= MOST_STANDARD_MAPPINGS, "let further consumers use enhanced fan-out"


def stream_mappings(expanded: Node) -> dict[str, Node]:
    mappings = of_type(expanded, "AWS::Lambda::EventSourceMapping")
    return {name: mapping for name, mapping in mappings.items() if "StartingPosition" in mapping}


def stream_of(expanded: Node, mapping: Node) -> str:
    """What a mapping reads, itself or through an enhanced fan-out consumer."""
    source: str = mapping["EventSourceArn"]["Fn::GetAtt"][0]
    consumer = of_type(expanded, "AWS::Kinesis::StreamConsumer").get(source)
    return source if consumer is None else str(consumer["StreamARN"]["Fn::GetAtt"][0])


def test_this_suite_knows_every_stream_mapping(expanded: Node) -> None:
    assert set(stream_mappings(expanded)) == STREAM_MAPPINGS


@pytest.mark.parametrize("name", sorted(STREAM_MAPPINGS))
def test_each_stream_mapping_starts_at_the_oldest_and_answers_per_record(expanded: Node, name: str) -> None:
    mapping = stream_mappings(expanded)[name]

    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def retention_of(expanded: Node, stream: str) -> int:
    """Seconds; DynamoDB's is the same for every table ("Change data capture for DynamoDB Streams")."""
    resource = expanded["Resources"][stream]
    if resource["Type"] == "AWS::DynamoDB::Table":
        return 24 * 3600
    parameter = expanded["Parameters"][resource["Properties"]["RetentionPeriodHours"]["Ref"]]
    return int(parameter["Default"]) * 3600


def resolving_takes(expanded: Node) -> int:
    """Seconds until DeadLettersFunction has made its last try to read a failed batch's records from their stream."""
    queue = expanded["Resources"]["FailedBatchesQueue"]["Properties"]
    tries: int = queue["VisibilityTimeout"] * queue["RedrivePolicy"]["maxReceiveCount"]
    return tries


def readers(expanded: Node) -> dict[str, tuple[str, Node]]:
    """The stream and the settings of each mapping of a stream, and of each pipe."""
    found = {name: (stream_of(expanded, mapping), mapping) for name, mapping in stream_mappings(expanded).items()}
    for name, pipe in of_type(expanded, "AWS::Pipes::Pipe").items():
        found[name] = (pipe["Source"]["Fn::GetAtt"][0], pipe["SourceParameters"]["DynamoDBStreamParameters"])
    return found


@pytest.mark.parametrize("name", sorted({*STREAM_MAPPINGS, "ApplicationStatusPipe"}))
def test_each_reader_of_a_stream_tries_as_long_as_what_it_gives_up_can_still_be_read(expanded: Node, name: str) -> None:
    """A holiday is survivable: what another moment can mend is tried until the stream is about to forget it."""
    stream, settings = readers(expanded)[name]

    assert settings["MaximumRetryAttempts"] == -1, "an outage uses attempts up within minutes"
    assert settings["MaximumRecordAgeInSeconds"] == retention_of(expanded, stream) - resolving_takes(expanded)


def test_readers_try_for_two_hours_less_than_the_stream_remembers_whatever_it_is_set_to(expanded: Node) -> None:
    tries = {hours: entry["TriesSeconds"] for hours, entry in expanded["Mappings"]["Retention"].items()}
    expected = {hours: int(hours) * 3600 - resolving_takes(expanded) for hours in tries}

    assert tries == expected
    assert set(tries) == set(expanded["Parameters"]["EventsStreamRetentionHours"]["AllowedValues"])


def test_the_export_reads_on_a_connection_of_its_own_if_that_is_wanted(template: Node) -> None:
    stream = template["Resources"]["BiExportFunction"]["Properties"]["Events"]["EventsStream"]["Properties"]["Stream"]

    assert stream["Fn::If"][:2] == ["HasEnhancedFanOut", {"Fn::GetAtt": ["BiExportConsumer", "ConsumerARN"]}]
    assert template["Resources"]["BiExportConsumer"]["Condition"] == "HasEnhancedFanOut"


def test_this_suite_knows_every_reader_of_a_stream(expanded: Node) -> None:
    assert set(readers(expanded)) == {*STREAM_MAPPINGS, "ApplicationStatusPipe"}


@pytest.mark.parametrize("name", sorted(STREAM_MAPPINGS))
def test_each_stream_mapping_reports_what_it_gives_up(expanded: Node, name: str) -> None:
    mapping = stream_mappings(expanded)[name]
    destination = "FailedBatchesBucket" if name.startswith("Archiver") else "FailedBatchesQueue"

    assert mapping["DestinationConfig"] == {"OnFailure": {"Destination": {"Fn::GetAtt": [destination, "Arn"]}}}


def test_dead_letters_know_each_mapping_and_what_it_filters(template: Node, expanded: Node) -> None:
    """FAULTS row 24: what a mapping's filter dropped is in the range that a pointer names, to be dropped again."""
    filtered = {}
    for name, mapping in stream_mappings(expanded).items():
        function = mapping["FunctionName"]["Ref"]
        handler = template["Resources"][function]["Properties"]["Handler"]
        # The consumer's name is taken from the function's ARN, which CloudFormation makes of 24 characters of this.
        consumer = handler.rpartition(".")[2]
        assert consumer_of(f"arn:aws:lambda:eu-west-1:1:function:stack-{function[:24]}-1A2B") == consumer
        if "FilterCriteria" in mapping:
            criteria = FilterCriteria.parse(mapping["FilterCriteria"], "dynamodb" if "Table" in name else "kinesis")
            filtered[consumer] = criteria.patterns if criteria else ()
    for name, pipe in template["Resources"].items():
        if pipe["Type"] == "AWS::Pipes::Pipe":
            criteria = FilterCriteria.parse(
                pipe["Properties"]["SourceParameters"]["FilterCriteria"], "dynamodb", "pipes"
            )
            consumer = consumer_of(f"arn:aws:pipes:eu-west-1:1:pipe/{name}-1A2B")
            filtered[consumer] = criteria.patterns if criteria else ()

    assert {name: criteria.patterns for name, criteria in FILTERS.items() if criteria} == filtered


def test_the_archive_is_searched_as_far_back_as_the_fan_out_may_try(expanded: Node) -> None:
    mapping = stream_mappings(expanded)["FanOutFunctionEventsTableStream"]

    assert timedelta(seconds=mapping["MaximumRecordAgeInSeconds"]) == PUBLISHING_TAKES


def test_the_archiver_is_done_with_a_change_before_its_stream_forgets_it(expanded: Node) -> None:
    """FAULTS row 22: from then on the archive lacks what FailedBatchesBucket holds, and nothing else."""
    mappings = stream_mappings(expanded)
    for name in ("ArchiverFunctionEventsTableStream", "ArchiverFunctionApplicationsTableStream"):
        assert timedelta(seconds=mappings[name]["MaximumRecordAgeInSeconds"]) < STREAM_REMEMBERS


def test_the_archiver_keeps_a_batch_together(expanded: Node) -> None:
    """An object is named by its batch's first record: other bounds would write records twice."""
    mapping = stream_mappings(expanded)["ArchiverFunctionEventsTableStream"]

    assert mapping["BatchSize"] == 10_000
    assert mapping["BisectBatchOnFunctionError"] is False
    assert mapping["MaximumBatchingWindowInSeconds"] == {"Ref": "ArchiverBatchingWindow"}


def test_a_function_may_write_to_where_its_mapping_reports(expanded: Node) -> None:
    for name, mapping in stream_mappings(expanded).items():
        function = mapping["FunctionName"]["Ref"]
        role = expanded["Resources"][function]["Properties"]["Role"]["Fn::GetAtt"][0]
        destination = mapping["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0]
        allowed = {
            action
            for owner, statement in statements(expanded)
            if owner == role and any(f"${{{destination}.Arn}}" in text(each) for each in as_list(statement["Resource"]))
            for action in as_list(statement["Action"])
        }
        needed = {"s3:PutObject", "s3:ListBucket"} if destination.endswith("Bucket") else {"sqs:SendMessage"}
        assert needed <= allowed, name


# The Pipe


def test_the_pipe_reports_what_it_gives_up_and_takes_no_more_than_one_read_serves(expanded: Node) -> None:
    pipe = of_type(expanded, "AWS::Pipes::Pipe")["ApplicationStatusPipe"]
    source = pipe["SourceParameters"]["DynamoDBStreamParameters"]

    assert source["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["FailedBatchesQueue", "Arn"]}}
    assert source["OnPartialBatchItemFailure"] == "AUTOMATIC_BISECT"
    assert source["StartingPosition"] == "TRIM_HORIZON"
    assert source["BatchSize"] <= DynamoDbLimits().batch_get_keys


def test_the_pipe_logs_failures_and_no_data(expanded: Node) -> None:
    log = of_type(expanded, "AWS::Pipes::Pipe")["ApplicationStatusPipe"]["LogConfiguration"]

    assert log["Level"] == "ERROR"
    assert "IncludeExecutionData" not in log, "records hold what people wrote"


def test_the_pipe_may_do_what_it_is_made_of_and_nothing_else(expanded: Node) -> None:
    allowed = {
        (action, text(resource))
        for owner, statement in statements(expanded)
        if owner == "ApplicationStatusPipeRole"
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }

    assert allowed == {
        ("dynamodb:DescribeStream", "${ApplicationsTable.StreamArn}"),
        ("dynamodb:GetRecords", "${ApplicationsTable.StreamArn}"),
        ("dynamodb:GetShardIterator", "${ApplicationsTable.StreamArn}"),
        ("dynamodb:ListStreams", "${ApplicationsTable.Arn}/stream/*"),
        *(
            (
                "lambda:InvokeFunction",
                "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${AWS::StackName}-" + name,
            )
            for name in ("ApplicationEnrichmentFunction", "ApplicationTargetFunction")
        ),
        ("sqs:SendMessage", "${FailedBatchesQueue.Arn}"),
    }


@pytest.mark.parametrize("metric", ["ExecutionFailed", "TargetStageSkipped"])
def test_the_pipe_has_alarms(expanded: Node, metric: str) -> None:
    """FAULTS rows 35 and 36: an operator hears of a Pipe that fails, and of one that drops what it was given."""
    (alarm,) = alarms_on(expanded, metric)

    assert (alarm["Namespace"], dimension(alarm, "PipeName")) == (
        "AWS/EventBridge/Pipes",
        {"Ref": "ApplicationStatusPipe"},
    )


def test_row_36_an_operator_hears_at_once_of_what_the_account_domains_queue_refuses(
    expanded: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    """FAULTS row 36: the target answers for it as it should, so that neither Lambda nor the Pipe counts a failure."""
    # Given a batch of which the queue refuses a message
    inbox = InMemoryInbox()
    inbox.refuses = {"x1"}
    elements = Enrichment(InMemoryApplications(application())).enrich([record(action()), record(action("x2"))])
    handler = target_handler("application_target", Target(inbox, InMemoryParking(), patience()).deliver)
    answer = handler([element.to_json() for element in elements], SimpleNamespace(aws_request_id="request-1"))
    assert len(answer["batchItemFailures"]) == 1
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"RecordsFailed"' in line]

    # Then an alarm watches the figure that the function wrote, and a single record is enough
    alarm = expanded["Resources"]["ApplicationTargetRefusalsAlarm"]["Properties"]
    (dimensions,) = line["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
    assert line[alarm["MetricName"]] == [1.0]
    assert alarm["Namespace"] == NAMESPACE
    assert {each["Name"]: each["Value"] for each in alarm["Dimensions"]} == {name: line[name] for name in dimensions}
    assert (alarm["Statistic"], alarm["Threshold"]) == ("Sum", 0)
    # The Pipe tries less and less often: a period without a try must not put it off.
    assert alarm["DatapointsToAlarm"] < alarm["EvaluationPeriods"]
    assert alarm["Period"] * alarm["EvaluationPeriods"] <= 15 * 60


# State machines


@pytest.mark.parametrize("metric", ["ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"])
def test_a_process_that_ends_without_an_ending_rings(expanded: Node, metric: str) -> None:
    assert "ApplicationProcess" in watched(expanded, metric, "StateMachineArn")


def test_all_waits_of_the_process_and_its_retries_fit_into_the_year_that_an_execution_has(template: Node) -> None:
    """Or it would end as timed out, without any of its endings."""
    longest = sum(template["Parameters"][name]["MaxValue"] for name in ("ReceivedSeconds", "DecisionSeconds"))
    states = json.loads((PROJECT / "statemachines" / "application_process.asl.json").read_text())["States"]
    retries = sum(
        retry["MaxAttempts"] * (state.get("TimeoutSeconds", 0) + retry.get("MaxDelaySeconds", 60))
        for state in states.values()
        for retry in state.get("Retry", [])
    )

    assert retries > 0
    assert longest + retries < 365 * 24 * 3600


# Queues


def consumed(expanded: Node) -> set[str]:
    mappings = of_type(expanded, "AWS::Lambda::EventSourceMapping").values()
    queues = of_type(expanded, "AWS::SQS::Queue")
    sources = {mapping["EventSourceArn"]["Fn::GetAtt"][0] for mapping in mappings}
    return sources & set(queues)


def test_each_consumed_queue_has_a_redrive_and_no_other_has(expanded: Node) -> None:
    """Listing a queue raises receive counts: where people look, a redrive policy would make messages vanish."""
    queues = of_type(expanded, "AWS::SQS::Queue")

    assert {name for name, queue in queues.items() if "RedrivePolicy" in queue} == consumed(expanded)


def test_what_nobody_consumes_waits_for_fourteen_days(expanded: Node) -> None:
    queues = of_type(expanded, "AWS::SQS::Queue")

    for name in set(queues) - consumed(expanded):
        assert queues[name]["MessageRetentionPeriod"] == FOURTEEN_DAYS, name


def test_a_message_is_dead_before_it_expires(expanded: Node) -> None:
    for name in consumed(expanded):
        queue = expanded["Resources"][name]["Properties"]
        tries = queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"]
        assert tries < queue["MessageRetentionPeriod"] <= FOURTEEN_DAYS, name


def test_a_message_stays_hidden_for_six_times_its_functions_timeout(expanded: Node) -> None:
    """As AWS advises for queues that Lambda polls."""
    for mapping in of_type(expanded, "AWS::Lambda::EventSourceMapping").values():
        source = mapping["EventSourceArn"]["Fn::GetAtt"][0]
        if source in consumed(expanded):
            function = expanded["Resources"][mapping["FunctionName"]["Ref"]]["Properties"]
            queue = expanded["Resources"][source]["Properties"]
            assert queue["VisibilityTimeout"] >= 6 * function["Timeout"], source
            assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"], source


def test_a_consumer_of_events_has_a_pause_for_each_receipt_of_an_outage_but_the_last(expanded: Node) -> None:
    for name in map(queue_of, APP.effects.values()):
        policy = expanded["Resources"][name]["Properties"]["RedrivePolicy"]
        assert policy["maxReceiveCount"] == len(OUTAGE_PAUSES) + 1, name


def test_what_was_set_aside_is_parked_after_its_last_pause(expanded: Node) -> None:
    """Redriven for two days, with pauses that grow; SQS hides no message for more than 12 hours."""
    queue = expanded["Resources"]["SetAsideQueue"]["Properties"]

    assert queue["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": ["ParkedRecordsQueue", "Arn"]},
        "maxReceiveCount": len(PAUSES) + 1,
    }
    assert list(PAUSES) == sorted(PAUSES)
    assert PAUSES[-1] + timedelta(seconds=queue["VisibilityTimeout"]) < timedelta(hours=12)
    assert timedelta(days=1) < sum(PAUSES, timedelta()) < timedelta(days=3)


def test_an_operator_hears_of_what_was_set_aside_also_while_it_hides(expanded: Node) -> None:
    for name in ("ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible"):
        assert "SetAsideQueue" in watched(expanded, name, "QueueName")


def test_each_subscription_of_a_queue_is_raw_and_has_a_dead_letter_queue_that_the_topic_may_use(expanded: Node) -> None:
    subscriptions = of_type(expanded, "AWS::SNS::Subscription")
    queues = {name: entry for name, entry in subscriptions.items() if entry["Protocol"] == "sqs"}
    open_to_topic = {
        (policy["Queues"][0]["Ref"], statement["Condition"]["ArnEquals"]["aws:SourceArn"]["Ref"])
        for policy in of_type(expanded, "AWS::SQS::QueuePolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    }

    assert queues
    for name, subscription in queues.items():
        topic = subscription["TopicArn"]["Ref"]
        assert subscription["RawMessageDelivery"] is True, name
        assert (subscription["Endpoint"]["Fn::GetAtt"][0], topic) in open_to_topic, name
        assert (subscription["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0], topic) in open_to_topic, name


# Data


@pytest.mark.parametrize("kind", ["AWS::DynamoDB::Table", "AWS::S3::Bucket"])
def test_data_outlives_the_stack(expanded: Node, kind: str) -> None:
    for name, resource in expanded["Resources"].items():
        if resource["Type"] == kind:
            policies = resource["DeletionPolicy"], resource["UpdateReplacePolicy"]
            assert policies == ("RetainExceptOnCreate", "Retain"), name


def test_each_table_is_protected_encrypted_and_recoverable(expanded: Node) -> None:
    for name, table in of_type(expanded, "AWS::DynamoDB::Table").items():
        assert table["BillingMode"] == "PAY_PER_REQUEST", name
        assert table["DeletionProtectionEnabled"] == {"Ref": "DeletionProtection"}, name
        assert table["SSESpecification"] == {"SSEEnabled": True}, name
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}, name


def test_only_events_and_applications_have_a_stream(expanded: Node) -> None:
    """Credentials above all: what has no stream cannot reach a consumer or the archive (FAULTS row 30)."""
    tables = of_type(expanded, "AWS::DynamoDB::Table")
    streams = {name: table["StreamSpecification"] for name, table in tables.items() if "StreamSpecification" in table}

    assert set(streams) == {"EventsTable", "ApplicationsTable"}
    assert all(stream == {"StreamViewType": "NEW_AND_OLD_IMAGES"} for stream in streams.values())


def test_only_what_is_ranked_is_indexed_and_only_by_its_keys(expanded: Node) -> None:
    [index] = of_type(expanded, "AWS::DynamoDB::Table")["ReadModelsTable"]["GlobalSecondaryIndexes"]

    assert index["IndexName"] == RANKINGS_INDEX
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}
    # Sparse, because these attributes are in ranked rows alone.
    assert {key["AttributeName"] for key in index["KeySchema"]} == {"ranking", "ranked_by"}


def test_no_bucket_is_public_or_unencrypted(expanded: Node) -> None:
    for name, bucket in of_type(expanded, "AWS::S3::Bucket").items():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}, name
        assert len(bucket["PublicAccessBlockConfiguration"]) == 4, name
        assert bucket["BucketEncryption"], name
        assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}, name


def test_every_queue_and_the_stream_and_the_events_topic_are_encrypted(expanded: Node) -> None:
    for name, queue in of_type(expanded, "AWS::SQS::Queue").items():
        assert queue["SqsManagedSseEnabled"] is True, name  # aws/sqs would keep SNS out
    assert expanded["Resources"]["EventsStream"]["Properties"]["StreamEncryption"]["EncryptionType"] == "KMS"
    assert expanded["Resources"]["EventsTopic"]["Properties"]["KmsMasterKeyId"]


def test_claim_checks_are_gone_after_a_month(expanded: Node) -> None:
    rules = expanded["Resources"]["ArchiveBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    expiring = {rule.get("Prefix"): rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule}

    # The archive itself never expires.
    assert expiring == {"claims/": 30, "compaction-runs/": 2}


def test_a_claim_check_outlives_every_message_that_may_carry_it(expanded: Node) -> None:
    """Made when an event is published, which a consumer parks at the latest when the stream forgets it."""
    rules = expanded["Resources"]["ArchiveBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    (kept,) = (rule["ExpirationInDays"] * 24 * 3600 for rule in rules if rule.get("Prefix") == "claims/")
    on_stream = max(map(int, expanded["Mappings"]["Retention"])) * 3600
    queues = of_type(expanded, "AWS::SQS::Queue")

    for name, queue in queues.items():
        assert kept >= on_stream + queue["MessageRetentionPeriod"], name


# Alarms


def watched(template: Node, metric: str, dimension_: str) -> set[str]:
    """The resources whose figure alarms watch, each by itself or with others."""
    nodes = of_type(template, "AWS::CloudWatch::Alarm")
    metrics = [metric for name, node in nodes.items() for metric, _ in Alarm.of(name, node).metrics.values()]
    return {each.value(dimension_) for each in metrics if each.name == metric}


def test_each_function_that_reads_a_stream_has_an_alarm_on_its_iterator_age_and_one_on_silence(expanded: Node) -> None:
    """The first tells of failures, time-outs and throttles alike; but a mapping that is disabled has no age."""
    reading = {mapping["FunctionName"]["Ref"] for mapping in stream_mappings(expanded).values()}

    assert watched(expanded, "IteratorAge", "FunctionName") == reading
    # The archiver has two mappings, each of which can be disabled: it counts by source.
    assert reading - {"ArchiverFunction"} <= watched(expanded, "Invocations", "FunctionName")
    assert watched(expanded, "RecordsSucceeded", "source") == set(curated.SOURCES)


def test_metrics_of_mappings_are_not_paid_for_where_no_alarm_reads_them(expanded: Node) -> None:
    assert [name for name, mapping in stream_mappings(expanded).items() if "MetricsConfig" in mapping] == []


def test_each_function_that_gives_up_what_nothing_heals_has_an_alarm_on_what_it_could_not_report(
    expanded: Node,
) -> None:
    """Read models heal from the table, for which their roles have a right: those are not among them."""
    healing = {
        f"{owner.removesuffix('Role')}Function"
        for owner, statement in statements(expanded)
        if statement["Sid"].startswith("HealGaps")
    }
    reading = {mapping["FunctionName"]["Ref"] for mapping in stream_mappings(expanded).values()}

    assert watched(expanded, "DestinationDeliveryFailures", "FunctionName") == reading - healing


def test_nothing_waits_is_said_only_of_all_queues_on_which_something_can_wait(template: Node, expanded: Node) -> None:
    """What is on its way to the queues that people look into counts too; the person on call may count it."""
    outputs = {name: output["Value"].get("Ref", name) for name, output in template["Outputs"].items()}
    queues = of_type(expanded, "AWS::SQS::Queue")
    looked_into = set(queues) - consumed(expanded) - NOT_REDRIVEN
    on_their_way = {
        name
        for name in consumed(expanded)
        if queues[name]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        in {"ParkedRecordsQueue", "UnresolvedPointersQueue"}
    }
    policy = expanded["Resources"]["DeadLettersReaderPolicy"]["Properties"]["PolicyDocument"]["Statement"]

    assert looked_into == {"ParkedRecordsQueue", "UnresolvedPointersQueue", *dead_letter_queues(outputs)}
    assert set(pending_queues(outputs)) == on_their_way
    for name in looked_into | on_their_way:
        assert any(allows(statement, Call("count", "sqs:GetQueueAttributes", name, "")) for statement in policy), name
    for name in on_their_way:
        assert not any(allows(statement, Call("look", "sqs:ReceiveMessage", name, "")) for statement in policy), name


def test_the_person_on_call_can_give_up_a_claim_and_nothing_else_of_the_ledger(expanded: Node) -> None:
    """FAULTS row 26: what docs/runbook.md does under OnUnconfirmedEmail=hold."""
    policy = expanded["Resources"]["DeadLettersRedrivePolicy"]["Properties"]["PolicyDocument"]["Statement"]

    def allowed(action: str, key: str) -> bool:
        call = Call("on call", f"dynamodb:{action}", "LedgerTable", key)
        return any(allows(statement, call) for statement in policy)

    assert allowed("GetItem", "effect#welcome_email#1")
    assert allowed("DeleteItem", "effect#change_notice#1#old_address")
    assert not allowed("PutItem", "effect#welcome_email#1")
    assert not allowed("DeleteItem", "request#1")


def test_nobody_changes_an_event_but_who_mends_one_that_cannot_be_read(expanded: Node) -> None:
    changing = {"dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:PartiQLUpdate", "dynamodb:PartiQLDelete"}
    allowed = {
        (owner, action)
        for owner, statement in statements(expanded)
        if statement["Effect"] == "Allow"
        and any("EventsTable" in text(each) for each in as_list(statement["Resource"]))
        for action in as_list(statement["Action"])
        if action in changing or "*" in action
    }

    assert allowed == {("EventMendingPolicy", "dynamodb:UpdateItem")}


def test_each_queue_that_nobody_consumes_has_an_alarm_at_the_first_message(expanded: Node) -> None:
    waiting = set(of_type(expanded, "AWS::SQS::Queue")) - consumed(expanded)

    assert waiting <= watched(expanded, "ApproximateNumberOfMessagesVisible", "QueueName")


def test_each_queue_of_dead_letters_has_an_alarm_a_day_before_a_message_expires(expanded: Node) -> None:
    """The age counts from when a message came to this queue, its expiry from when it was first sent."""
    alarm = Alarm.of("", expanded["Resources"]["DeadLettersExpireAlarm"]["Properties"])
    bounds = dict(re.findall(r"FILL\((\w+), 0\) > (\d+)", alarm.expression))
    ages = {metric.value("QueueName"): int(bounds[id_]) for id_, (metric, _) in alarm.metrics.items()}
    queues = of_type(expanded, "AWS::SQS::Queue")
    spent_before: dict[str, float] = {}
    for name in consumed(expanded):
        policy = queues[name]["RedrivePolicy"]
        postponed = timedelta()
        if name in {queue_of(each) for each in APP.effects.values() if each.mails}:
            postponed = policy["maxReceiveCount"] * QUOTA_RETRY_AFTER
        elif name in map(queue_of, APP.effects.values()):
            postponed = sum(OUTAGE_PAUSES, timedelta())
        elif name == "SetAsideQueue":
            postponed = sum(PAUSES, timedelta())
        tries = policy["maxReceiveCount"] * timedelta(seconds=queues[name]["VisibilityTimeout"])
        spent_before[policy["deadLetterTargetArn"]["Fn::GetAtt"][0]] = (tries + postponed).total_seconds()

    assert spent_before["WelcomeEmailDeadLetterQueue"] > 30 * 3600
    assert spent_before["ParkedRecordsQueue"] > 45 * 3600
    assert max(OUTAGE_PAUSES) <= QUOTA_RETRY_AFTER, "of e-mails the longer wait counts"
    for name in set(queues) - consumed(expanded) - NOT_REDRIVEN:
        age = queues[name]["MessageRetentionPeriod"] - spent_before.get(name, 0) - 24 * 3600
        assert ages[name] <= age, name


def test_the_archives_bucket_takes_what_the_archive_writes_and_no_notes(expanded: Node) -> None:
    statements = expanded["Resources"]["ArchiveBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    (refusal,) = (each for each in statements if "NotResource" in each)
    assert (refusal["Effect"], refusal["Principal"], refusal["Action"]) == ("Deny", "*", "s3:PutObject")
    patterns = [each["Fn::Sub"].replace("${ArchiveBucket.Arn}/", "") for each in refusal["NotResource"]]

    def taken(key: str) -> bool:
        return any(fnmatchcase(key, pattern) for pattern in patterns)

    written = [
        f"raw/source=events/dt=2026-03-01/{'0' * 40}-a.jsonl.zst",
        curated.key("applications", "2026-03-01"),
        curated.key("events", "2026-03-01", 12),
        "curated-days/events-2026-03.jsonl",
        f"{curated.runs_prefix('events', '2026-03-01')}claim.json",
        f"{curated.run_prefix('events', '2026-03-01', 'night')}20260302_000000_00000_abcde_1",
        "claims/019a/019b",
        f"{bi_export.PREFIX}dt=2026-03-01-1.json",
        bi_export.MANIFEST,
    ]
    assert [key for key in written if not taken(key)] == []
    # A pattern cannot tell names that end as the archive's do; readers can.
    foreign = [key for key in FOREIGN if not key.endswith(".jsonl.zst")]
    beside = ["notes.txt", "raw/", "curated/source=events/month=2026-03/notes.txt", "curated-days/", "bi/events/x.txt"]
    assert [key for key in [*foreign, *beside] if taken(key)] == []


def test_no_role_may_write_to_the_archives_bucket_what_its_policy_refuses(expanded: Node) -> None:
    resources = expanded["Resources"]
    refusals = resources["ArchiveBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    (kept,) = (each["NotResource"] for each in refusals if "NotResource" in each)
    prefixes = {each["Fn::Sub"].replace("${ArchiveBucket.Arn}/", "").partition("/")[0] for each in kept}

    written = set()
    for role in of_type(expanded, "AWS::IAM::Role").values():
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                if "s3:PutObject" in as_list(statement["Action"]):
                    written |= {each["Fn::Sub"] for each in as_list(statement["Resource"]) if "Fn::Sub" in each}
    places = {each.replace("${ArchiveBucket.Arn}/", "") for each in written if each.startswith("${ArchiveBucket.Arn}/")}
    assert places
    assert {place.partition("/")[0] for place in places} <= prefixes


def test_a_day_is_claimed_for_longer_than_its_function_runs_and_no_hours(expanded: Node) -> None:
    seconds = expanded["Resources"]["CompactionFunction"]["Properties"]["Timeout"]

    assert timedelta(seconds=seconds) == FUNCTION_RUNS
    assert FUNCTION_RUNS < CLAIMED_FOR < 2 * FUNCTION_RUNS


def test_a_day_of_a_killed_run_is_tried_again_until_its_claim_is_over() -> None:
    machine = json.loads((PROJECT / "statemachines" / "compaction.asl.json").read_text("utf-8"))
    states = machine["States"]["EachDay"]["ItemProcessor"]["States"]

    for name in ("CompactDay", "PrepareUnload"):
        (retry,) = (each for each in states[name]["Retry"] if "DayTakenError" in each["ErrorEquals"])
        waited = sum(retry["IntervalSeconds"] * retry["BackoffRate"] ** turn for turn in range(retry["MaxAttempts"]))
        assert timedelta(seconds=waited) > CLAIMED_FOR


# Form


def test_each_parameter_says_what_it_takes(template: Node) -> None:
    for name, parameter in template["Parameters"].items():
        assert parameter["Description"], name
        assert parameter["ConstraintDescription"].startswith("must be "), name


def test_each_resource_of_substance_has_a_reason_above_it() -> None:
    """Not roles, policies, log groups and alarms: those stand under the resource or the heading that they belong to."""
    lines = TEMPLATE.read_text(encoding="utf-8").splitlines()
    plain = re.compile(r"AWS::(IAM::Role|Logs::LogGroup|CloudWatch::Alarm|\w+::\w+Policy)$")
    begin = lines.index("Resources:")
    end = lines.index("Outputs:")
    bare = []
    for number in range(begin, end):
        if re.match(r"  [A-Z]\w+:$", lines[number]) and not lines[number - 1].lstrip().startswith("#"):
            kind = lines[number + 1].split("Type: ")[1]
            if not plain.search(kind):
                bare.append(lines[number].strip(" :"))

    assert bare == []
