"""The events: what happened, in the past tense, each with a schema version.

To add one: write its class below with what its fields hold (see constraints.py), add it to a feature of the
application, and run ``make wiring``. No clock, no ids, no I/O.

`EventTypes.reader` is the one way from what is stored or sent to an event; `demand_limits` is what an append asks
besides.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta, Raw, Struct

from headwater.domain.constraints import (
    INHERITED,
    NO_MOMENT,
    PERSONAL,
    Limits,
    Moment,
    Says,
    example,
    is_moment,
    moments,
    problems,
)
from headwater.domain.fields import InvalidFieldError, single_line, visible


class UnknownEventError(ValueError):
    """An event type, or a schema version of it, that this code does not know."""


class MalformedEventError(ValueError):
    """Something that is no event, or lacks what its type demands. The message names the field and quotes no value."""


SCORE_LIMIT: Final = 10**12

_SLUG: Final = r"[a-z0-9][a-z0-9-]{0,63}"
_ATOM: Final = r"[A-Za-z0-9!#$&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

Name = Annotated[
    str, Limits(min_length=1, max_length=100, rules=(single_line, visible)), PERSONAL, example("Ada Lovelace")
]
#: Pragmatic where RFC 5322 is generous: one unquoted local part, a domain of at least two labels, ASCII alone (SES
#: takes nothing else: an international domain is written as ``xn--…``), and no ``%``, which later hops may decode.
#: RFC 5321, 4.5.3.1: 64 characters of a local part, 254 of the path less its angle brackets.
Email = Annotated[
    str,
    Limits(
        min_length=6,
        max_length=254,
        pattern=rf"(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+(?![0-9]+$){_LABEL}",
        rules=(single_line,),
        says="must be a bare ASCII address such as ada@example.org, of 6 to 254 characters, at most 64 before the @",
    ),
    PERSONAL,
    example("ada@example.org"),
]
Uuid = Annotated[
    str,
    Limits(pattern=_UUID, format="uuid", says="must be a UUID in lower case"),
    example("019930c2-6d1e-7a40-9c35-5be0f1a2c3d4"),
]
Game = Annotated[
    str,
    Limits(pattern=_SLUG, says="must be 1 to 64 lower-case letters, digits and hyphens, no hyphen first"),
    example("chess"),
]
#: Its bounds bind readers too: the leaderboard sorts by thirteen digits.
Score = Annotated[
    int, Meta(ge=0, le=SCORE_LIMIT), Says(f"must be a whole number from 0 to {SCORE_LIMIT}"), example(120)
]
ActivityKind = Annotated[
    str,
    Limits(
        pattern=r"[A-Z][A-Za-z0-9]{0,63}",
        says="must be 1 to 64 letters and digits, a capital first, such as ClickOnLogo",
    ),
    example("ClickOnLogo"),
]
Details = Annotated[
    Mapping[
        Annotated[
            str,
            Limits(
                pattern=r"[A-Za-z][A-Za-z0-9_]{0,63}",
                says="must be named by 1 to 64 letters, digits and underscores, a letter first",
            ),
        ],
        Annotated[str, Limits(max_length=1000, rules=(single_line,))],
    ],
    Limits(max_length=20),
    PERSONAL,
    example({"page": "home"}),
]


class DomainEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """What every event class states of itself; its fields are the event's ``data``.

    ``key_limits`` are those of an aggregate's id after its type. ``plain_key``: it has no ``#``, by which projections
    tell what belongs to whom.
    """

    aggregate_type: ClassVar[str]
    schema_version: ClassVar[int]
    plain_key: ClassVar[bool] = True
    #: Room for a badge's id within a partition key of Kinesis: the user, the badge and the game.
    key_limits: ClassVar[Limits] = Limits(max_length=100)


class UserRegistered(DomainEvent, frozen=True, kw_only=True):
    """Somebody opened an account. The password is no part of it."""

    aggregate_type: ClassVar[str] = "user"
    schema_version: ClassVar[int] = 1
    name: Annotated[Name, Meta(description="What the user wants to be called.")]
    email: Annotated[Email, Meta(description="Where mail goes, the domain in lower case.")]


class UserEmailChanged(DomainEvent, frozen=True, kw_only=True):
    """The account moved to another address."""

    aggregate_type: ClassVar[str] = "user"
    schema_version: ClassVar[int] = 1
    old_email: Annotated[Email, INHERITED, Meta(description="The address until now.")]
    new_email: Annotated[Email, Meta(description="The address from now on.")]


class UserProfileChanged(DomainEvent, frozen=True, kw_only=True):
    """The user took another name."""

    aggregate_type: ClassVar[str] = "user"
    schema_version: ClassVar[int] = 1
    name: Annotated[Name, Meta(description="What the user wants to be called.")]


class UserDeleted(DomainEvent, frozen=True, kw_only=True):
    """The account was closed; nothing more happens to this user."""

    aggregate_type: ClassVar[str] = "user"
    schema_version: ClassVar[int] = 1


class PlayCompleted(DomainEvent, frozen=True, kw_only=True):
    """A player finished a play of a game."""

    aggregate_type: ClassVar[str] = "player"
    schema_version: ClassVar[int] = 1
    game: Annotated[Game, Meta(description="The game's slug.")]
    score: Annotated[Score, Meta(description="Points.")]
    played_at: Annotated[
        Moment,
        Meta(
            description="When the play ended: event time, ISO 8601 UTC with milliseconds. "
            "It may lie weeks before occurred_at."
        ),
    ]


class BadgeEarned(DomainEvent, frozen=True, kw_only=True):
    """A player earned a badge: the only event of its aggregate."""

    # One aggregate per user and badge, so that the append's own condition makes an award unique.
    aggregate_type: ClassVar[str] = "badge"
    schema_version: ClassVar[int] = 1
    plain_key: ClassVar[bool] = False
    key_limits: ClassVar[Limits] = Limits(max_length=250)
    user_id: Annotated[Uuid, INHERITED, Meta(description="The player's user id.")]
    badge: Annotated[str, Limits(pattern=_SLUG), Meta(description="The badge's id."), example("a-badge")]
    game: Annotated[Game | None, Meta(description="The game that it was earned in; null for a badge across games.")]
    title: Annotated[
        str, Limits(min_length=1, max_length=100), Meta(description="What people see."), example("First play")
    ]
    earned_at: Annotated[Moment, Meta(description="Event time of the play that earned it.")]
    play_event_id: Annotated[Uuid, INHERITED, Meta(description="The event_id of that play.")]


class ActivityRecorded(DomainEvent, frozen=True, kw_only=True):
    """A visitor did something: the only event of its aggregate, which expires."""

    aggregate_type: ClassVar[str] = "activity"
    schema_version: ClassVar[int] = 1
    plain_key: ClassVar[bool] = False
    kind: Annotated[ActivityKind, Meta(description="What was done, such as ClickOnLogo.")]
    user_id: Annotated[Uuid | None, INHERITED, Meta(description="Who did it; null if nobody known.")]
    details: Annotated[Details, Meta(description="Free texts by name; they may say something about a person.")]


class RecordedEvent(Struct, frozen=True, kw_only=True, dict=True):
    """One stored event.

    ``aggregate_id`` is ``<type>#<id>``; ``version`` counts 1, 2, 3 … without gaps; ``occurred_at`` is ISO 8601 UTC
    with milliseconds; ``metadata`` holds correlation_id, causation_id and actor where known; ``expires_at`` is in
    epoch seconds and only on events that the table's TTL removes.
    """

    #: PutRecordsRequestEntry, Kinesis API reference: 256 Unicode characters in a partition key, which is this. At four
    #: bytes each they are half of what a key of DynamoDB takes.
    aggregate_id: Annotated[str, Limits(max_length=256)]
    version: int
    #: Part of keys: of the effect ledger's items and of claim checks.
    event_id: Annotated[str, Limits(max_length=128)]
    type: str
    schema_version: int
    occurred_at: Moment
    data: Mapping[str, Any]
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict)
    expires_at: int | None = None

    @property
    def aggregate_type(self) -> str:
        return self.aggregate_id.partition("#")[0]

    @property
    def aggregate_key(self) -> str:
        """The id without its type: the user's id for ``user#…`` and ``player#…``."""
        return self.aggregate_id.partition("#")[2]

    @cached_property
    def payload(self) -> DomainEvent:
        """The data as its typed event, which whoever read it has given: see `with_payload`.

        Raises
        ------
        MalformedEventError
            Nobody has read the data: it waits behind a claim check.
        """
        raise MalformedEventError(f"{_of(self.event_id, self.type)}: its data was not read")

    def with_payload(self, payload: DomainEvent) -> "RecordedEvent":
        """This event, with what its data says."""
        self.__dict__["payload"] = payload
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event on its way into the store: the payload, with the id and the time that the caller took."""

    event_id: str
    payload: DomainEvent
    occurred_at: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    expires_at: int | None = None

    def recorded(self, aggregate_id: str, version: int) -> RecordedEvent:
        """The envelope under which the store keeps it."""
        return RecordedEvent(
            aggregate_id=aggregate_id,
            version=version,
            event_id=self.event_id,
            type=type(self.payload).__name__,
            schema_version=self.payload.schema_version,
            occurred_at=self.occurred_at,
            data=msgspec.structs.asdict(self.payload),
            metadata=self.metadata,
            expires_at=self.expires_at,
        ).with_payload(self.payload)


class EventTypes(Mapping[str, type[DomainEvent]]):
    """Event types by name, and the one typed decoding of their events."""

    def __init__(self, *types: type[DomainEvent]) -> None:
        self._types = {each.__name__: each for each in types}
        self._readers = {name: EventReader(each) for name, each in self._types.items()}

    def __getitem__(self, name: str) -> type[DomainEvent]:
        return self._types[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)

    def reader(  # noqa: PLR0917  # in the order in which an item has them; by name they would cost a tenth of the reading
        self, aggregate_id: str, version: int, event_id: str, type_: str, schema_version: int, occurred_at: str
    ) -> "EventReader":
        """What reads the data of an event, once its envelope is what every reader relies on.

        Raises
        ------
        UnknownEventError
            Its type, or its schema version, is not one of these.
        MalformedEventError
            Something is missing, or is not what it must be.
        """
        aggregate_type, _, key = aggregate_id.partition("#")
        if not (aggregate_type and key):
            raise MalformedEventError("the aggregate's id must be <type>#<id>, neither of them empty")
        if not (event_id and type_):
            raise MalformedEventError("the event's id and type must not be empty")
        if not (aggregate_id.isascii() and event_id.isascii()):
            _demand_utf8(aggregate_id + event_id)
        if not 1 <= version <= LAST_VERSION:
            raise MalformedEventError(f"{_of(event_id, type_)}: 'version' must be from 1 to 2**63 - 1")
        if not is_moment(occurred_at):
            raise MalformedEventError(f"{_of(event_id, type_)}: 'occurred_at' {NO_MOMENT}")
        reader = self._readers.get(type_)
        if reader is None or reader.schema_version != schema_version:
            reader = self.of(type_, schema_version, event_id)
        if aggregate_type != reader.aggregate_type:
            raise MalformedEventError(
                f"{_of(event_id, type_)} belongs to an aggregate of type {reader.aggregate_type}, not of another"
            )
        if reader.plain_key and "#" in key:
            raise MalformedEventError(f"{_of(event_id, type_)}: the id of its aggregate must have one # alone")
        return reader

    def of(self, type_: str, schema_version: int, event_id: str) -> "EventReader":
        """What reads the data of a type's events, whatever their envelope; raises `UnknownEventError`."""
        reader = self._readers.get(type_)
        if reader is None:
            raise UnknownEventError(f"event {_shown(event_id)} has the unknown type {_shown(type_)!r}")
        if schema_version != reader.schema_version:
            raise UnknownEventError(
                f"{_of(event_id, type_)} has schema version {schema_version}; "
                f"this code knows {reader.schema_version}: deploy the newer code, then redrive"
            )
        return reader


