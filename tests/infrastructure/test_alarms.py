"""Each alarm rings in its trouble and is silent otherwise, reaches the right person, and says where to read on.

A trouble is played as the service, or our own code, emits it. The sources of what services emit stand with each.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from arcade.app import APP
from headwater.application import function_of
from headwater.functions import entry
from headwater.incidents import Incident, LoggedIncidents
from tests.infrastructure import expansion
from tests.infrastructure.alarms import OWN, Alarm, Metric, Point, Series
from tests.infrastructure.expansion import PROJECT, RECEIVER, TEMPLATE, Node

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
MINUTE: Final = 60.0
#: As a mapping tries a batch again: at once, and then at growing intervals of a minute at most.
TRIES: Final = (0.0, 1.0, 3.0, 7.0, 15.0, 31.0, *(60.0 * number for number in range(1, 24 * 60)))
RUNBOOK: Final = PROJECT / "docs" / "runbook.md"
TIERS: Final = {"AlarmTopic": "Alarms that page", "NoticeTopic": "Alarms to look at tomorrow"}
#: What is told by another alarm as well, and by no alarm of its own.
TOLD_BY_ANOTHER: Final = {"UnknownPointers": "UnresolvedPointersAlarm"}


@cache
def alarm_nodes() -> dict[str, Node]:
    """Of both templates, by logical id; those of the account domain after ``receiver.``."""
    found = {}
    for path, prefix in ((TEMPLATE, ""), (RECEIVER, "receiver.")):
        for name, resource in expansion.expanded(path)["Resources"].items():
            if resource["Type"] == "AWS::CloudWatch::Alarm":
                found[f"{prefix}{name}"] = resource
    return found


@cache
def alarms() -> dict[str, Alarm]:
    return {name: Alarm.of(name, node["Properties"]) for name, node in alarm_nodes().items()}


#: What an alarm listens to, each by itself: an alarm on several has to ring for any of them.
LISTENS: Final = [(name, id_) for name, alarm in alarms().items() for id_ in alarm.metrics if id_ != alarm.moved]


# What services emit


def falls_behind(metric: Metric) -> Iterator[Point]:
    """A batch that fails, tried as seldom as the longest window allows.

    "The difference between when the last record ... was published and when Lambda processed it", in milliseconds, at
    each invocation (Lambda developer guide, "Types of metrics for Lambda functions").
    """
    for tried in times(0, DAY, 300):
        yield tried, tried * 1000


def one_waits(metric: Metric) -> Iterator[Point]:
    """A message that came after ten minutes and stays: SQS gives a queue's figures each minute."""
    for minute in range(60):
        yield minute * MINUTE, float(minute >= 10)


def one_grows_old(metric: Metric) -> Iterator[Point]:
    """Seconds, for as long as a message may stay."""
    for at in range(0, int(14 * DAY), 300):
        yield float(at), float(at)


def once(metric: Metric) -> Iterator[Point]:
    """A count that is emitted where there is something to count ("nonzero values")."""
    yield 20 * MINUTE, 1.0


def at_each_try(metric: Metric) -> Iterator[Point]:
    for tried in TRIES[:60]:
        yield tried, 1.0


def each_half_minute(metric: Metric) -> Iterator[Point]:
    for number in range(120):
        yield number * 30.0, 1.0


def twice_what_ses_reviews(metric: Metric) -> Iterator[Point]:
    """A share from 0 to 1 (SES developer guide, "Monitoring your sender reputation")."""
    share = 0.1 if metric.name == "Reputation.BounceRate" else 0.002
    for number in range(4):
        yield number * HOUR, share


EMITTED: Final[dict[str, Callable[[Metric], Iterator[Point]]]] = {
    "IteratorAge": falls_behind,
    "ApproximateNumberOfMessagesVisible": one_waits,
    "ApproximateNumberOfMessagesNotVisible": one_waits,
    "ApproximateAgeOfOldestMessage": one_grows_old,
    "DestinationDeliveryFailures": once,
    "ExecutionFailed": at_each_try,
    "TargetStageSkipped": once,
    "5xx": each_half_minute,
    "ExecutionsFailed": once,
    "ExecutionsTimedOut": once,
    "ExecutionsAborted": once,
    "Reputation.BounceRate": twice_what_ses_reviews,
    "Reputation.ComplaintRate": twice_what_ses_reviews,
}


