"""What flows where, out of the templates alone."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from arcade.app import APP
from cli.console.diagram import HEIGHT, WIDTH, Diagram
from operations.flow_graph import MAIL, Edge, FlowGraph, Station
from operations.template_document import parsed
from tests.fakes.events import EVENT_TYPES

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def graph() -> FlowGraph:
    return FlowGraph.of(*(parsed((ROOT / name).read_bytes(), name) for name in ("template.yaml", "receiver.yaml")))


def role(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Type": "AWS::IAM::Role", "Properties": {"Policies": [{"PolicyDocument": {"Statement": list(statements)}}]}}


#: An application that has nothing of the example.
SHOP: dict[str, Any] = {
    "Resources": {
        "LogTable": {"Type": "AWS::DynamoDB::Table"},
        "Memory": {"Type": "AWS::DynamoDB::Table"},
        "Failed": {"Type": "AWS::SQS::Queue"},
        "Orders": {"Type": "AWS::SNS::Topic"},
        "OrdersQueue": {"Type": "AWS::SQS::Queue"},
        "OrdersSubscription": {
            "Type": "AWS::SNS::Subscription",
            "Properties": {
                "TopicArn": {"Ref": "Orders"},
                "Endpoint": {"Fn::GetAtt": ["OrdersQueue", "Arn"]},
                "FilterPolicy": {"type": ["OrderPlaced"]},
            },
        },
        "SpreadFunction": {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "Role": {"Fn::GetAtt": ["SpreadRole", "Arn"]},
                "Events": {
                    "Log": {
                        "Type": "DynamoDB",
                        "Properties": {
                            "Stream": {"Fn::GetAtt": ["LogTable", "StreamArn"]},
                            "DestinationConfig": {"OnFailure": {"Destination": {"Fn::GetAtt": ["Failed", "Arn"]}}},
                        },
                    }
                },
            },
        },
        "SpreadRole": role(
            {"Action": "sns:Publish", "Resource": {"Ref": "Orders"}},
            {"Action": ["sqs:SendMessage"], "Resource": [{"Fn::GetAtt": ["Failed", "Arn"]}]},
            {"Action": "dynamodb:PutItem", "Resource": {"Fn::GetAtt": ["Memory", "Arn"]}},
            {"Action": "dynamodb:Query", "Resource": {"Fn::GetAtt": ["LogTable", "Arn"]}},
        ),
        "NoteFunction": {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "Role": {"Fn::GetAtt": ["NoteRole", "Arn"]},
                "Events": {"Q": {"Type": "SQS", "Properties": {"Queue": {"Fn::GetAtt": ["OrdersQueue", "Arn"]}}}},
            },
        },
        "NoteRole": role({"Action": "ses:SendEmail", "Resource": "*"}),
    },
    "Outputs": {
        "EventsTableName": {"Value": {"Ref": "LogTable"}},
        "LedgerTableName": {"Value": {"Ref": "Memory"}},
    },
}


def test_another_applications_flow_is_read_out_of_its_template() -> None:
    graph = FlowGraph.of(SHOP)

    assert set(graph.edges) == {
        Edge("LogTable", "SpreadFunction", title="SpreadFunction.Log"),
        Edge("SpreadFunction", "Orders"),
        Edge("Orders", "OrdersQueue", types=("OrderPlaced",)),
        Edge("OrdersQueue", "NoteFunction", title="NoteFunction.Q"),
        Edge("NoteFunction", MAIL),
    }
    assert graph.events == "LogTable"
    assert list(graph.consumers) == ["spread", "note"]


def test_an_event_reaches_whom_a_subscription_lets_it_through_to() -> None:
    graph = FlowGraph.of(SHOP)

    assert [each.consumer for each in graph.readers("OrderPlaced", "LogTable")] == ["spread", "note"]
    assert [each.consumer for each in graph.readers("OrderPaid", "LogTable")] == ["spread"]


def test_the_projects_own_flow_leads_from_the_table_to_everybody(graph: FlowGraph) -> None:
    reached = {each.consumer for type_ in EVENT_TYPES for each in graph.readers(type_, graph.events)}

    assert {*APP.projections, "archiver", "fan_out", "bi_export"} <= reached
    # What only applications reach, and the failures' own functions, are no readers of events.
    assert reached <= set(graph.consumers)
    assert not {"dead_letters", "redrive"} & set(graph.consumers)


def test_a_station_is_called_by_its_id_in_words_without_its_kind() -> None:
    assert Station("PlayerProfilesFunction", "function").label == "Player profiles"
    assert Station("EventsTable", "table").label == "Events"
    assert Station("Function", "function").label == "Function"
    assert Station("CsvExportFunction", "function").label == "CSV export"
    assert Station("HttpApi", "api").label == "HTTP"
    assert Station("GDPRReportQueue", "queue").label == "GDPR report"
    assert Station("E-mail", "mail").label == "E-mail"
    assert Station("BiExportFunction", "function").consumer == "bi_export"
    assert Station("ApplicationStatusPipe", "pipe").consumer == "application_status"
    assert Station("EventsTable", "table").consumer is None


def test_every_station_has_a_place_of_its_own_right_of_what_feeds_it(graph: FlowGraph) -> None:
    diagram = Diagram(graph)
    places = diagram.places
    width, height = diagram.size

    assert places.keys() == graph.stations.keys()
    taken = sorted((place.x, place.y) for place in places.values())
    assert all(one[0] != two[0] or two[1] - one[1] >= HEIGHT for one, two in pairwise(taken))
    assert all(0 <= place.x <= width - WIDTH and 0 <= place.y <= height - HEIGHT for place in places.values())
    # The badges append to the table that feeds them, and nothing else leads back.
    assert [line.edge.source for line in diagram.lines if line.back] == ["BadgesFunction"]


def test_a_circle_is_laid_out_too() -> None:
    circle = FlowGraph(
        {name: Station(name, "function") for name in "ab"}, [Edge("a", "b"), Edge("b", "a"), Edge("a", "a")]
    )

    assert len(Diagram(circle).places) == 2


def test_nothing_of_the_example_is_named_in_what_shows_a_stack() -> None:
    names = {*EVENT_TYPES, *APP.projections}
    names |= {path.stem.removesuffix("Function") for path in (ROOT / "events").glob("*.json")}
    # Of the backbone itself: every application has them.
    names -= {"Archiver", "FanOut", "DeadLetters", "Redrive", "Compaction", "HttpApi", "BiExport"}
    shows = [*(ROOT / "cli" / "console").rglob("*.py"), *(ROOT / "cli" / "console").rglob("*.html")]
    shows += [ROOT / "cli" / f"{name}.py" for name in ("observation", "observe_local", "observe_deployed", "status")]
    shows += [ROOT / "operations" / "flow_graph.py"]
    shows += [ROOT / "devstack" / f"{name}.py" for name in ("control", "rehearsals", "refusals", "poison")]
    named = {
        f"{path.name}: {name}"
        for path in shows
        for name in names
        # Docstrings may give an example.
        if re.search(rf"\b{name}(Function)?\b", re.sub(r'"""(.|\n)*?"""', "", path.read_text(encoding="utf-8")))
    }

    assert named == set(), json.dumps(sorted(named))
