"""The analysts' tables, views and saved queries in the template, and the list of queries in the docs.

The sources are `operations/archive/tables.py` and `analytics/`.

A view is a Glue table whose text is the JSON that Athena itself writes for CREATE VIEW, in base64. CloudFormation
encodes it when it deploys: so the template shows SQL that people can read, and the database's name can be a parameter.
"""

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from cli.wiring.regions import Writer
from headwater.application import logical_id
from operations.archive import athena_sql, saved_sql
from operations.archive.saved_sql import SavedQuery, View
from operations.archive.tables import FIRST_DAY, TABLES, Format, Table

_WIDTH: Final = 120

_JSON: Final = (
    "org.apache.hadoop.mapred.TextInputFormat",
    "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
    "org.apache.hive.hcatalog.data.JsonSerDe",
)
#: Athena refuses a table without the list, be it empty.
_UNPARTITIONED: Final = "        PartitionKeys: []"
_PARQUET: Final = (
    "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
)
_REASONS: Final = {
    Format.RAW: "Lines as archived. The Hive JSON SerDe fails on a malformed one; the archiver writes none, whatever "
    "it is given.",
    Format.CURATED: "Compacted days. Rows of a day count only where curated_days lists it: the views see to that.",
    Format.BOUNDARY: "A line a compacted day, published after its objects; so small that each query may read it whole.",
}
#: Projected partitions: a date in this format, from the first day on, by this unit.
_DATES: Final = {"dt": ("yyyy-MM-dd", FIRST_DAY, "DAYS"), "month": ("yyyy-MM", FIRST_DAY[:7], "MONTHS")}
_ABOUT_PARTITIONS: Final = {
    "source": "The table that the change came from",
    "dt": "The UTC day of captured_at, YYYY-MM-DD",
    "month": "The month of dt, YYYY-MM",
}


def resources() -> str:
    """The tables, views and saved queries, for the template."""
    return "".join(f"{line}\n" if line else "\n" for line in _resources())


def page_writers() -> Mapping[str, Writer]:
    """What writes the regions of the analysts' page."""
    return {"queries": lambda: "".join(f"{line}\n" for line in _queries_listed())}


def _resources() -> Iterator[str]:
    views = saved_sql.views()
    about = {column.name: column.about for column in views["events_all"].columns}
    for table in TABLES.values():
        yield from _table(table, about)
        yield ""
    for view in views.values():
        yield from _view(view)
        yield ""
    for number, query in enumerate(saved_sql.queries().values()):
        yield from [""] if number else []
        yield from _query(query)


def _table(table: Table, about: Mapping[str, str]) -> Iterator[str]:
    source = table.partitions and table.prefix.partition("=")[2].rstrip("/")
    yield from _comment(_REASONS[table.format])
    # `events` is a name that the events table's own resource has already.
    yield f"  {logical_id(table.name)}{'CuratedTable' if table.format is Format.CURATED else 'Table'}:"
    yield from _head("AWS::Glue::Table")
    yield "      DatabaseName: !Ref AnalyticsDatabase"
    yield "      TableInput:"
    yield f"        Name: {table.name}"
    yield f"        Description: {_text(table.about)}"
    yield "        TableType: EXTERNAL_TABLE"
    yield "        Parameters:"
    yield f"          classification: {'parquet' if table.format is Format.CURATED else 'json'}"
    if table.partitions:
        # Computed from the query and never registered: no crawler runs and no day can be missing.
        yield '          projection.enabled: "true"'
    for name in table.partitions:
        if name in _DATES:
            form, first, unit = _DATES[name]
            yield f"          projection.{name}.type: date"
            yield f"          projection.{name}.format: {form}"
            yield f"          projection.{name}.range: {first},NOW"
            yield f'          projection.{name}.interval: "1"'
            yield f"          projection.{name}.interval.unit: {unit}"
        else:
            yield f"          projection.{name}.type: enum"
            yield f"          projection.{name}.values: {source}"
    if table.partitions:
        location = table.location.replace("${", "${!")
        yield f"          storage.location.template: !Sub s3://${{ArchiveBucket}}/{location}"
        yield "        PartitionKeys:"
        yield from _columns(table.partitions, _ABOUT_PARTITIONS, 10)
    else:
        yield _UNPARTITIONED
    yield "        StorageDescriptor:"
    yield f"          Location: !Sub s3://${{ArchiveBucket}}/{table.prefix}"
    reads, writes, serde = _PARQUET if table.format is Format.CURATED else _JSON
    yield f"          InputFormat: {reads}"
    yield f"          OutputFormat: {writes}"
    yield "          SerdeInfo:"
    yield f"            SerializationLibrary: {serde}"
    yield "          Columns:"
    yield from _columns(table.columns, about, 12)


