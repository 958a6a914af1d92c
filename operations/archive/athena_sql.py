"""Athena's SQL for DuckDB: one SELECT, translated where both engines are known to answer the same.

Athena (Trino) and DuckDB agree on most of SQL and differ in places that nobody sees: ``date_diff`` counts whole units
there and boundaries here, ``greatest`` keeps or drops NULL, 7.5 becomes 8 or 7. So nothing is taken over unseen. Each
piece of a query is on one of the lists below, which say how it is written in DuckDB, or is refused by name.

Three things may still differ, as they do between two runs of Athena or are errors there: ``approx_percentile`` and
``approx_distinct`` are exact here; text after a malformed JSON value makes the whole value NULL; and DuckDB answers
some queries that Athena refuses, such as a sum that leaves the range of bigint.
"""

import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import sqlglot
from sqlglot import exp
from sqlglot.dialects.athena import Athena
from sqlglot.errors import ErrorLevel, OptimizeError, ParseError, SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, traverse_scope

from operations.errors import QueryError
from operations.output import none_called, plain

# What the parser has to say of a statement that is no query, is said by the refusal.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

#: Relations a query may read: name → column → Athena's type.
type Relations = Mapping[str, Mapping[str, str]]
type Rewrite = Callable[[Any], exp.Expr]

_T: Final = exp.DataType.Type
_INTEGERS: Final = frozenset({_T.TINYINT, _T.SMALLINT, _T.INT, _T.BIGINT})
_FLOATS: Final = frozenset({_T.FLOAT, _T.DOUBLE})
_DECIMALS: Final = frozenset({_T.DECIMAL})
_NUMBERS: Final = _INTEGERS | _FLOATS | _DECIMALS
_TEXTS: Final = frozenset({_T.VARCHAR, _T.TEXT})
_MOMENTS: Final = frozenset({_T.TIMESTAMP, _T.TIMESTAMPTZ})
_TIMES: Final = frozenset({_T.DATE}) | _MOMENTS
_BOOLEANS: Final = frozenset({_T.BOOLEAN})
#: What Athena never compares with, or joins to, another of these.
_FAMILIES: Final = (_NUMBERS, _TEXTS, _TIMES, _BOOLEANS)

#: Where a node keeps how it was written, for what is said about it.
_WRITTEN: Final = "written"

#: Units of which both engines count whole ones alike. Months differ at their ends (Trino's are Joda-Time's).
_WHOLE_UNITS: Final = frozenset({"millisecond", "second", "minute", "hour", "day", "week"})
_TRUNCATIONS: Final = frozenset({"second", "minute", "hour", "day", "week", "month", "quarter", "year"})
_STEPS: Final = _TRUNCATIONS | {"millisecond"}
_EXTRACTS: Final = frozenset({"second", "minute", "hour", "day", "week", "month", "quarter", "year"})
#: Of date_format, as Python and DuckDB write them.
_FORMATS: Final = frozenset({"%Y", "%m", "%d", "%H", "%M", "%S", "%j", "%%"})