#: msgspec notes on a class what it has found out of its fields so far. Whoever builds a second decoder of a class
#: meanwhile gets one of half its fields, which ends the process at its first use.
_BUILDING: Final = Lock()


class EventReader:
    """Reads one type's data. What it takes is built when it is needed first: a cold start needs few of the types."""

    def __init__(self, type_: type[DomainEvent]) -> None:
        self._type = type_
        self._built: tuple[Callable[[str | bytes | Raw], DomainEvent], tuple[str, ...]] | None = None
        self.aggregate_type = type_.aggregate_type
        self.schema_version = type_.schema_version
        self.plain_key = type_.plain_key

    @property
    def _tools(self) -> tuple[Callable[[str | bytes | Raw], DomainEvent], tuple[str, ...]]:
        """What decodes, and which fields are moments."""
        if self._built is None:
            with _BUILDING:
                if self._built is None:
                    self._built = msgspec.json.Decoder(self._type).decode, moments(self._type)
        return self._built

    def read(self, data: str | bytes | Raw, event_id: str) -> DomainEvent:
        """The event that a JSON text holds.

        Raises
        ------
        MalformedEventError
            It is not what the type demands; the message names the field.
        """
        decode, moments_ = self._tools
        try:
            payload = decode(data)
        except (ValueError, RecursionError) as error:
            raise MalformedEventError(f"{_of(event_id, self._type.__name__)}: {_expected(error)}") from None
        for name in moments_:
            if not is_moment(getattr(payload, name)):
                raise MalformedEventError(f"{_of(event_id, self._type.__name__)}: {name!r} {NO_MOMENT}")
        return payload


