"""The stack's tables, for integration tests under moto, with the keys that template.yaml gives them."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devstack.template import Template

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: Tests' names for the template's tables.
_TABLES = {
    "events": "EventsTable",
    "credentials": "CredentialsTable",
    "read_models": "ReadModelsTable",
    "ledger": "LedgerTable",
    "preferences": "PreferencesTable",
    "applications": "ApplicationsTable",
}
#: Those of the account domain.
_RECEIVER_TABLES = {"tracking": "TrackingTable"}


def create_tables(client: "DynamoDBClient") -> None:
    """Creates events, credentials, read_models, ledger, preferences and applications."""
    _create(client, "template.yaml", _TABLES)


def create_receiver_tables(client: "DynamoDBClient") -> None:
    """Creates tracking."""
    _create(client, "receiver.yaml", _RECEIVER_TABLES)


@cache
def _resources(template: str) -> Any:
    return Template.load(Path(__file__).parents[2] / template).document["Resources"]


def _create(client: "DynamoDBClient", template: str, tables: Mapping[str, str]) -> None:
    resources = _resources(template)
    for name, logical_id in tables.items():
        properties = resources[logical_id]["Properties"]
        shape = ("KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes", "BillingMode")
        client.create_table(TableName=name, **{key: properties[key] for key in shape if key in properties})
