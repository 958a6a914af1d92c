"""How an event's class says what its fields hold, once: reading, appending, requests and JSON Schemas all follow it.

What a field *is* binds whoever reads an event, because no consumer can do with anything else: its type, bounds that
stand as msgspec's `Meta`, and `MOMENT`. `Limits` bind what enters, an append or a request: histories hold what was let
in before a limit was set, and stay readable.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Final, Union, get_args, get_origin, get_type_hints

from msgspec import Meta

from headwater.domain.fields import InvalidFieldError, text

#: Gives what is wrong with a value, in the form "must …", or None.
type Rule = Callable[[Any], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a value keeps to where it enters. ``pattern`` is that of the whole value, the same in JSON Schema.

    ``rules`` are what no schema can say. ``says``, if given, is told in place of the single problem. ``format`` stands
    in the schema in place of the pattern.
    """

    min_length: int = 0
    max_length: int | None = None
    pattern: str | None = None
    format: str | None = None
    rules: tuple[Rule, ...] = ()
    says: str | None = None

    def problem(self, value: Any) -> str | None:
        """What is wrong with a text, or with how many entries an object has; None if nothing is."""
        for rule in self.rules:
            if problem := rule(value):
                return problem
        if not self.min_length <= len(value) <= (len(value) if self.max_length is None else self.max_length):
            return self.says or self._length(value)
        if self.pattern is not None and not _compiled(self.pattern).fullmatch(value):
            return self.says or f"must match {self.pattern}"
        return None

    @property
    def schema(self) -> Meta:
        """The limits as msgspec's `Meta`, from which it generates JSON Schemas."""
        return Meta(
            min_length=self.min_length or None,
            max_length=self.max_length,
            pattern=None if self.pattern is None or self.format else f"^{self.pattern}$",
            extra_json_schema={"format": self.format} if self.format else None,
        )

    def _length(self, value: Any) -> str:
        unit = "entries" if isinstance(value, Mapping) else "characters"
        least = f"{self.min_length} to " if self.min_length else "at most "
        return f"must have {least}{self.max_length} {unit}"


@dataclass(frozen=True, slots=True)
class Says:
    """What is told of a value that is not of its type or within its bounds."""

    problem: str


class _Mark:
    pass


#: The text is a moment: ISO 8601 with Z or an offset.
MOMENT: Final = _Mark()
#: The value stands in an event that is there already, and was judged when that one entered: no limit binds it again.
INHERITED: Final = _Mark()
PERSONAL: Final = Meta(extra_json_schema={"x-personal": True})

_LAST_YEAR: Final = 9999
NO_MOMENT: Final = "must be a moment in ISO 8601 with Z or an offset"
_UTC_MILLISECONDS: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z"


def example(value: Any) -> Meta:
    """A value as it may be: schemas show it, and the fixtures in events/ hold it."""
    return Meta(examples=[value])


#: A moment as our own code writes it, which sorts as text.
Moment = Annotated[
    str,
    MOMENT,
    Limits(pattern=_UTC_MILLISECONDS, says="must be a moment in ISO 8601 UTC with milliseconds"),
    example("2026-03-01T12:00:00.000Z"),
]


def is_moment(value: str) -> bool:
    """Whether a text is ISO 8601 with Z or an offset, and within the calendar in UTC."""
    # Python takes any character between date and time; a "#" would break the texts that moments are put into.
    if "#" in value or not value.isascii():
        return False
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return False
    return read.tzinfo is not None and (1 < read.year < _LAST_YEAR or _has_a_utc(read))


def _has_a_utc(moment: datetime) -> bool:
    """Only at the calendar's ends can the way to UTC lead out of it."""
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return False
    return True