def demand_limits(event: RecordedEvent) -> None:
    """What an append demands of an event that every reader could read: the limits of its type and of its envelope.

    Raises
    ------
    MalformedEventError
        Names all that is beyond its limits.
    """
    found = [*problems(event.payload), *problems(event)]
    if problem := event.payload.key_limits.problem(event.aggregate_key):
        found.append(InvalidFieldError("aggregate_id", f"{problem} after its type"))
    if found:
        raise MalformedEventError(f"{_of(event.event_id, event.type)}: {'; '.join(map(str, found))}")


#: The highest that a consumer's number of 64 bits holds.
LAST_VERSION: Final = 2**63 - 1
_AT: Final = re.compile(r"(?P<problem>.*) - at `\$\.?(?P<field>.*)`", re.DOTALL)


def _expected(error: Exception) -> str:
    """msgspec's message, which names types and fields; it quotes no value, but the name of an unknown field."""
    if not isinstance(error, msgspec.DecodeError):
        return "its data is nested too deeply" if isinstance(error, RecursionError) else "its data is not UTF-8"
    message = str(error)
    if found := _AT.fullmatch(message):
        return f"{found['field']!r}: {_continued(found['problem'])}"
    return _shown(f"its data: {_continued(message)}", 200)


def _continued(sentence: str) -> str:
    """As it stands within another one: "JSON" stays as it is."""
    return sentence if sentence[:2].isupper() else f"{sentence[:1].lower()}{sentence[1:]}"


def _demand_utf8(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise MalformedEventError("the event's id, type or aggregate holds half of a surrogate pair") from None


def _of(event_id: str, type_: str) -> str:
    return f"event {_shown(event_id)} ({_shown(type_)})"


def _shown(value: str, most: int = 80) -> str:
    """A foreign text, short enough for a line and without what would break it."""
    return "".join(char if char.isprintable() else "?" for char in value[:most])
