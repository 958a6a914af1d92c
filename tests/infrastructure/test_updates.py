"""An update from the last version keeps what holds data, messages or a place in a stream."""

from collections.abc import Callable
from copy import deepcopy

import pytest

from tests.infrastructure import expansion
from tests.infrastructure.expansion import RELEASED, Node
from tests.infrastructure.updates import RETAINED, Change, changes

#: Read from EventsStream itself, the export meets its mapping's beginning again, and passes over what it has.
#: `EnhancedFanOut=true` keeps the mapping.
EXPECTED = [Change("BiExportFunctionEventsStream", "AWS::Lambda::EventSourceMapping", "replaced")]


@pytest.fixture(scope="module")
def released() -> Node:
    template = expansion.expanded(RELEASED)
    return {**template, "Resources": expansion.looked_up(template["Resources"], template)}


def test_nothing_that_holds_something_is_replaced_or_removed_unforeseen(released: Node, expanded: Node) -> None:
    assert list(changes(released, expanded)) == EXPECTED
    assert [change for change in EXPECTED if change.kind in RETAINED] == []


def key(resource: Node) -> None:
    resource["Properties"]["KeySchema"] = [{"AttributeName": "id", "KeyType": "HASH"}]


def named(resource: Node) -> None:
    resource["Properties"]["TableName"] = "events"


def conditional(resource: Node) -> None:
    resource["Condition"] = "HasNotices"


def of_another_type(resource: Node) -> None:
    resource["Type"] = "AWS::DynamoDB::GlobalTable"


@pytest.mark.parametrize(
    ("spoil", "fate"), [(key, "replaced"), (named, "replaced"), (conditional, "removed"), (of_another_type, "removed")]
)
def test_a_template_that_would_replace_a_table_is_told(
    expanded: Node, spoil: Callable[[Node], None], fate: str
) -> None:
    spoiled = deepcopy(expanded)
    spoil(spoiled["Resources"]["EventsTable"])

    assert [(change.name, change.fate) for change in changes(expanded, spoiled)] == [("EventsTable", fate)]


def test_a_template_that_has_lost_a_bucket_is_told(expanded: Node) -> None:
    lost = {**expanded, "Resources": {**expanded["Resources"]}}
    del lost["Resources"]["ArchiveBucket"]

    assert list(changes(expanded, lost)) == [Change("ArchiveBucket", "AWS::S3::Bucket", "removed")]
