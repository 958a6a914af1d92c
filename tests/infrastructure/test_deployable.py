"""Both templates can be deployed at the first try, and a second time beside themselves."""

import json
from pathlib import Path

import pytest

from tests.infrastructure import expansion
from tests.infrastructure.deployable import RULES, Rule
from tests.infrastructure.expansion import PROJECT, RECEIVER, TEMPLATE
from tests.infrastructure.test_template import as_list

BROKEN = Path(__file__).parent / "broken"


def named(rule: Rule) -> str:
    return rule.__name__


@pytest.mark.parametrize("path", [TEMPLATE, RECEIVER], ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", RULES, ids=named)
def test_the_template_holds_the_rule(rule: Rule, path: Path) -> None:
    assert list(rule(expansion.expanded(path))) == []


@pytest.mark.parametrize("rule", RULES, ids=named)
def test_a_template_that_breaks_the_rule_is_told(rule: Rule) -> None:
    """`broken/` has one for each rule, which breaks it and no other."""
    template = expansion.raw(BROKEN / f"{rule.__name__}.yaml")

    broken = {each.__name__: list(each(template)) for each in RULES}

    assert {name for name, problems in broken.items() if problems} == {rule.__name__}


#: The prefix of a service's actions, where it is not its name in resource types.
PREFIXES = {"apigatewayv2": "apigateway", "stepfunctions": "states"}


def test_the_deployers_policy_covers_each_service_that_the_templates_have() -> None:
    policy = json.loads((PROJECT / "docs" / "deployer-policy.json").read_text(encoding="utf-8"))
    actions = {action for statement in policy["Statement"] for action in as_list(statement["Action"])}
    types = {
        resource["Type"] for path in (TEMPLATE, RECEIVER) for resource in expansion.expanded(path)["Resources"].values()
    }
    services = {type_.split("::")[1].lower() for type_ in types} - {"iam"}

    # The uploaded code and templates lie in a bucket, which SAM CLI makes by a stack of its own.
    assert {f"{PREFIXES.get(service, service)}:*" for service in services} | {"cloudformation:*"} == {
        action for action in actions if action.endswith(":*")
    }
    # AttachRolePolicy and PassRole are what roles take; the access log's delivery needs a role of the service's own.
    assert {"iam:PassRole", "iam:AttachRolePolicy", "iam:CreatePolicy", "iam:CreateServiceLinkedRole"} <= actions


def test_each_broken_template_is_of_a_rule() -> None:
    assert {path.stem for path in BROKEN.glob("*.yaml")} == set(map(named, RULES))