#: Where Trino's answer is not what DuckDB's own function gives. `error` keeps a difference from passing in silence.
MACROS: Final = r"""
CREATE MACRO trino_no_number(t) AS regexp_matches(t, '(?i)nan|inf');
CREATE MACRO trino_json(document) AS CASE WHEN json_valid(document) AND NOT (trino_no_number(document)
  AND trino_no_number(regexp_replace(document, '"(?:[^"\\]|\\.)*"', '', 'g'))) THEN document END;
CREATE MACRO trino_as_written(document, path) AS list_distinct(list_filter(
  regexp_extract_all(document, '"' || regexp_extract(path, '[A-Za-z0-9_]+$') || '"\s*:\s*(-?[0-9][0-9.eE+-]*)', 1),
  lambda number: TRY_CAST(number AS DOUBLE) = CAST(document ->> path AS DOUBLE)));
CREATE MACRO trino_json_scalar_text(document, path) AS CASE
  WHEN json_type(document, path) <> 'DOUBLE' THEN document ->> path
  WHEN len(trino_as_written(document, path)) = 1 THEN trino_as_written(document, path)[1]
  ELSE error('json_extract_scalar: the number at ' || path || ' is written in a way that only Athena keeps') END;
CREATE MACRO trino_json_extract_scalar(document, path) AS
  CASE WHEN json_type(trino_json(document), path) NOT IN ('OBJECT', 'ARRAY', 'NULL')
  THEN trino_json_scalar_text(trino_json(document), path) END;
CREATE MACRO trino_json_extract(document, path) AS trino_json(document) -> path;
CREATE MACRO trino_substr(s, start) AS CASE WHEN start = 0 OR start < -length(s) THEN '' ELSE substr(s, start) END;
CREATE MACRO trino_substring(s, start, size) AS
  CASE WHEN start = 0 OR size <= 0 OR start < -length(s) THEN '' ELSE substr(s, start, size) END;
CREATE MACRO trino_split_part(s, delimiter, part) AS
  CASE WHEN part < 1 THEN error('split_part: the index must be at least 1')
  ELSE list_extract(string_split(s, delimiter), part) END;
CREATE MACRO trino_upper(s) AS
  CASE WHEN contains(s, 'ß') THEN error('upper: ß stays as it is on Athena and not here') ELSE upper(s) END;
CREATE MACRO trino_greatest(a, b) AS CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN greatest(a, b) END;
CREATE MACRO trino_least(a, b) AS CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN least(a, b) END;
CREATE MACRO trino_no_line_ends(t) AS CASE WHEN contains(t, chr(10))
  THEN error('a pattern: a text with line ends may match on Athena and not here') ELSE t END;
CREATE MACRO trino_regexp_extract(t, pattern) AS
  CASE WHEN regexp_matches(t, pattern) THEN regexp_extract(t, pattern) END;
CREATE MACRO trino_step(start, stop, step) AS CASE
  WHEN step = 0 OR (step > 0 AND stop < start) OR (step < 0 AND stop > start)
  THEN error('sequence: a step of ' || step || ' does not lead from the start to the end') ELSE step END;
CREATE MACRO trino_default_step(start, stop) AS CASE WHEN stop < start THEN -1 ELSE 1 END;
CREATE MACRO trino_sequence(start, stop, step) AS generate_series(start, stop, trino_step(start, stop, step));
CREATE MACRO trino_days(start, stop, step) AS
  CAST(generate_series(start, stop, to_days(CAST(trino_step(start, stop, step) AS INTEGER))) AS DATE[]);
CREATE MACRO trino_no_value(kind, t) AS error('try: ' || t || ' may be a ' || kind || ' on Athena and is none here');
CREATE MACRO trino_iso_moment(t) AS regexp_full_match(t,
  '\d{4}-\d{2}-\d{2}(T([01]\d|2[0-3]):\d{2}(:\d{2}([.,]\d{1,9})?)?(Z|[+-](0\d|1[0-3]):[0-5]\d|[+-]14:00)?)?');
CREATE MACRO trino_try_iso8601_utc(t) AS CASE
  WHEN trino_iso_moment(t) THEN date_trunc('millisecond', TRY_CAST(replace(t, ',', '.') AS TIMESTAMPTZ))
  WHEN regexp_full_match(t, '\s*[0-9TtWwZz:.,+-]+\s*') THEN trino_no_value('moment', t) END;
CREATE MACRO trino_iso8601_utc(t) AS CASE WHEN t IS NULL OR trino_try_iso8601_utc(t) IS NOT NULL
  THEN trino_try_iso8601_utc(t) ELSE error('from_iso8601_timestamp: ' || t || ' is no ISO 8601 moment') END;
CREATE MACRO trino_own_zone(t) AS CASE WHEN regexp_full_match(t, '.*T.*[+-]\d{2}:\d{2}') AND NOT t LIKE '%+00:00'
  THEN error('from_iso8601_timestamp: ' || t || ' keeps its zone on Athena; write … AT TIME ZONE ''UTC'' ') ELSE t END;
CREATE MACRO trino_try_iso8601(t) AS trino_try_iso8601_utc(trino_own_zone(t));
CREATE MACRO trino_iso8601(t) AS trino_iso8601_utc(trino_own_zone(t));
CREATE MACRO trino_readable(kind, t) AS CASE kind
  WHEN 'whole number' THEN regexp_full_match(t, '[+-]?\d+')
  WHEN 'number' THEN regexp_full_match(t, '[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?')
  WHEN 'boolean' THEN regexp_full_match(t, '(?i)true|false|t|f|1|0')
  WHEN 'date' THEN regexp_full_match(t, '\d{4}-\d{2}-\d{2}')
  WHEN 'timestamp' THEN
    regexp_full_match(t, '\d{4}-\d{2}-\d{2}( ([01]\d|2[0-3]):\d{2}(:\d{2}(\.\d{1,3})?)?)?')
  WHEN 'timestamp literal' THEN
    regexp_full_match(t, '\d{4}-\d{2}-\d{2}( ([01]\d|2[0-3]):\d{2}(:\d{2}(\.\d{1,6})?)?)?')
  ELSE true END;
CREATE MACRO trino_inner(t) AS regexp_replace(t, '^[\x00-\x20\p{Z}]+|[\x00-\x20\p{Z}]+$', '', 'g');
CREATE MACRO trino_perhaps_readable(kind, t) AS CASE kind
  WHEN 'whole number' THEN regexp_full_match(trino_inner(t), '[+-]?\p{Nd}+')
  WHEN 'number' THEN regexp_full_match(trino_inner(t),
    '(?i)[+-]?(nan|infinity|0x[0-9a-f.]+p[+-]?\d+|(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?)[df]?')
  WHEN 'boolean' THEN trino_readable(kind, trino_inner(t))
  WHEN 'date' THEN regexp_full_match(trino_inner(t), '[+-]?\p{Nd}+-\p{Nd}{1,2}-\p{Nd}{1,2}')
  ELSE regexp_full_match(trino_inner(t), '(?s)[+-]?\p{Nd}{4,}-\p{Nd}{1,2}-\p{Nd}{1,2}(\s.*)?') END;
CREATE MACRO trino_text(kind, t) AS CASE WHEN t IS NULL OR trino_readable(kind, t) THEN t
  ELSE error('cast: ' || t || ' is no ' || kind || ' that both engines read alike') END;
CREATE MACRO trino_try_text(kind, t) AS CASE WHEN trino_readable(kind, t) THEN t
  WHEN trino_perhaps_readable(kind, t) THEN trino_no_value(kind, t) END;
"""


class TranslationError(QueryError):
    """A query that is not one SELECT, or says something that is not translated; the message names it."""


@contextmanager
def _not_too_deep() -> Iterator[None]:
    """Says of a query in which the parser, or what comes after it, loses itself that it is nested too deeply."""
    try:
        yield
    except RecursionError as error:
        raise TranslationError("the query is nested too deeply: take it apart with WITH … AS (…)") from error