def parsed(field: str, value: object, annotation: Any) -> Any:
    """The value, if it is what the annotation says, within its limits.

    Raises
    ------
    InvalidFieldError
        Names the field, or the entry of it, and what is expected.
    """
    base, marks = _unwrapped(annotation)
    if get_origin(base) in (Union, UnionType):
        if value is None and NoneType in get_args(base):
            return None
        (base,) = (each for each in get_args(base) if each is not NoneType)
        return parsed(field, value, Annotated[base, *marks])
    says = next((mark.problem for mark in marks if isinstance(mark, Says)), None)
    limits = [mark for mark in marks if isinstance(mark, Limits)]
    says = says or next((each.says for each in limits if each.says), None)
    if base is int:
        if type(value) is not int or not all(_within(value, mark) for mark in marks if isinstance(mark, Meta)):
            raise InvalidFieldError(field, says or "must be a whole number")
    elif base is str:
        if not isinstance(value, str) and says:
            raise InvalidFieldError(field, says)
        text(field, value)
        if MOMENT in marks and not is_moment(str(value)):
            raise InvalidFieldError(field, NO_MOMENT)
    elif not isinstance(value, Mapping):
        raise InvalidFieldError(field, says or "must be an object of texts")
    for each in limits:
        if problem := each.problem(value):
            raise InvalidFieldError(field, problem)
    if isinstance(value, Mapping):
        names, contents = get_args(base)
        return {parsed(field, name, names): parsed(f"{field}.{name}", each, contents) for name, each in value.items()}
    return value


def problems(values: Any) -> Iterator[InvalidFieldError]:
    """What is wrong with the fields of which an object's class says something; `INHERITED` ones are left out."""
    owner: type = type(values)
    for name, annotation in annotations(owner).items():
        marks = _unwrapped(annotation)[1]
        if marks and INHERITED not in marks:
            try:
                parsed(name, getattr(values, name), annotation)
            except InvalidFieldError as error:
                yield error


@cache
def annotations(owner: type) -> dict[str, Any]:
    """The class's fields with all that is said of them."""
    hints = get_type_hints(owner, include_extras=True)
    return {name: hint for name, hint in hints.items() if get_origin(hint) is not ClassVar}


def example_of(owner: type, name: str) -> Any:
    """The first example that is given of a class's field.

    Raises
    ------
    LookupError
        There is none.
    """
    base, marks = _unwrapped(annotations(owner)[name])
    if get_origin(base) in (Union, UnionType):
        (base,) = (each for each in get_args(base) if each is not NoneType)
        marks = (*marks, *_unwrapped(base)[1])
    for mark in marks:
        if isinstance(mark, Meta) and mark.examples:
            return mark.examples[0]
    raise LookupError(f"{owner.__name__}.{name} has no example: add example(…) to what is said of it, or of its type")


def moments(owner: type) -> tuple[str, ...]:
    """The fields that are moments, or may be."""
    return tuple(name for name, annotation in annotations(owner).items() if MOMENT in _unwrapped(annotation)[1])


def for_schema(annotation: Any) -> Any:
    """The annotation as msgspec's schema generator understands it: each `Limits` as a `Meta`."""
    base, marks = _unwrapped(annotation)
    arguments = get_args(base)
    if get_origin(base) in (Union, UnionType):
        base = Union[tuple(map(for_schema, arguments))]  # noqa: UP007  # of a tuple
    elif arguments:
        base = dict[*map(for_schema, arguments)]  # type: ignore[misc]  # built at run time
    kept = [mark.schema if isinstance(mark, Limits) else mark for mark in marks if isinstance(mark, Limits | Meta)]
    return Annotated[base, *kept] if kept else base


def _unwrapped(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """What is annotated, and the marks."""
    if get_origin(annotation) is Annotated:
        base, *marks = get_args(annotation)
        return base, tuple(marks)
    return annotation, ()


def _within(value: int, bounds: Meta) -> bool:
    return (bounds.ge is None or value >= bounds.ge) and (bounds.le is None or value <= bounds.le)


_compiled = cache(re.compile)
