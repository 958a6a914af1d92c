"""Looks at a deployed stack: CloudWatch's metrics and alarms, its queues, its mappings and its archive.

CloudWatch bills each metric that is asked for (GetMetricData, CloudWatch pricing): it is asked once a minute at most.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any, Final

from botocore.exceptions import ClientError

from cli.observation import (
    Alarm,
    Archive,
    Figures,
    LetterBox,
    Letters,
    Snapshot,
    limits,
    look_into_archive,
    troubles,
    watching,
)
from cli.templates import documents, physical_ids
from operations.dead_letters.queues import counted
from operations.flow_graph import FlowGraph, Station
from operations.target import Target

EVERY_SECONDS: Final = 60.0
#: CloudWatch has Lambda's figures of a minute some two minutes later; five minutes are always whole.
_WINDOW: Final = timedelta(minutes=5)
#: GetMetricData, CloudWatch API reference.
_QUERIES: Final = 500
_RUNBOOK: Final = re.compile(r"\s*Runbook:\s*(\S+)\s*$")


@dataclass(frozen=True, slots=True)
class _Metric:
    """One figure of one station, over the window."""

    station: str
    figure: str
    namespace: str
    name: str
    dimensions: Mapping[str, str]
    statistic: str


class DeployedObserver:
    """Asks AWS, with the operator's rights; what they do not allow is named and left out."""

    every = EVERY_SECONDS

    def __init__(self, target: Target) -> None:
        self._target = target
        templates = documents(target)
        self.limits = limits(*templates)
        self.graph = FlowGraph.of(*templates)
        self._watching = watching(*templates)
        self._physical = physical_ids(target)
        self.box = LetterBox(target)

    def observe(self) -> Snapshot:
        now = datetime.now(UTC)
        unknown: list[str] = []

        def asked[T](what: str, ask: Callable[[], T], otherwise: T) -> T:
            try:
                return ask()
            except ClientError as error:
                unknown.append(f"{what}: {error.response['Error']['Code']}")
                return otherwise

        letters = asked("dead letters", self.box.letters, Letters())
        values = asked("metrics", lambda: self._values(now), dict[str, dict[str, float]]())
        paused = asked("mappings", self._paused, set[str]())
        waiting = asked("queues", self._waiting, dict[str, int]())
        alarms: Sequence[Alarm] | None = asked("alarms", self._alarms, None)
        archive: Archive | None = asked("archive", lambda: look_into_archive(self._target, now), None)
        figures = {
            name: self._figures(station, values.get(name, {}), waiting.get(name), name in paused, letters)
            for name, station in self.graph.stations.items()
        }
        snapshot = Snapshot(
            at=now,
            stack=self._target.stack_name,
            figures=figures,
            dead_letters=letters.by_consumer,
            standing=letters.standing,
            archive=archive,
            alarms=alarms,
            unknown=unknown,
        )
        return replace(snapshot, troubles=troubles(self.graph, snapshot, self.limits, letters.elsewhere))

    @staticmethod
    def _figures(
        station: Station, values: Mapping[str, float], waiting: int | None, paused: bool, letters: Letters
    ) -> Figures:
        retries = values.get("retries")
        return Figures(
            waiting=waiting,
            lag=values.get("lag"),
            rate=values["rate"] / _WINDOW.total_seconds() if "rate" in values else None,
            retries=None if retries is None else int(retries),
            retrying=bool(retries),
            parked=letters.by_consumer.get(station.consumer, 0) if station.consumer else 0,
            paused=paused,
        )

    def _metrics(self) -> Iterator[_Metric]:
        for name, station in self.graph.stations.items():
            physical = self._physical.get(name)
            if physical is None:
                continue
            match station.kind:
                case "function":
                    of = {"FunctionName": physical}
                    yield _Metric(name, "lag", "AWS/Lambda", "IteratorAge", of, "Maximum")
                    yield _Metric(name, "retries", "AWS/Lambda", "Errors", of, "Sum")
                    yield _Metric(name, "rate", "AWS/Lambda", "Invocations", of, "Sum")
                case "queue":
                    of = {"QueueName": physical.rpartition("/")[2]}
                    yield _Metric(name, "lag", "AWS/SQS", "ApproximateAgeOfOldestMessage", of, "Maximum")
                    yield _Metric(name, "rate", "AWS/SQS", "NumberOfMessagesSent", of, "Sum")
                case "stream":
                    yield _Metric(name, "rate", "AWS/Kinesis", "IncomingRecords", {"StreamName": physical}, "Sum")
                case "topic":
                    of = {"TopicName": physical.rpartition(":")[2]}
                    yield _Metric(name, "rate", "AWS/SNS", "NumberOfMessagesPublished", of, "Sum")
                case "api":
                    yield _Metric(name, "rate", "AWS/ApiGateway", "Count", {"ApiId": physical}, "Sum")

    def _values(self, now: datetime) -> dict[str, dict[str, float]]:
        client = self._target.client("cloudwatch")
        end = now.replace(second=0, microsecond=0)
        found: dict[str, dict[str, float]] = {}
        for metrics in batched(self._metrics(), _QUERIES, strict=False):
            queries = [
                {
                    "Id": f"m{number}",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": metric.namespace,
                            "MetricName": metric.name,
                            "Dimensions": [{"Name": key, "Value": value} for key, value in metric.dimensions.items()],
                        },
                        "Period": int(_WINDOW.total_seconds()),
                        "Stat": metric.statistic,
                    },
                }
                for number, metric in enumerate(metrics)
            ]
            pages = client.get_paginator("get_metric_data").paginate(
                MetricDataQueries=queries, StartTime=end - _WINDOW, EndTime=end, ScanBy="TimestampDescending"
            )
            for page in pages:
                for result in page["MetricDataResults"]:
                    metric = metrics[int(result["Id"][1:])]
                    if result["Values"]:
                        value = result["Values"][0] / (1000 if metric.name == "IteratorAge" else 1)
                        found.setdefault(metric.station, {})[metric.figure] = value
        return found

    def _paused(self) -> set[str]:
        """Functions of which somebody has disabled a mapping."""
        names = {self._physical[name]: name for name in self.graph.stations if name in self._physical}
        client = self._target.client("lambda")
        return {
            names[function]
            for page in client.get_paginator("list_event_source_mappings").paginate()
            for mapping in page["EventSourceMappings"]
            if (function := mapping["FunctionArn"].split(":")[6]) in names
            if mapping["State"] in {"Disabled", "Disabling"}
        }

    def _waiting(self) -> dict[str, int]:
        sqs = self._target.client("sqs")
        queues = [name for name, station in self.graph.stations.items() if station.kind == "queue"]
        return {name: counted(sqs, self._physical[name]) for name in queues if name in self._physical}

    def _alarms(self) -> Sequence[Alarm]:
        own = {physical: self._watching.get(name, ()) for name, physical in self._physical.items()}
        client = self._target.client("cloudwatch")
        pages = client.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{self._target.stack_name}-")
        paging = self._target.outputs.get("AlarmTopicArn")
        return [
            _alarm(each, paging, own[each["AlarmName"]])
            for page in pages
            for each in page["MetricAlarms"]
            if each["AlarmName"] in own
        ]


def _alarm(each: Mapping[str, Any], paging: str | None, of: Collection[str]) -> Alarm:
    about = each.get("AlarmDescription", "")
    found = _RUNBOOK.search(about)
    return Alarm(
        name=each["AlarmName"],
        state=each["StateValue"],
        since=each["StateUpdatedTimestamp"].astimezone(UTC).isoformat(timespec="seconds"),
        about=_RUNBOOK.sub("", about),
        pages=paging in each.get("AlarmActions", ()),
        runbook=found[1] if found else None,
        of=of,
    )