@_not_too_deep()
def select(sql: str) -> exp.Query:
    """The one query that the text is, in Athena's dialect.

    Raises
    ------
    TranslationError
        It is none, several, no SQL, or would write.
    """
    try:
        statements = [statement for statement in sqlglot.parse(sql, read="athena") if statement is not None]
    except SqlglotError as error:
        raise TranslationError(f"the query is not Athena's SQL: {_said(error)}") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise TranslationError("expected one SELECT (or WITH … SELECT): queries read, nothing is written from here")
    if statements[0].find(exp.Into):
        raise TranslationError("SELECT … INTO writes: queries read, nothing is written from here")
    return statements[0]


def _said(error: Exception) -> str:
    """What is wrong and where, in one line: no marks for a terminal, no names of classes."""
    if not (isinstance(error, ParseError) and error.errors):
        return plain(" ".join(str(error).split()))
    first = error.errors[0]
    what = "something is missing" if first["description"].startswith("Required keyword") else first["description"]
    near = f", near {first['highlight']}" if first["highlight"] else ""
    text = f"{re.sub(r' (for|but got) <.*>', '', what)}, at line {first['line']}, column {first['col']}{near}"
    return plain(" ".join(text.split()))


def tables(query: exp.Query) -> set[str]:
    """Names of the tables and views that a query reads, in lower case; its own WITH names are none."""
    own = {cte.alias_or_name.lower() for cte in query.find_all(exp.CTE)}
    return {table.name.lower() for table in query.find_all(exp.Table) if table.name} - own


def athena_type(hive: str) -> str:
    """A column's type as queries write it: Hive's string is Athena's varchar.

    Raises
    ------
    TranslationError
        The type is unknown here.
    """
    return _type(hive, "trino").lower()


def duckdb_type(hive: str) -> str:
    """A column's type in DuckDB.

    Raises
    ------
    TranslationError
        The type is unknown here.
    """
    kind = _type(hive, "duckdb")
    # As DuckDB itself names them.
    return {"TEXT": "VARCHAR", "INT": "INTEGER"}.get(kind, kind)


def _type(hive: str, dialect: str) -> str:
    try:
        return exp.DataType.build("varchar" if hive == "string" else hive, dialect="hive").sql(dialect)
    except SqlglotError as error:
        raise TranslationError(f"the table has a column of the Hive type {hive!r}, which is unknown here") from error


@_not_too_deep()
def to_duckdb(sql: str, relations: Relations) -> str:
    """The same query for DuckDB, where `MACROS` have been made and the relations exist under their names.

    Raises
    ------
    TranslationError
        The query is not one SELECT, reads something unknown, or holds what is not on the lists.
    """
    query = select(sql)
    _check_tables(query, relations)
    _name_like_athena(query)
    schema: dict[str, object] = {name: dict(columns) for name, columns in relations.items()}
    try:
        qualified = qualify(
            query,
            schema=schema,
            dialect="athena",
            expand_alias_refs=False,
            quote_identifiers=False,
            identify=False,
        )
        _qualify_having(qualified, relations)
        typed = annotate_types(
            qualified,
            schema=schema,
            dialect="athena",
            expression_metadata=_TYPES,
        )
    except (OptimizeError, SqlglotError) as error:
        raise TranslationError(f"the query does not fit the tables: {_said(error)}") from error
    nodes = list(typed.walk())
    # Only a refusal is told: to write out every node of a long query takes minutes.
    for node, written in zip(nodes, typed.copy().walk(), strict=True):
        node.meta[_WRITTEN] = _writer(written)
    # From the leaves up, so that what one translation holds is translated already.
    for node in reversed(nodes):
        translation = _translated(node)
        if translation is not node:
            translation.type = node.type
            translation.meta[_WRITTEN] = node.meta[_WRITTEN]
            node.replace(translation)
    try:
        return typed.sql("duckdb", unsupported_level=ErrorLevel.RAISE, identify=True)
    except SqlglotError as error:
        raise TranslationError(f"the query cannot be translated from Athena's SQL: {_said(error)}") from error


def _qualify_having(query: exp.Expr, relations: Relations) -> None:
    """Gives the columns of HAVING their tables, which the library leaves out, and so their types."""
    for scope in traverse_scope(query):
        having = scope.expression.args.get("having")
        for column in having.find_all(exp.Column) if having else ():
            owners = [name for name, source in scope.sources.items() if column.name in _columns(source, relations)]
            if not column.table and len(owners) == 1:
                column.set("table", exp.to_identifier(owners[0]))


def _columns(source: exp.Expr | Scope, relations: Relations) -> Collection[str]:
    if isinstance(source, exp.Table):
        return relations[source.name]
    found: exp.Expr = source.expression if isinstance(source, Scope) else source
    return found.named_selects if isinstance(found, exp.Select | exp.SetOperation) else ()


def _check_tables(query: exp.Query, relations: Relations) -> None:
    for table in query.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            raise _refusal(f"the table function {_function_name(table.this)}")
        # Athena's catalogue and database have no counterpart here.
        table.set("db", None)
        table.set("catalog", None)
    unknown = sorted(tables(query) - relations.keys())
    if unknown:
        raise TranslationError(none_called(f"table {unknown[0]}", unknown[0], sorted(relations)))