def reported(metric: Metric, capsys: pytest.CaptureFixture[str]) -> Series:
    """What our own code emits in the trouble."""
    series = Series()
    capsys.readouterr()
    if metric.name in get_args(Incident.__value__):
        LoggedIncidents("any").report(metric.name, "for the test")  # type: ignore[arg-type]
        series.add_emf(capsys.readouterr().out, 20 * MINUTE)
    else:
        for tried in TRIES[:60]:
            entry.report(metric.value("function"), metric.value("source"), 0.0, RecordsSucceeded=0, RecordsFailed=1)
            series.add_emf(capsys.readouterr().out, tried)
    return series


# A healthy stack


def healthy(events: list[float], until: float, window: float = 300.0) -> Series:
    """All that a stack emits that was told of events, and of changes of applications, at these times."""
    series = Series()
    for name, id_ in LISTENS:
        metric = alarms()[name].metrics[id_][0]
        if metric.name.startswith("Approximate"):
            age = metric.name == "ApproximateAgeOfOldestMessage"
            # What is being worked on is some seconds old; nothing waits elsewhere.
            busy = age and not metric.value("QueueName").endswith(("LetterQueue", "RecordsQueue", "PointersQueue"))
            series.points[metric] = [(at, 20.0 if busy else 0.0) for at in times(0, until, 300)]
        elif metric.name == "5xx":
            # A request that met a function as it was deployed; all others count as none.
            series.points[metric] = [*((at, 0.0) for at in times(0, until, 60)), (0.0, 1.0)]
        elif metric.name == "ExecutionFailed":
            series.points[metric] = [(0.0, 1.0)]
        elif metric.name.startswith("Reputation."):
            series.points[metric] = [(at, 0.0004) for at in times(0, until, 900)]

    def invoked(function: str, after: float, gathers: float) -> None:
        """A window opens with the first event and closes so much later: the oldest record is as old by then."""
        dimensions = frozenset({("FunctionName", function)})
        closes = -1.0
        for at in events:
            if at > closes:
                closes = at + gathers
                series.add(Metric("AWS/Lambda", "Invocations", dimensions), [(closes + after, 1.0)])
                age = (gathers + after) * 1000
                series.add(Metric("AWS/Lambda", "IteratorAge", dimensions), [(closes + after, age)])

    for function, after, gathers in (
        ("ArchiverFunction", 1.0, window),
        ("FanOutFunction", 0.5, 0.0),
        *((function_of(name), 1.5, 1.0) for name in APP.projections),
        ("BiExportFunction", 2.0, window),
        ("ApplicationEnrichmentFunction", 1.0, 0.0),
    ):
        invoked(function, after, gathers)
    archived = series.points[Metric("AWS/Lambda", "Invocations", frozenset({("FunctionName", "ArchiverFunction")}))]
    for table, source in (("EventsTable", "events"), ("ApplicationsTable", "applications")):
        written = Metric("AWS/DynamoDB", "ConsumedWriteCapacityUnits", frozenset({("TableName", table)}))
        series.add(written, [(at, 1.0) for at in events])
        dimensions = {("function", "archiver"), ("source", source), ("service", "headwater")}
        series.add(Metric(OWN, "RecordsSucceeded", frozenset(dimensions)), archived)
    incoming = Metric("AWS/Kinesis", "IncomingRecords", frozenset({("StreamName", "EventsStream")}))
    series.add(incoming, [(at + 0.5, 1.0) for at in events])
    started = Metric("AWS/States", "ExecutionsStarted", frozenset({("StateMachineArn", "Compaction")}))
    series.add(started, [(at, 1.0) for at in times(2.5 * HOUR, until, DAY)])
    return series


