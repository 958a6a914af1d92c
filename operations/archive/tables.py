"""The archive's tables as Athena has them: where their objects lie, and their columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from headwater.archive import curated
from headwater.archive.inventory import Names
from operations.archive import athena_sql

#: The first day, and month, that the tables know; nothing was archived before.
FIRST_DAY: Final = "2025-01-01"


class Format(Enum):
    """What a table's objects are, with their names. Nothing else becomes a file: a key is somebody's text."""

    RAW = Names.RAW
    CURATED = Names.CURATED
    BOUNDARY = Names.PUBLISHED

    @property
    def names(self) -> Names:
        return self.value


@dataclass(frozen=True, slots=True)
class Table:
    """``columns`` and ``partitions``: name → Hive type. ``location``: the template of a partition's keys."""

    name: str
    about: str
    format: Format
    prefix: str
    location: str
    columns: Mapping[str, str]
    partitions: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_columns(self) -> dict[str, str]:
        return {**self.columns, **self.partitions}

    @property
    def athena_types(self) -> dict[str, str]:
        return {name: athena_sql.athena_type(kind) for name, kind in self.all_columns.items()}


def _raw(source: str) -> Table:
    return Table(
        f"{source}_raw",
        f"A line per change of the {source} table, as archived. A line may occur twice; count distinct ids.",
        Format.RAW,
        curated.raw_prefix(source),
        "raw/source=${source}/dt=${dt}/",
        curated.LINE,
        {"source": "string", "dt": "string"},
    )


def _curated(source: str) -> Table:
    return Table(
        source,
        f"The compacted days of the {source} table's changes, each once. Days that are in curated_days, and no others.",
        Format.CURATED,
        curated.prefix(source),
        "curated/source=${source}/month=${month}/",
        curated.ROW,
        {"source": "string", "month": "string"},
    )


_BOUNDARY: Final = Table(
    "curated_days",
    "The published list of compacted days; what is not in it is read from raw.",
    Format.BOUNDARY,
    "curated-days/",
    "curated-days/",
    {"source": "string", "dt": "string", "records": "bigint", "published_at": "string"},
)

#: By name.
TABLES: Final = {
    table.name: table
    for table in (
        *(_raw(source) for source in curated.SOURCES),
        *(_curated(source) for source in curated.SOURCES),
        _BOUNDARY,
    )
}