def _name_like_athena(query: exp.Query) -> None:
    """Gives columns without a name the one that Athena gives them: ``_col0``, ``_col1`` …"""
    select: exp.Expr = query
    while isinstance(select, exp.SetOperation | exp.Subquery):
        select = select.this
    if isinstance(select, exp.Select):
        for place, column in enumerate(select.expressions):
            if not isinstance(column, exp.Alias | exp.Column | exp.Star):
                column.replace(exp.alias_(column.copy(), f"_col{place}"))


def _translated(node: exp.Expr) -> exp.Expr:
    if type(node) in _REWRITES:
        return _REWRITES[type(node)](node)
    if type(node) in _SAME:
        return node
    if isinstance(node, exp.Func):
        raise _refusal(f"the function {_function_name(node)}")
    raise _refusal(f"{type(node).__name__} ({_shortened(node)})")


def _refusal(what: str) -> TranslationError:
    return TranslationError(
        f"{what} is not translated to DuckDB, as it might answer differently; "
        "write the query without it, or ask Athena (--stack NAME)"
    )


def _written(node: exp.Expr) -> str:
    written: Callable[[], str] | None = node.meta.get(_WRITTEN)
    return written() if written is not None else str(node.sql("athena"))


def _writer(node: exp.Expr) -> Callable[[], str]:
    # A function, as sqlglot copies the meta of all that it copies, to the last leaf.
    return lambda: str(node.sql("athena"))


def _function_name(node: exp.Expr) -> str:
    return _written(node).partition("(")[0].lower()


def _shortened(node: exp.Expr) -> str:
    text = _written(node)
    return text if len(text) <= 60 else text[:57] + "…"


def _kind(node: exp.Expr | None) -> exp.DType:
    if node is None or node.type is None:
        return _T.UNKNOWN
    kind: exp.DType = node.type.this
    return _T.TEXT if kind == _T.VARCHAR else kind


def _call(name: str, *arguments: Any) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=[exp.convert(a) if isinstance(a, str) else a for a in arguments])


def _cast(node: exp.Expr, kind: str) -> exp.Expr:
    return exp.Cast(this=node, to=exp.DataType.build(kind, dialect="duckdb"))


def _only(node: exp.Expr, *allowed: str) -> None:
    """Refuses a call with more arguments than those named."""
    for name, value in node.args.items():
        if name not in allowed and value not in (None, [], False):
            raise _refusal(f"the function {_function_name(node)} with {name}")


def _as(name: str, *arguments: str) -> Rewrite:
    """A function of DuckDB, or a macro, that takes the same arguments."""

    def rewrite(node: exp.Expr) -> exp.Expr:
        _only(node, *arguments)
        return _call(name, *(node.args[argument] for argument in arguments if node.args.get(argument) is not None))

    return rewrite


def _as_it_is(*arguments: str) -> Rewrite:
    def rewrite(node: exp.Expr) -> exp.Expr:
        _only(node, *arguments)
        return node

    return rewrite


def _of_time(name: str) -> Rewrite:
    """A part of a date or moment. Of a text, Athena refuses it and DuckDB would guess."""

    def rewrite(node: exp.Expr) -> exp.Expr:
        _only(node, "this")
        _demand_time(node.this, _function_name(node))
        return _call(name, node.this)

    return rewrite


def _demand_time(node: exp.Expr, function: str) -> None:
    if _kind(node) not in _TIMES:
        raise _refusal(f"{function} of {_described(node)}: give it a date or a timestamp")


def _described(node: exp.Expr) -> str:
    kind = _kind(node)
    return f"{_shortened(node)} ({'a type that is not known here' if kind == _T.UNKNOWN else kind.value.lower()})"


def _unit(node: exp.Expr, allowed: frozenset[str]) -> exp.Expr:
    unit = node.args.get("unit")
    name = unit.name.lower() if unit is not None else ""
    if name not in allowed:
        raise _refusal(f"{_function_name(node)} by {name or 'an unknown unit'}")
    return exp.Literal.string(name)


def _substring(node: exp.Substring) -> exp.Expr:
    start, length = node.args["start"], node.args.get("length")
    if length is None:
        return _call("trino_substr", node.this, start)
    return _call("trino_substring", node.this, start, length)


#: Patterns without what the engines read differently: classes by letter (\w knows Unicode there), sets within sets,
#: flags, looking around, possessive repetition.
_PLAIN_PATTERN: Final = re.compile(
    r"""(?: [^][\\(){}*+?]
          | \\[^\w\s]
          | \\[Az]
          | \[ \^? (?: [^][\\&^] | \\[^\w\s] ) (?: [^][\\&] | \\[^\w\s] )* \]
          | \( (?: \?: | (?!\?) )
          | \)
          | (?: [*+?] | \{\d+(?:,\d*)?\} ) \?? (?![*+?{])
        )*""",
    re.VERBOSE,
)

#: What reads a text with line ends differently, outside a set: where a line begins or ends, and any character.
_BY_LINES: Final = re.compile(r"(?: \\. | \[ (?: \\. | [^]\\] )* \] | [^][\\$^.] )* [$^.]", re.VERBOSE)


def _pattern(name: str, node: exp.RegexpLike | exp.RegexpExtract) -> exp.Expr:
    # The library gives the whole match a number.
    whole = isinstance(node, exp.RegexpExtract) and node.args["group"] == exp.Literal.number(0)
    _only(node, "this", "expression", "null_if_pos_overflow", *(["group"] if whole else []))
    pattern = node.expression
    if not (isinstance(pattern, exp.Literal) and pattern.is_string and _PLAIN_PATTERN.fullmatch(pattern.name)):
        raise _refusal(
            f"{_function_name(node)} with the pattern {_shortened(pattern)} "
            "(plain ones are: [0-9] for \\d, [A-Za-z0-9_] for \\w, [ ] for \\s, lower(…) for (?i))"
        )
    text = _call("trino_no_line_ends", node.this) if _BY_LINES.match(pattern.name) else node.this
    return _call(name, text, pattern)


