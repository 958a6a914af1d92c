"""Athena's table and the archiver's lines name the same columns: one that only a line has is read by no query."""

import json

from headwater.archive import envelope
from tests.infrastructure.expansion import PROJECT, Node

UNREADABLE = {"eventID": "1", "eventName": "INSERT", "dynamodb": "not an object"}


def test_every_column_of_a_line_is_a_column_of_the_table(template: Node) -> None:
    # Given lines of the fixture's records and of one that cannot be read
    records = json.loads((PROJECT / "events" / "ArchiverFunction.json").read_text(encoding="utf-8"))["Records"]
    written = {column for record in [*records, UNREADABLE] for column in json.loads(envelope.line(record)[0])}

    # Then the table has them all
    table = template["Resources"]["EventsRawTable"]["Properties"]["TableInput"]["StorageDescriptor"]
    assert {"payload", "parse_error", "raw_record"} <= written
    assert written <= {column["Name"] for column in table["Columns"]}
