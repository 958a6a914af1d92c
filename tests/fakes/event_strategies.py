"""Events from what their classes say of their fields: within all limits, as appends take them, or merely readable."""

from datetime import UTC, datetime, timedelta, timezone
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from hypothesis import strategies as st
from msgspec import Meta

from headwater.clock import timestamp
from headwater.domain.constraints import MOMENT, Limits, annotations, parsed
from headwater.domain.events import BadgeEarned, DomainEvent, NewEvent, RecordedEvent
from headwater.domain.fields import InvalidFieldError, single_line
from tests.fakes.events import EVENT_TYPES

#: Whatever UTF-8 can hold.
TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
#: Mostly what `single_line` takes, so that little has to be drawn again.
_ONE_LINE = st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Zl", "Zp"], include_characters="\u200c\u200d")
_INSTANTS = st.datetimes(datetime(2, 1, 2), datetime(9998, 12, 30))  # noqa: DTZ001  # the zone is drawn apart
_OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
#: As our own code writes them, from the year 1000 on, so that they sort as text.
MILLISECONDS = _INSTANTS.filter(lambda moment: moment.year >= 1000).map(
    lambda moment: timestamp(moment.replace(tzinfo=UTC))
)
MOMENTS = MILLISECONDS | st.builds(lambda moment, zone: moment.replace(tzinfo=zone).isoformat(), _INSTANTS, _OFFSETS)
IDS = st.uuids().map(str)
METADATA = st.fixed_dictionaries({}, optional=dict.fromkeys(("correlation_id", "causation_id", "actor"), TEXT))
_ATOM = r"[A-Za-z0-9!#$&'*+/=?^_`{|}~-]{1,12}"
#: Their pattern looks around, which would have most draws refused.
_ADDRESSES = st.builds(
    "{}@{}{}".format,
    st.from_regex(rf"{_ATOM}(\.{_ATOM}){{0,2}}", fullmatch=True) | st.just("x" * 64),
    st.from_regex(r"([A-Za-z0-9]([A-Za-z0-9-]{0,5}[A-Za-z0-9])?\.){1,3}", fullmatch=True) | st.just(f"{'y' * 63}." * 2),
    st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])", fullmatch=True),
)


def payloads(kind: type[DomainEvent], *, limited: bool = True) -> st.SearchStrategy[DomainEvent]:
    """Events of a type; beyond its limits too, unless ``limited``."""
    fields = {name: _values(annotation, limited) for name, annotation in annotations(kind).items()}
    return st.fixed_dictionaries(fields).map(lambda values: kind(**values))


@st.composite
def events(draw: st.DrawFn, *, limited: bool = True) -> RecordedEvent:
    """Events of every type, each an aggregate's first unless it says otherwise."""
    payload = draw(st.sampled_from(list(EVENT_TYPES.values())).flatmap(lambda kind: payloads(kind, limited=limited)))
    return draw(envelopes(payload, limited=limited))


@st.composite
def envelopes(draw: st.DrawFn, payload: DomainEvent, *, limited: bool = True) -> RecordedEvent:
    key = draw(IDS if limited else TEXT.map(lambda text: text.replace("#", "") or "x"))
    if isinstance(payload, BadgeEarned):
        key += f"#{draw(TEXT)}"
    event = NewEvent(
        event_id=draw(IDS if limited else TEXT.filter(bool)),
        payload=payload,
        occurred_at=draw(MILLISECONDS if limited else MOMENTS),
        metadata=draw(METADATA),
        expires_at=draw(st.none() | st.integers(0, 2**40)),
    )
    return event.recorded(f"{payload.aggregate_type}#{key}", draw(st.integers(1, 2**63 - 1)))


def _values(annotation: Any, limited: bool) -> st.SearchStrategy[Any]:
    base, marks = (
        (get_args(annotation)[0], get_args(annotation)[1:]) if get_origin(annotation) is Annotated else (annotation, ())
    )
    if get_origin(base) in (Union, UnionType):
        (inner,) = (each for each in get_args(base) if each is not NoneType)
        return st.none() | _values(Annotated[inner, *marks] if marks else inner, limited)
    if base is int:
        (bounds,) = (mark for mark in marks if isinstance(mark, Meta) and mark.le is not None)
        return st.integers(int(bounds.ge or 0), int(bounds.le or 0))
    limits = next((mark for mark in marks if isinstance(mark, Limits)), Limits())
    if base is not str:
        names, texts = get_args(base)
        most = limits.max_length if limited else 40
        return st.dictionaries(_values(names, limited), _values(texts, limited), max_size=min(5, most or 5))
    if MOMENT in marks:
        return MILLISECONDS if limited else MOMENTS
    if not limited:
        return TEXT
    if limits.pattern is None:
        alphabet = _ONE_LINE if single_line in limits.rules else st.characters(codec="utf-8")
        found = st.text(alphabet, min_size=limits.min_length, max_size=limits.max_length)
    else:
        found = _ADDRESSES if "@" in limits.pattern else st.from_regex(limits.pattern, fullmatch=True)
    return found.filter(lambda value: _taken(value, annotation))


def _taken(value: str, annotation: Any) -> bool:
    try:
        parsed("", value, annotation)
    except InvalidFieldError:
        return False
    return True