def _extreme(name: str) -> Rewrite:
    def rewrite(node: exp.Expr) -> exp.Expr:
        _only(node, "this", "expressions", "ignore_nulls")
        result = node.this
        for other in node.expressions:
            result = _call(name, result, other)
        return exp.Paren(this=result)

    return rewrite


def _concat(node: exp.Concat) -> exp.Expr:
    joined = node.expressions[0]
    for part in node.expressions[1:]:
        joined = exp.DPipe(this=joined, expression=part)
    return exp.Paren(this=joined)


def _date_diff(node: exp.DateDiff) -> exp.Expr:
    unit = _unit(node, _WHOLE_UNITS)
    _demand_time(node.this, "date_diff")
    _demand_time(node.expression, "date_diff")
    return _call("date_sub", unit, _plain(node.expression), _plain(node.this))


def _plain(node: exp.Expr) -> exp.Expr:
    """As a moment without a zone, in UTC, so that two of different types can be counted between."""
    return _cast(node, "TIMESTAMP")


def _date_add(node: exp.DateAdd) -> exp.Expr:
    unit = _unit(node, _STEPS)
    _demand_time(node.this, "date_add")
    if _kind(node.expression) not in _INTEGERS:
        raise _refusal(f"date_add with {_described(node.expression)}")
    step = exp.Interval(this=exp.Paren(this=node.expression), unit=exp.Var(this=unit.name.upper()))
    return _same_kind(exp.Paren(this=exp.Add(this=node.this, expression=step)), node.this)


def _same_kind(moved: exp.Expr, node: exp.Expr) -> exp.Expr:
    """DuckDB makes a timestamp of a date that moves or is cut; Trino's stays a date."""
    return _cast(moved, "DATE") if _kind(node) == _T.DATE else moved


def _truncated(node: exp.Expr) -> exp.Expr:
    _only(node, "this", "unit")
    _demand_time(node.this, "date_trunc")
    return _same_kind(_call("date_trunc", _unit(node, _TRUNCATIONS), node.this), node.this)


def _added(node: exp.Add | exp.Sub) -> exp.Expr:
    left, right = node.this, node.expression
    for moved, step in ((left, right), (right, left)):
        if isinstance(step, exp.Interval):
            _demand_time(moved, "an interval beside")
            _unit(step, _STEPS)
            return _same_kind(exp.Paren(this=type(node)(this=left, expression=right)), moved)
    return _arithmetic(node)


def _arithmetic(node: exp.Binary) -> exp.Expr:
    for side in (node.this, node.expression):
        if _kind(side) not in _NUMBERS:
            raise _refusal(f"arithmetic with {_described(side)}")
    return node


def _divided(node: exp.Div) -> exp.Expr:
    _arithmetic(node)
    sides = {_kind(node.this), _kind(node.expression)}
    if sides <= _INTEGERS:
        return exp.Paren(this=exp.IntDiv(this=node.this, expression=node.expression))
    if sides & _DECIMALS and not sides & _FLOATS:
        raise _refusal(f"a division of decimals ({_shortened(node)}), which Athena rounds: CAST one to double")
    return exp.Paren(this=exp.Div(this=_cast(node.this, "DOUBLE"), expression=node.expression))


def _remainder(node: exp.Mod) -> exp.Expr:
    if not {_kind(node.this), _kind(node.expression)} <= _INTEGERS:
        raise _refusal(f"a remainder of other than whole numbers ({_shortened(node)})")
    return node


def _joined_text(node: exp.DPipe) -> exp.Expr:
    for side in (node.this, node.expression):
        if _kind(side) not in _TEXTS and not isinstance(side, exp.Paren | exp.DPipe):
            raise _refusal(f"|| with {_described(side)}: CAST it to varchar")
    return node


def _compared(node: exp.Expr) -> exp.Expr:
    """Athena refuses to compare a text with a number or a date; DuckDB would convert one of them."""
    sides = [node.this, *(node.args.get(name) for name in ("expression", "low", "high")), *node.expressions]
    kinds = [(side, _kind(side)) for side in sides if isinstance(side, exp.Expr)]
    families = {family for _, kind in kinds for family in _FAMILIES if kind in family}
    if len(families) > 1:
        described = " with ".join(_described(side) for side, _ in kinds[:2])
        raise TranslationError(f"Athena compares no {described}: CAST one of them to the other's type")
    return node


def _average(node: exp.Avg) -> exp.Expr:
    _only(node, "this")
    inner = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    if _kind(inner) not in _INTEGERS | _FLOATS:
        raise _refusal(f"avg of {_described(inner)}, which Athena may round: CAST it to double")
    return node


def _rounded(node: exp.Round) -> exp.Expr:
    _only(node, "this", "decimals")
    return _call("round", *(part for part in (node.this, node.args.get("decimals")) if part is not None))


def _cast_like_athena(node: exp.Cast) -> exp.Expr:
    return _conversion(node.this, node.to, forgiving=isinstance(node, exp.TryCast))


