"""Tables, views and saved queries as deployed: Athena can read them, and they say what the sources say."""

import base64
import json
import re
from typing import Final

import pytest
import sqlglot
from sqlglot import exp

from headwater.archive import envelope
from headwater.archive.archiver import Archiver
from operations.archive import athena_sql, saved_sql
from operations.archive.tables import TABLES, Format
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.object_store import InMemoryObjectStore
from tests.fakes.stream_records import play_records
from tests.infrastructure.expansion import PROJECT, Node

UNREADABLE: Final = {"eventID": "1", "eventName": "INSERT", "dynamodb": "not an object"}
DATABASE: Final = "analysts"


def table_inputs(template: Node) -> dict[str, Node]:
    """Glue's tables and views by their name in queries."""
    found = (
        resource["Properties"]["TableInput"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Glue::Table"
    )
    return {table["Name"]: table for table in found}


def columns(table: Node) -> dict[str, str]:
    return {column["Name"]: column["Type"] for column in table["StorageDescriptor"]["Columns"]}


def location(value: Node) -> str:
    """An Fn::Sub of the bucket alone, in which ${!x} stands for ${x}."""
    text: str = value["Fn::Sub"]
    return text.replace("${ArchiveBucket}", "archive").replace("${!", "${")


def view_text(table: Node) -> str:
    """As CloudFormation gives it to Glue."""
    ((separator, parts),) = table["ViewOriginalText"].values()
    before, encoded, after = parts
    plain = encoded["Fn::Base64"]["Fn::Sub"].replace("${AnalyticsDatabase}", DATABASE)
    return str(separator.join([before, base64.b64encode(plain.encode()).decode(), after]))


def test_every_column_of_a_line_is_a_column_of_the_raw_tables(template: Node) -> None:
    # Given lines of the fixture's records and of one that cannot be read
    records = json.loads((PROJECT / "events" / "ArchiverFunction.json").read_text(encoding="utf-8"))["Records"]
    written = {column for record in [*records, UNREADABLE] for column in envelope.line(record)[0]}

    assert {"payload", "parse_error", "raw_record"} <= written
    for source in ("events", "applications"):
        assert written <= columns(table_inputs(template)[f"{source}_raw"]).keys()


@pytest.mark.parametrize("name", [table.name for table in TABLES.values() if table.partitions])
def test_a_projected_partition_is_where_objects_are_written(template: Node, name: str) -> None:
    table = TABLES[name]
    deployed = table_inputs(template)[table.name]
    parameters = deployed["Parameters"]
    source = table.name.removesuffix("_raw")
    # Given a key as its writer makes it
    if table.format is Format.RAW:
        store = InMemoryObjectStore()
        Archiver(store, RecordedIncidents(), source=source).archive(play_records(1, 1, at="2026-02-28T23:59:59Z"))
        (key,) = store.objects
    else:
        key = f"curated/source={source}/month=2026-02/2026-02-28.parquet"
    values = {"source": source, "dt": "2026-02-28", "month": "2026-02"}

    # Then the partition's values are in the projected ranges, and the template of its place gives the key's folder
    assert {each["Name"] for each in deployed["PartitionKeys"]} == table.partitions.keys()
    assert parameters["projection.enabled"] == "true"
    for partition in table.partitions:
        if parameters[f"projection.{partition}.type"] == "enum":
            assert values[partition] in parameters[f"projection.{partition}.values"].split(",")
            continue
        assert parameters[f"projection.{partition}.type"] == "date"
        assert parameters[f"projection.{partition}.format"] == {"dt": "yyyy-MM-dd", "month": "yyyy-MM"}[partition]
        assert parameters[f"projection.{partition}.interval"] == "1"
        assert parameters[f"projection.{partition}.interval.unit"] == {"dt": "DAYS", "month": "MONTHS"}[partition]
        first, last = parameters[f"projection.{partition}.range"].split(",")
        assert first <= values[partition]
        # Today's partition is read today.
        assert last == "NOW"
    place = location(parameters["storage.location.template"])
    for partition, value in values.items():
        place = place.replace(f"${{{partition}}}", value)
    assert "$" not in place
    assert f"s3://archive/{key}".rpartition("/")[0] + "/" == place
    assert place.startswith(location(deployed["StorageDescriptor"]["Location"]))
    assert table.format.names.owns(key)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_the_reader_that_its_objects_need(template: Node, name: str) -> None:
    deployed = table_inputs(template)[name]
    serde = deployed["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"]

    assert deployed["TableType"] == "EXTERNAL_TABLE"
    assert serde.endswith("ParquetHiveSerDe" if TABLES[name].format is Format.CURATED else "hcatalog.data.JsonSerDe")
    assert columns(deployed) == TABLES[name].columns


def test_names_and_comments_are_such_as_glue_takes(template: Node) -> None:
    """TableInput and Column, Glue API reference."""
    for name, table in table_inputs(template).items():
        assert re.fullmatch(r"[a-z][a-z_]*", name)
        assert len(table["Description"]) <= 2048
        listed = [*table["StorageDescriptor"]["Columns"], *table.get("PartitionKeys", [])]
        assert all(len(column.get("Comment", "")) <= 255 for column in listed)
        assert len({column["Name"] for column in listed}) == len(listed)


@pytest.mark.parametrize("name", saved_sql.views())
def test_a_view_is_one_that_athena_can_read(template: Node, name: str) -> None:
    view = saved_sql.views()[name]
    deployed = table_inputs(template)[name]
    encoded = re.fullmatch(r"/\* Presto View: ([A-Za-z0-9+/=]+) \*/", view_text(deployed))
    assert encoded is not None
    definition = json.loads(base64.b64decode(encoded[1]))

    assert deployed["TableType"] == "VIRTUAL_VIEW"
    assert deployed["Parameters"]["presto_view"] == "true"
    # HIVE_METASTORE_ERROR otherwise: "Table storage descriptor is missing SerDe info".
    assert deployed["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"]
    assert (definition["catalog"], definition["schema"]) == ("awsdatacatalog", DATABASE)
    # Column by column, in order, under each engine's name of the type, and in the order of the SELECT.
    assert columns(deployed) == {column.name: column.type for column in view.columns}
    assert definition["columns"] == [
        {"name": column.name, "type": athena_sql.athena_type(column.type)} for column in view.columns
    ]
    query = athena_sql.select(definition["originalSql"])
    assert query.named_selects == [column.name for column in view.columns]
    assert query == athena_sql.select(view.sql)
    # A name's database is where the view is.
    assert {(table.db, table.catalog) for table in query.find_all(exp.Table)} == {("", "")}


@pytest.mark.parametrize("name", saved_sql.queries())
def test_a_saved_query_is_deployed_and_parses_as_athenas_sql(template: Node, name: str) -> None:
    query = saved_sql.queries()[name]
    (deployed,) = (
        resource["Properties"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Athena::NamedQuery" and resource["Properties"]["Name"] == query.title
    )

    (tree,) = sqlglot.parse(deployed["QueryString"], read="athena")
    assert tree == athena_sql.select(query.sql())
    assert athena_sql.tables(tree) <= TABLES.keys() | saved_sql.views().keys()
    assert not query.chart or {query.chart.x, query.chart.y} <= set(tree.named_selects)
    # Athena's limits (CreateNamedQuery, API reference).
    assert len(deployed["Name"]) <= 128
    assert len(deployed["Description"]) <= 1024
    assert len(deployed["QueryString"]) <= 262_144


@pytest.mark.parametrize("name", saved_sql.queries())
def test_a_saved_query_reads_partitions_and_not_the_bucket(name: str) -> None:
    saved = saved_sql.queries()[name]
    query = athena_sql.select(saved.sql())
    filtered = {column.name for where in query.find_all(exp.Where) for column in where.find_all(exp.Column)}

    # Raw has no months. Whoever wants to know who is new, or stuck, needs all days, and says so.
    asked = {"dt"} if name == "duplicates" else {"dt", "month"}
    assert asked & filtered == (set() if saved.cost.endswith("all days") else asked)


def test_at_least_a_dozen_and_two_questions_are_answered() -> None:
    assert len(saved_sql.queries()) >= 14


def test_queries_are_bounded_and_their_answers_encrypted_and_gone_in_time(template: Node) -> None:
    resources = template["Resources"]
    settings = resources["AnalyticsWorkGroup"]["Properties"]["WorkGroupConfiguration"]

    assert settings["EnforceWorkGroupConfiguration"] is True
    assert 10_000_000 <= settings["BytesScannedCutoffPerQuery"] <= 2**40
    assert settings["EngineVersion"]["SelectedEngineVersion"] == "Athena engine version 3"
    assert settings["ResultConfiguration"]["EncryptionConfiguration"]["EncryptionOption"] == "SSE_S3"
    (rule,) = resources["QueryResultsBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert rule["Status"] == "Enabled"
    assert rule["ExpirationInDays"] <= 30


def test_raw_grows_cheaper_and_stays_readable(template: Node) -> None:
    rules = template["Resources"]["ArchiveBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    (raw,) = (rule for rule in rules if rule.get("Prefix") == "raw/")

    # Athena skips objects in the archive classes that have to be restored first.
    assert {each["StorageClass"] for each in raw["Transitions"]} <= {"STANDARD_IA", "GLACIER_IR", "INTELLIGENT_TIERING"}
    # S3 demands 30 days before the first, and the audit trail never expires.
    assert min(each["TransitionInDays"] for each in raw["Transitions"]) >= 30
    assert not [
        rule for rule in rules if "ExpirationInDays" in rule and rule.get("Prefix", "") in ("", "raw/", "curated/")
    ]
