"""What the wiring writes, each thing taken away in turn: a rule of `make check` must notice.

That the template is as the wiring writes it is another test's; here the wiring itself is wrong.
"""

import copy
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pytest

from cli.wiring.declared import TEMPLATE
from cli.wiring.regions import inside
from tests.infrastructure import expansion, test_alarms, test_rights, test_template
from tests.infrastructure.alarms import Alarm
from tests.infrastructure.expansion import Node
from tests.infrastructure.iam import Call, denied
from tests.simulation.recorded_calls import recorded

#: Hundreds of templates, each held to all rules.
pytestmark = pytest.mark.slow

#: From a template's resources to the one thing that is taken out.
type Path = tuple[str | int, ...]

RECEIVER: Final = expansion.raw(expansion.RECEIVER)["Resources"]
ALARMS: Final = test_alarms.alarm_nodes()
TEXT: Final = TEMPLATE.read_text("utf-8")
RAW: Final = expansion.raw()
EXPANDED: Final = expansion.expanded()
WRITTEN: Final = [name for name in RAW["Resources"] if any(f"\n  {name}:\n" in text for text in inside(TEXT).values())]


def removals() -> Iterator[Path]:
    for name in WRITTEN:
        resource = RAW["Resources"][name]
        match resource["Type"]:
            case "AWS::CloudWatch::Alarm":
                yield (name,)
                for number, metric in enumerate(resource["Properties"].get("Metrics", [])):
                    if metric["Id"] != "rings":
                        yield name, "Properties", "Metrics", number
            case "AWS::SNS::Subscription":
                yield (name,)
                if "FilterPolicy" not in resource["Properties"]:
                    continue
                yield name, "Properties", "FilterPolicy"
                for number, _ in enumerate(resource["Properties"]["FilterPolicy"]["type"]):
                    yield name, "Properties", "FilterPolicy", "type", number
            case "AWS::IAM::Role":
                yield from _of_policy((name, "Properties", "Policies", 0, "PolicyDocument"))
            case "AWS::IAM::ManagedPolicy":
                yield from _of_policy((name, "Properties", "PolicyDocument"))


def _of_policy(path: Path) -> Iterator[Path]:
    for number, statement in enumerate(_at(RAW["Resources"], path)["Statement"]):
        here = (*path, "Statement", number)
        yield here
        keys = ("Condition", "ForAllValues:StringLike", "dynamodb:LeadingKeys")
        lists = [("Action",), ("Resource",), *([keys] if keys[1] in statement.get("Condition", {}) else [])]
        for each in lists:
            listed = _at(statement, each)
            # One that stands alone is the whole statement.
            for index, _ in enumerate(listed if isinstance(listed, list) and len(listed) > 1 else ()):
                yield *here, *each, index


def _at(node: Any, path: Path) -> Any:
    for each in path:
        node = node[each]
    return node


def named(path: Path) -> str:
    """The path with what a statement or a metric calls itself, and what is at its end."""
    words: list[str] = []
    node: Any = RAW["Resources"]
    for each in path:
        node = node[each]
        if isinstance(node, dict) and (own := node.get("Sid") or node.get("Id")):
            words.append(own)
    return " ".join([str(path[0]), *words, *([] if isinstance(node, dict) else [str(node)[:60]])])


def rules(template: Node, expanded: Node) -> Iterator[tuple[str, Callable[[], object]]]:
    """The rules of templates, each ready to be asked of these."""
    given = {"template": template, "expanded": expanded}
    for module in (test_template, test_rights, test_alarms):
        for name, rule in vars(module).items():
            if not name.startswith("test_") or getattr(rule, "__module__", "") != module.__name__:
                continue
            marks = [mark for mark in getattr(rule, "pytestmark", []) if mark.name == "parametrize"]
            if module is test_alarms and marks:
                # Asked of each alarm that there is: of one that is gone nobody would ask.
                continue
            parameters = set(inspect.signature(rule).parameters)
            for values in _cases(marks):
                arguments = {each: given[each] for each in given if each in parameters} | values
                if arguments.keys() == parameters:
                    yield name, partial(rule, **arguments)


def _cases(marks: list[Any]) -> Iterator[dict[str, Any]]:
    if not marks:
        yield {}
    for mark in marks:
        names, cases = mark.args
        names = [each.strip() for each in names.split(",")] if isinstance(names, str) else list(names)
        for case in cases:
            yield dict(zip(names, case if len(names) > 1 else [case], strict=True))


@pytest.fixture(scope="module")
def calls() -> frozenset[Call]:
    return recorded()


def noticed(template: Node, expanded: Node, calls: frozenset[Call]) -> list[str]:
    """What is amiss with a template: the rules that it breaks, and the calls that its roles deny."""
    expanded = {**expanded, "Resources": expansion.looked_up(expanded["Resources"], expanded)}
    nodes = {name: each for name, each in expanded["Resources"].items() if each["Type"] == "AWS::CloudWatch::Alarm"}
    nodes |= {name: each for name, each in ALARMS.items() if name.startswith("receiver.")}
    alarms = {name: Alarm.of(name, node["Properties"]) for name, node in nodes.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_alarms, "alarm_nodes", lambda: nodes)
        patch.setattr(test_alarms, "alarms", lambda: alarms)
        broken = [name for name, rule in rules(template, expanded) if _is_broken(rule)]
    return [*broken, *map(str, denied({**RECEIVER, **template["Resources"]}, calls))]


@pytest.mark.parametrize("path", list(removals()), ids=named)
def test_what_is_taken_away_is_noticed(path: Path, calls: frozenset[Call]) -> None:
    template, expanded = copy.deepcopy(RAW), copy.deepcopy(EXPANDED)
    for each in (template, expanded):
        del _at(each["Resources"], path[:-1])[path[-1]]

    assert noticed(template, expanded, calls), f"nobody misses {named(path)}"


def test_nothing_is_noticed_where_nothing_is_taken_away(calls: frozenset[Call]) -> None:
    """Or the test above would prove nothing."""
    assert noticed(RAW, EXPANDED, calls) == []


def _is_broken(rule: Callable[[], object]) -> bool:
    try:
        rule()
    except Exception:  # noqa: BLE001  # a rule that cannot even be asked has noticed, too
        return True
    return False