def times(begin: float, until: float, step: float) -> list[float]:
    return [begin + number * step for number in range(int((until - begin) // step) + 1)]


@cache
def busy() -> Series:
    """An hour with an event each half second."""
    return healthy(times(0, HOUR, 0.5), HOUR)


@cache
def few(phase: int) -> Series:
    """Three days with an event each twenty minutes, wherever that falls in a period."""
    return healthy(times(phase, 3 * DAY, 20 * MINUTE), 3 * DAY)


@pytest.mark.parametrize("name", alarms())
def test_it_is_silent_through_a_healthy_hour(name: str) -> None:
    assert not alarms()[name].rings(busy(), HOUR)


@pytest.mark.parametrize("name", alarms())
def test_it_is_silent_where_little_happens(name: str) -> None:
    assert [phase for phase in range(0, 1200, 150) if alarms()[name].rings(few(phase), 3 * DAY)] == []


@pytest.mark.parametrize(("name", "id_"), LISTENS)
def test_it_rings_in_its_trouble(name: str, id_: str, capsys: pytest.CaptureFixture[str]) -> None:
    alarm = alarms()[name]
    metric, _ = alarm.metrics[id_]
    if alarm.moved:
        # Somebody hears nothing while something moves.
        until = 2 * HOUR if alarm.period < DAY else 3 * DAY
        series = healthy(times(0, until, 30.0), until).instead(metric, [])
    elif metric.namespace == OWN:
        until, series = HOUR, reported(metric, capsys)
    else:
        until = 14 * DAY if metric.name == "ApproximateAgeOfOldestMessage" else 4 * HOUR
        series = busy().instead(metric, EMITTED[metric.name](metric))

    assert alarm.rings(series, until)


@pytest.mark.parametrize(
    ("points", "to_alarm", "alarmed"),
    [
        ("0-X-X", 3, False),
        ("0----", 3, False),
        ("-----", 3, False),
        ("0XX-X", 3, True),
        ("----X", 3, False),
        ("X----", 3, False),
        ("0-X-X", 2, True),
        ("00X0X", 2, True),
        ("0-X--", 2, False),
        ("----0", 2, False),
        ("----X", 2, False),
        ("X---X", 2, True),
    ],
)
def test_missing_data_counts_as_in_cloudwatchs_guide(points: str, to_alarm: int, alarmed: bool) -> None:
    """The tables of "How alarm state is evaluated when data is missing", of three periods; and what follows of them."""
    metric = Metric(OWN, "any", frozenset())
    alarm = Alarm("any", {"alone": (metric, "Sum")}, "alone", 60, 3, to_alarm, 0, "GreaterThanThreshold")

    assert alarm.alarms([{"0": False, "X": True, "-": None}[each] for each in points]) is alarmed


def test_what_is_late_but_not_too_late_does_not_ring() -> None:
    """A consumer that catches up within its bound."""
    for name, alarm in alarms().items():
        for metric, _ in alarm.metrics.values():
            if metric.name == "IteratorAge":
                late = [(at, min(alarm.threshold, at * 1000)) for at in TRIES]
                assert not alarm.rings(busy().instead(metric, late), DAY), name


def test_each_incident_has_an_alarm() -> None:
    def watched(*, receiver: bool) -> set[str]:
        found = (alarm for name, alarm in alarms().items() if name.startswith("receiver.") is receiver)
        return {metric.name for alarm in found for metric, _ in alarm.metrics.values()}

    assert set(get_args(Incident.__value__)) - watched(receiver=False) == TOLD_BY_ANOTHER.keys()
    assert "Outages" in watched(receiver=True), "each of its functions may report one"
    assert set(TOLD_BY_ANOTHER.values()) <= alarms().keys()


# Who is told, and what to do


def described(name: str) -> tuple[str, str, str]:
    """The tier, what an alarm says, and the heading that it links."""
    properties = alarm_nodes()[name]["Properties"]
    (topic,) = properties["AlarmActions"]
    text, _, anchor = properties["AlarmDescription"].partition(" Runbook: docs/runbook.md#")
    return TIERS[topic["Ref"]], text, anchor


@cache
def headings() -> dict[str, str]:
    """The section of each heading of the runbook's, by its anchor on GitHub."""
    found, section = {}, ""
    for line in Path(RUNBOOK).read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line.startswith("### "):
            anchor = re.sub(r"[^\w\- ]", "", line.removeprefix("### ").lower()).replace(" ", "-")
            found[anchor] = section
    return found


@pytest.mark.parametrize("name", alarms())
def test_it_says_what_is_wrong_and_links_what_to_do_in_the_section_of_its_tier(name: str) -> None:
    tier, text, anchor = described(name)

    assert text.endswith(".")
    assert headings().get(anchor) == tier


def test_each_procedure_of_the_runbook_has_an_alarm() -> None:
    linked = {described(name)[2] for name in alarms()}

    assert {anchor for anchor, section in headings().items() if section in TIERS.values()} == linked


@pytest.mark.parametrize("name", alarms())
def test_what_can_wait_for_the_morning_can_be_left_out(name: str) -> None:
    tier, _, _ = described(name)
    condition: Any = alarm_nodes()[name].get("Condition", "")

    assert condition.startswith("HasNotices") == (tier == TIERS["NoticeTopic"])
