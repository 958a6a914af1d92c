"""Both templates can be deployed at the first try, and a second time beside themselves."""

from pathlib import Path

import pytest

from tests.infrastructure import expansion
from tests.infrastructure.deployable import RULES, Rule
from tests.infrastructure.expansion import RECEIVER, TEMPLATE

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


def test_each_broken_template_is_of_a_rule() -> None:
    assert {path.stem for path in BROKEN.glob("*.yaml")} == set(map(named, RULES))