#: What a text must look like to become one of these, as `trino_readable` knows it.
_READABLE: Final = (
    *((kind, "whole number") for kind in (_T.TINYINT, _T.SMALLINT, _T.INT, _T.BIGINT)),
    *((kind, "number") for kind in (_T.FLOAT, _T.DOUBLE)),
    (_T.BOOLEAN, "boolean"),
    (_T.DATE, "date"),
    (_T.TIMESTAMP, "timestamp"),
)


def _conversion(value: exp.Expr, to: exp.DataType, *, forgiving: bool) -> exp.Expr:
    source, target = _kind(value), _T.TEXT if to.this == _T.VARCHAR else to.this
    kind = _TARGETS.get(target)
    cast = exp.TryCast if forgiving else exp.Cast
    # Milliseconds are Athena's default and the archive's. TIMESTAMP '…' has as many digits as are written.
    digits = {each.name for each in to.expressions}
    as_written = isinstance(value, exp.Literal) and digits == {str(len(value.name.partition(".")[2]))}
    if kind is None or (digits and not (target in _MOMENTS and (digits == {"3"} or as_written))):
        raise _refusal(f"CAST to {to.sql('athena').lower()}")
    built = exp.DataType.build(kind, dialect="duckdb")
    if source == target or isinstance(value, exp.Null):
        return cast(this=value, to=built)
    if source in _TEXTS and (shape := dict(_READABLE).get(target)) is not None:
        if as_written and target == _T.TIMESTAMP:
            shape = "timestamp literal"
        return cast(this=_call("trino_try_text" if forgiving else "trino_text", shape, value), to=built)
    if target in _INTEGERS and source in _FLOATS | _DECIMALS:
        # Trino rounds halves away from zero, DuckDB to the even neighbour.
        return cast(this=_call("round", value), to=built)
    if (source, target) in _SAME_CONVERSIONS:
        return cast(this=value, to=built)
    raise _refusal(f"CAST of {_described(value)} to {to.sql('athena').lower()}")


_TARGETS: Final = {
    _T.TINYINT: "TINYINT",
    _T.SMALLINT: "SMALLINT",
    _T.INT: "INTEGER",
    _T.BIGINT: "BIGINT",
    _T.FLOAT: "FLOAT",
    _T.DOUBLE: "DOUBLE",
    _T.BOOLEAN: "BOOLEAN",
    _T.DATE: "DATE",
    _T.TIMESTAMP: "TIMESTAMP",
    _T.TIMESTAMPTZ: "TIMESTAMPTZ",
    _T.TEXT: "VARCHAR",
}
_SAME_CONVERSIONS: Final = frozenset(
    {(source, target) for source in _INTEGERS for target in (*_INTEGERS, *_FLOATS, _T.TEXT, _T.BOOLEAN)}
    | {(source, target) for source in _FLOATS | _DECIMALS for target in _FLOATS}
    | {(_T.BOOLEAN, target) for target in (*_INTEGERS, _T.TEXT)}
    | {(_T.DATE, _T.TEXT), (_T.DATE, _T.TIMESTAMP), (_T.TIMESTAMP, _T.DATE)}
    # The session's zone is UTC here as on Athena.
    | {(_T.TIMESTAMPTZ, _T.DATE), (_T.TIMESTAMPTZ, _T.TIMESTAMP), (_T.TIMESTAMP, _T.TIMESTAMPTZ)}
)


def _to_date(node: exp.Expr) -> exp.Expr:
    _only(node, "this")
    return _conversion(node.this, exp.DataType.build("date"), forgiving=False)


def _tried(node: exp.Try) -> exp.Expr:
    """TRY, where what is tried has a form that gives NULL; DuckDB's own takes nothing that may raise by itself."""
    inner = node.this
    if isinstance(inner, exp.Anonymous) and inner.this == "trino_iso8601":
        return _call("trino_try_iso8601", *inner.expressions)
    if isinstance(inner, exp.Cast) and isinstance(inner.this, exp.Anonymous) and inner.this.this == "trino_text":
        return exp.TryCast(this=_call("trino_try_text", *inner.this.expressions), to=inner.to)
    raise _refusal(f"TRY of {_shortened(inner)}: of CAST and from_iso8601_timestamp it is")


def _at_utc(node: exp.AtTimeZone) -> exp.Expr:
    if node.args["zone"].name.upper() != "UTC" or _kind(node.this) != _T.TIMESTAMPTZ:
        raise _refusal(f"AT TIME ZONE other than 'UTC', or of {_described(node.this)}")
    moment: exp.Expr = node.this.unnest()
    if isinstance(moment, exp.Anonymous) and str(moment.this).endswith("iso8601"):
        return _call(f"{moment.this}_utc", *moment.expressions)
    # Moments are instants here, shown in UTC.
    return moment


def _formatted(node: exp.TimeToStr) -> exp.Expr:
    pattern = node.args["format"]
    _demand_time(node.this, "date_format")
    text = pattern.name
    used = {text[place : place + 2] for place in range(len(text)) if text[place] == "%"}
    if not isinstance(pattern, exp.Literal) or not used <= _FORMATS:
        raise _refusal(f"date_format with {_shortened(pattern)}")
    return _call("strftime", node.this, exp.Literal.string(text))


def _extracted(node: exp.Extract) -> exp.Expr:
    part = node.this.name.lower()
    if part not in _EXTRACTS:
        raise _refusal(f"EXTRACT of {part}")
    _demand_time(node.expression, "extract")
    return _call(part, node.expression)