def _view(view: View) -> Iterator[str]:
    yield from _comment(f"{view.about} (analytics/views/{view.name}.sql)")
    yield f"  {logical_id(view.name)}View:"
    yield from _head("AWS::Glue::Table")
    yield "      DatabaseName: !Ref AnalyticsDatabase"
    yield "      TableInput:"
    yield f"        Name: {view.name}"
    yield f"        Description: {_text(f'{view.title}. {view.about}')}"
    yield "        TableType: VIRTUAL_VIEW"
    yield '        Parameters: {presto_view: "true", comment: Presto View}'
    yield "        ViewExpandedText: /* Presto View */"
    yield "        ViewOriginalText: !Join"
    yield '          - ""'
    yield '          - - "/* Presto View: "'
    yield "            - Fn::Base64: !Sub >-"
    yield from _folded(definition(view, "${AnalyticsDatabase}"), 16)
    yield '            - " */"'
    yield _UNPARTITIONED
    yield "        StorageDescriptor:"
    # Athena refuses a view of which the catalog has no SerDe at all, though it uses none.
    yield '          SerdeInfo: {Name: "-", SerializationLibrary: "-"}'
    yield "          Columns:"
    yield from _columns(
        {column.name: column.type for column in view.columns}, {each.name: each.about for each in view.columns}, 12
    )


def definition(view: View, database: str) -> str:
    """What Athena keeps of a view, as JSON."""
    columns = [{"name": each.name, "type": athena_sql.athena_type(each.type)} for each in view.columns]
    return json.dumps(
        {"originalSql": one_line(view.sql), "catalog": "awsdatacatalog", "schema": database, "columns": columns}
    )


def one_line(sql: str) -> str:
    """The SQL without its comments, in one line."""
    kept = [line.strip() for line in sql.splitlines() if not line.strip().startswith("--")]
    return " ".join(" ".join(kept).split())


def _query(query: SavedQuery) -> Iterator[str]:
    yield from _comment(f"Reads {query.cost} (analytics/queries/{query.name}.sql).")
    yield f"  {logical_id(query.name.replace('-', '_'))}Query:"
    yield "    Type: AWS::Athena::NamedQuery"
    yield "    Condition: IsAws"
    yield "    Properties:"
    yield f"      Name: {_text(query.title)}"
    yield f"      Description: {_text(query.about)}"
    yield "      Database: !Ref AnalyticsDatabase"
    yield "      WorkGroup: !Ref AnalyticsWorkGroup"
    yield "      QueryString: |"
    for each in query.parameters:
        edited = each.literal(each.default)
        yield from (f"        {line}" for line in textwrap.wrap(f"-- {edited}: {each.about}", _WIDTH - 8))
    yield from (f"        {line}" if line else "" for line in query.sql().rstrip().splitlines())


def _comment(text: str) -> Iterator[str]:
    return (f"  # {line}" for line in textwrap.wrap(text, _WIDTH - 4, break_on_hyphens=False))


def _head(kind: str) -> Iterator[str]:
    yield f"    Type: {kind}"
    yield "    Properties:"
    yield "      CatalogId: !Ref AWS::AccountId"


def _columns(columns: Mapping[str, str], about: Mapping[str, str], indent: int) -> Iterator[str]:
    for name, kind in columns.items():
        comment = f", Comment: {_text(about[name])}" if name in about else ""
        yield f"{' ' * indent}- {{Name: {name}, Type: {kind}{comment}}}"


def _folded(text: str, indent: int) -> Iterator[str]:
    """Lines that YAML folds into the same text again: broken at single spaces, all at one depth."""
    margin = " " * indent
    return (
        margin + line for line in textwrap.wrap(text, _WIDTH - indent, break_long_words=False, break_on_hyphens=False)
    )


def _text(text: str) -> str:
    """As YAML, quoted always: a colon or a comma of a sentence would end it."""
    return json.dumps(text, ensure_ascii=False)


def _queries_listed() -> Iterable[str]:
    yield "| query | answers | reads |"
    yield "|---|---|---|"
    for query in saved_sql.queries().values():
        parameters = ", ".join(f"`{each.name}`" for each in query.parameters)
        name = f"`{query.name}`" + (f" ({parameters})" if parameters else "")
        yield f"| {name} | {query.about} | {query.cost} |"
