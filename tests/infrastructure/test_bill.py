"""What the stacks cost at rest, and that docs/deploying.md says so."""

from typing import Final

import pytest

from tests.infrastructure import bill, expansion
from tests.infrastructure.bill import Item
from tests.infrastructure.expansion import PROJECT, RECEIVER, TEMPLATE

#: Settings by the columns of the table in docs/deploying.md.
SETTINGS: Final[dict[str, dict[str, str]]] = {
    "smallest": {"Notices": "false"},
    "default": {},
    "prod": {"EventsStreamMode": "ON_DEMAND", "EventsStreamRetentionHours": "168", "EnhancedFanOut": "true"},
}
BOUNDS: Final = {"smallest": 20.0, "default": 30.0}


def items(setting: str) -> list[Item]:
    templates = [expansion.expanded(path) for path in (TEMPLATE, RECEIVER)]
    return list(bill.bill(templates, **SETTINGS[setting]))


@pytest.mark.parametrize("setting", BOUNDS)
def test_it_stays_below_its_bound(setting: str) -> None:
    assert 0 < sum(item.dollars for item in items(setting)) < BOUNDS[setting]


def test_a_week_and_a_connection_of_its_own_are_paid_by_the_shard() -> None:
    templates = [expansion.expanded(path) for path in (TEMPLATE, RECEIVER)]

    def total(**parameters: str) -> float:
        return sum(item.dollars for item in bill.bill(templates, **parameters))

    week = total(EventsStreamRetentionHours="168") - total()
    own = total(EnhancedFanOut="true") - total()
    assert (round(week, 2), round(own, 2)) == (14.6, 10.95)


def test_the_guide_says_what_it_costs() -> None:
    bills = {setting: {item.component: item for item in items(setting)} for setting in SETTINGS}
    components = list(dict.fromkeys(name for found in bills.values() for name in found))
    rows = []
    for name in components:
        costs = [f"{found[name].dollars:.2f}" if name in found else "-" for found in bills.values()]
        whys = dict.fromkeys(found[name].why for found in bills.values() if name in found)
        rows.append(f"| {name} | {' | '.join(costs)} | {'; '.join(whys)} |")
    totals = [f"**{sum(item.dollars for item in found.values()):.2f}**" for found in bills.values()]
    rows.append(f"| **together** | {' | '.join(totals)} | |")
    text = (PROJECT / "docs" / "deploying.md").read_text(encoding="utf-8")

    assert [row for row in rows if row not in text] == []
    assert f"prices of {bill.PRICES_OF}" in text
