"""Alarms as CloudWatch evaluates them, over series of data points as services and functions emit them.

Sources: CloudWatch user guide, "Using Amazon CloudWatch alarms" (periods, datapoints to alarm, missing data) and "Using
math expressions with CloudWatch metrics". Of a metric that is there only now and then, earlier data points count
too, before any period counts as the alarm says of missing data.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.infrastructure.expansion import Node

#: Seconds since some midnight in UTC, and the value.
type Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's identity: resources stand in dimensions by their logical ids."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, node: Node) -> Metric:
        dimensions = {(each["Name"], _named(each["Value"])) for each in node.get("Dimensions", ())}
        return cls(_named(node["Namespace"]), node["MetricName"], frozenset(dimensions))

    def value(self, dimension: str) -> str:
        return dict(self.dimensions)[dimension]


class Series:
    """Data points by metric."""

    def __init__(self) -> None:
        self.points: dict[Metric, list[Point]] = defaultdict(list)

    def add(self, metric: Metric, points: Iterable[Point]) -> None:
        self.points[metric].extend(points)

    def add_emf(self, text: str, at: float) -> None:
        """What a log holds in the embedded metric format, as if it had been written at that time."""
        for line in text.splitlines():
            if '"_aws"' in line:
                document = json.loads(line)
                for group in document["_aws"]["CloudWatchMetrics"]:
                    for names in group["Dimensions"]:
                        dimensions = frozenset((name, document[name]) for name in names)
                        for each in group["Metrics"]:
                            metric = Metric(OWN, each["Name"], dimensions)
                            self.add(metric, [(at, float(value)) for value in document[each["Name"]]])

    def instead(self, metric: Metric, points: Iterable[Point]) -> Series:
        """These series with other points of one metric."""
        changed = Series()
        changed.points.update(self.points)
        changed.points[metric] = list(points)
        return changed


#: The functions' namespace, each stack's own.
OWN: Final = "Headwater/${AWS::StackName}"


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm of an expanded template. ``metrics`` go by the ids that ``expression`` has for them."""

    name: str
    metrics: Mapping[str, tuple[Metric, str]]
    expression: str
    period: int
    periods: int
    to_alarm: int
    threshold: float
    comparison: str

    @classmethod
    def of(cls, name: str, properties: Node) -> Alarm:
        assert properties["TreatMissingData"] == "notBreaching", name
        metrics: dict[str, tuple[Metric, str]] = {}
        expression = "alone"
        period: int = properties.get("Period", 0)
        for each in properties.get("Metrics", ()):
            if "MetricStat" in each:
                stat = each["MetricStat"]
                metrics[each["Id"]] = Metric.of(stat["Metric"]), stat["Stat"]
                period = stat["Period"]
            else:
                expression = each["Expression"]
        if not metrics:
            metrics["alone"] = Metric.of(properties), properties["Statistic"]
        periods: int = properties["EvaluationPeriods"]
        return cls(
            name,
            metrics,
            expression,
            period,
            periods,
            properties.get("DatapointsToAlarm", periods),
            properties["Threshold"],
            properties["ComparisonOperator"],
        )

    @property
    def moved(self) -> str | None:
        """Of an alarm on silence: the id of what moves while somebody hears nothing."""
        found = re.match(r"IF\(FILL\((\w+), 0\) > 0 AND ", self.expression)
        return found and found[1]

    def rings(self, series: Series, until: float) -> bool:
        """Whether it goes to ALARM at the end of some period."""
        values: dict[int, dict[str, float]] = defaultdict(dict)
        for name, (metric, statistic) in self.metrics.items():
            points = defaultdict(list)
            for at, value in series.points.get(metric, ()):
                points[int(at // self.period)].append(value)
            for number, found in points.items():
                values[number][name] = _STATISTICS[statistic](found)
        breaching = [self._breaches(values[number]) for number in range(int(until // self.period))]
        return any(self.alarms(breaching[:end]) for end in range(1, len(breaching) + 1))

    def alarms(self, breaching: Sequence[bool | None]) -> bool:
        """Whether it is in ALARM after these data points, of which None is missing and fills up as not breaching."""
        there = [each for each in breaching[-self.periods - _MORE :] if each is not None]
        return sum(there[-self.periods :]) >= self.to_alarm

    def _breaches(self, given: Mapping[str, float]) -> bool | None:
        value = _computed(self.expression, {name: given.get(name) for name in self.metrics})
        return None if value is None else _COMPARISONS[self.comparison](value, self.threshold)


#: Data points that CloudWatch looks for beyond an alarm's periods, in its guide's examples.
_MORE: Final = 2
_STATISTICS: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {"Sum": sum, "Maximum": max}
_COMPARISONS: Final = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
}


def _computed(expression: str, values: Mapping[str, float | None]) -> float | None:
    there = [value for value in values.values() if value is not None]

    def metrics() -> Sequence[float]:
        return there

    functions: dict[str, Any] = {
        "IF": lambda condition, then, otherwise: then if condition else otherwise,
        "FILL": lambda value, default: default if value is None else value,
        "MIN": min,
        "MAX": lambda found: max(found, default=None),
        "SUM": lambda found: sum(found) if found else None,
        "METRICS": metrics,
    }
    python = expression.replace(" AND ", " and ").replace(" OR ", " or ")
    result: float | None = eval(python, {"__builtins__": {}}, {**functions, **values})  # the template's own
    return result


def _named(node: Any) -> str:
    match node:
        case {"Ref": str(name)} | {"Fn::Sub": str(name)} | {"Fn::GetAtt": [str(name), _]}:
            return name
    return str(node)