def _series(node: exp.GenerateSeries) -> exp.Expr:
    _only(node, "start", "end", "step")
    start, end, step = node.args["start"], node.args["end"], node.args.get("step")
    kinds = {_kind(start), _kind(end)}
    # Trino's default leads to the end, wherever that is.
    default = _call("trino_default_step", start, end)
    if kinds <= _INTEGERS:
        return _call("trino_sequence", start, end, step or default)
    if kinds == {_T.DATE}:
        return _call("trino_days", start, end, default if step is None else _days(step))
    raise _refusal(f"sequence between {_described(start)} and {_described(end)}")


def _days(step: exp.Expr) -> exp.Expr:
    """An interval's whole days. Months from the 31st on end elsewhere in each engine."""
    if isinstance(step, exp.Interval) and step.unit is not None and step.unit.name.upper() == "DAY":
        return exp.Paren(this=_cast(step.this, "INTEGER"))
    raise _refusal(f"a sequence of dates by other than INTERVAL '…' DAY ({_shortened(step)})")


def _unnested(node: exp.Unnest) -> exp.Expr:
    _only(node, "expressions", "alias")
    return node


def _quantile(node: exp.ApproxQuantile) -> exp.Expr:
    _only(node, "this", "quantile")
    # A value that is there, as Trino's; DuckDB's own approximation interpolates.
    return _call("quantile_disc", node.this, node.args["quantile"])


def _counted(node: exp.Count) -> exp.Expr:
    _only(node, "this", "big_int")
    if isinstance(node.this, exp.Distinct) and len(node.this.expressions) != 1:
        raise _refusal("count(DISTINCT …) of several columns")
    return node


def _unixtime(node: exp.UnixToTime) -> exp.Expr:
    _only(node, "this")
    if _kind(node.this) not in _INTEGERS:
        raise _refusal(f"from_unixtime of {_described(node.this)}, which Athena rounds to milliseconds")
    return _call("to_timestamp", node.this)


def _every(node: exp.Anonymous) -> exp.Expr:
    if _function_name(node) != "every":
        raise _refusal(f"the function {_function_name(node)}")
    return _call("bool_and", *node.expressions)


def _grouped(node: exp.Group) -> exp.Expr:
    _only(node, "expressions", "rollup", "cube", "grouping_sets")
    return node


def _distinct(node: exp.Distinct) -> exp.Expr:
    _only(node, "expressions")
    return node


def _united(node: exp.SetOperation) -> exp.Expr:
    if node.args.get("by_name"):
        raise _refusal("a set operation BY NAME")
    return node


def _joined(node: exp.Join) -> exp.Expr:
    if node.args.get("method") or (node.args.get("kind") or "").upper() not in ("", "INNER", "CROSS", "OUTER"):
        raise _refusal(f"a {node.args.get('method') or node.args.get('kind')} JOIN".upper())
    return node


def _selected(node: exp.Select) -> exp.Expr:
    _only(
        node,
        *("with_", "with", "expressions", "distinct", "from_", "from", "joins", "where", "group", "having", "order"),
        *("limit", "offset", "laterals", "kind", "hint", "operation_modifiers"),
    )
    return node


_SCALARS: Final[dict[type[exp.Expr], Rewrite]] = {
    exp.JSONExtractScalar: lambda node: _call("trino_json_extract_scalar", node.this, node.expression),
    exp.JSONExtract: lambda node: _call("trino_json_extract", node.this, node.expression),
    exp.JSONFormat: lambda node: _cast(node.this, "VARCHAR"),
    exp.Substring: _substring,
    exp.SplitPart: _as("trino_split_part", "this", "delimiter", "part_index"),
    exp.StrPosition: _as("strpos", "this", "substr"),
    exp.StartsWith: _as("starts_with", "this", "expression"),
    exp.Length: _as("length", "this"),
    exp.Lower: _as("lower", "this"),
    exp.Upper: _as("trino_upper", "this"),
    exp.RegexpLike: partial(_pattern, "regexp_matches"),
    exp.RegexpExtract: partial(_pattern, "trino_regexp_extract"),
    exp.Concat: _concat,
    exp.Greatest: _extreme("trino_greatest"),
    exp.Least: _extreme("trino_least"),
    exp.Abs: _as("abs", "this"),
    exp.Round: _rounded,
    exp.Floor: _as("floor", "this"),
    exp.Ceil: _as("ceil", "this"),
    exp.Sqrt: _as("sqrt", "this"),
    exp.Pow: _as("pow", "this", "expression"),
    exp.Exp: _as("exp", "this"),
    exp.Ln: _as("ln", "this"),
    exp.FromISO8601Timestamp: _as("trino_iso8601", "this"),
    exp.UnixToTime: _unixtime,
    exp.TimeToUnix: _of_time("epoch"),
    exp.Date: _to_date,
    exp.TsOrDsToDate: _to_date,
    exp.FromISO8601Date: _to_date,
    exp.DateDiff: _date_diff,
    exp.DateAdd: _date_add,
    exp.TimestampTrunc: _truncated,
    exp.DateTrunc: _truncated,
    exp.Year: _of_time("year"),
    exp.Quarter: _of_time("quarter"),
    exp.Month: _of_time("month"),
    exp.WeekOfYear: _of_time("week"),
    exp.Day: _of_time("day"),
    exp.DayOfYear: _of_time("dayofyear"),
    exp.DayOfWeekIso: _of_time("isodow"),
    exp.Hour: _of_time("hour"),
    exp.Minute: _of_time("minute"),
    exp.Second: _of_time("second"),
    exp.Extract: _extracted,
    exp.TimeToStr: _formatted,
    exp.GenerateSeries: _series,
    exp.AtTimeZone: _at_utc,
    exp.Try: _tried,
    exp.Cast: _cast_like_athena,
    exp.TryCast: _cast_like_athena,
    exp.Anonymous: _every,
}
_AGGREGATES: Final[dict[type[exp.Expr], Rewrite]] = {
    exp.Count: _counted,
    exp.CountIf: _as_it_is("this"),
    exp.Sum: _as_it_is("this"),
    exp.Avg: _average,
    exp.Min: _as_it_is("this"),
    exp.Max: _as_it_is("this"),
    # DuckDB's own max_by passes over rows whose value is NULL; Trino's does not.
    exp.ArgMax: _as("arg_max_null", "this", "expression"),
    exp.ArgMin: _as("arg_min_null", "this", "expression"),
    exp.ApproxQuantile: _quantile,
    exp.ApproxDistinct: lambda node: exp.Count(this=exp.Distinct(expressions=[node.this])),
    exp.LogicalAnd: _as("bool_and", "this"),
    exp.LogicalOr: _as("bool_or", "this"),
    exp.AnyValue: _as_it_is("this"),
    exp.ArrayAgg: _as_it_is("this"),
    exp.Stddev: _as("stddev_samp", "this"),
    exp.StddevPop: _as("stddev_pop", "this"),
    exp.StddevSamp: _as("stddev_samp", "this"),
    exp.Variance: _as("var_samp", "this"),
    exp.VariancePop: _as("var_pop", "this"),
}
_OPERATORS: Final[dict[type[exp.Expr], Rewrite]] = {
    exp.Add: _added,
    exp.Sub: _added,
    exp.Mul: _arithmetic,
    exp.Div: _divided,
    exp.Mod: _remainder,
    exp.DPipe: _joined_text,
    exp.EQ: _compared,
    exp.NEQ: _compared,
    exp.LT: _compared,
    exp.LTE: _compared,
    exp.GT: _compared,
    exp.GTE: _compared,
    exp.NullSafeEQ: _compared,
    exp.NullSafeNEQ: _compared,
    exp.Between: _compared,
    exp.In: _compared,
    exp.Unnest: _unnested,
    exp.Join: _joined,
    exp.Select: _selected,
    exp.Group: _grouped,
    exp.Distinct: _distinct,
    exp.Union: _united,
    exp.Intersect: _united,
    exp.Except: _united,
}
_REWRITES: Final[dict[type[Any], Rewrite]] = _SCALARS | _AGGREGATES | _OPERATORS

