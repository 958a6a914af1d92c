"""DuckDB for a test's own look at things.

Imported late: Hypothesis keeps test modules beyond the interpreter's end, and DuckDB complains there if it is in one.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def engine() -> "DuckDBPyConnection":
    """A connection to a database in memory, for a ``with``."""
    import duckdb

    return duckdb.connect()


def refusal() -> type[Exception]:
    """What DuckDB raises."""
    import duckdb

    return duckdb.Error