#: What both engines write and mean alike.
_ALIKE: Final = """
    From Where Having Order Ordered Limit Offset With CTE Subquery Values
    Tuple Table TableAlias Identifier Column Star Alias Literal Boolean Null Interval Var DataType DataTypeParam
    And Or Not Paren Is Like Escape Exists Neg Case If Coalesce Nullif CurrentDate CurrentTimestamp
    Window WindowSpec Filter RowNumber Rank DenseRank PercentRank CumeDist Ntile Lag Lead FirstValue LastValue
    NthValue Rollup Cube GroupingSets JSONPath JSONPathRoot JSONPathKey JSONPathSubscript
"""
_SAME: Final = frozenset(getattr(exp, name) for name in _ALIKE.split())
#: Functions that give what their first argument is.
_LIKE_THEIR_FIRST: Final = """
    ArgMax ArgMin Try ApproxQuantile TimestampTrunc DateAdd Abs Min Max Lag Lead FirstValue LastValue NthValue
    Round Floor Ceil AnyValue
"""


def _of_literal(annotator: Any, node: exp.Literal) -> exp.Expr:
    """Trino's: 1.5 is a decimal, 15e-1 a double."""
    if node.is_string:
        kind = _T.VARCHAR
    elif "e" in node.name.lower():
        kind = _T.DOUBLE
    else:
        kind = _T.DECIMAL if "." in node.name else _T.BIGINT if len(node.name) > 9 else _T.INT
    annotator._set_type(node, kind)
    return node


def _by_first(annotator: Any, node: exp.Expr) -> exp.Expr:
    annotator._annotate_by_args(node, "this")
    return node


def _types() -> Iterator[tuple[type[exp.Expr], dict[str, Any]]]:
    """Types that functions give on Athena, where the library does not know them."""
    given = {
        _T.VARCHAR: (
            exp.JSONExtractScalar,
            exp.SplitPart,
            exp.Concat,
            exp.JSONFormat,
            exp.TimeToStr,
            exp.DPipe,
            exp.RegexpExtract,
        ),
        _T.TIMESTAMPTZ: (exp.FromISO8601Timestamp, exp.UnixToTime, exp.CurrentTimestamp, exp.AtTimeZone),
        _T.DATE: (exp.FromISO8601Date, exp.Date),
        _T.DOUBLE: (exp.TimeToUnix, exp.Sqrt, exp.Pow, exp.Exp, exp.Ln),
        _T.BIGINT: (exp.DateDiff, exp.StrPosition, exp.Length, exp.CountIf, exp.ApproxDistinct, exp.RowNumber),
        _T.BOOLEAN: (exp.StartsWith, exp.RegexpLike, exp.LogicalAnd, exp.LogicalOr),
    }
    for kind, nodes in given.items():
        for node in nodes:
            yield node, {"returns": kind}
    for name in _LIKE_THEIR_FIRST.split():
        yield getattr(exp, name), {"annotator": _by_first}


_TYPES: Final = {**Athena.EXPRESSION_METADATA, **dict(_types()), exp.Literal: {"annotator": _of_literal}}
