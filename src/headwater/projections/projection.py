"""What a read model declares of itself. One module each; the runner does the rest."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import islice
from typing import Any

from headwater.declarations import DeclarationError, place
from headwater.domain.events import DomainEvent, MalformedEventError, RecordedEvent, UnknownEventError

#: A row's own attributes: plain values that DynamoDB holds.
type State = dict[str, Any]
#: ``(state, payload, event) -> state``. Pure: it gives a new state and leaves the one that it got as it was.
type Evolve = Callable[[State, Any, RecordedEvent], State]

#: What the runner keeps in a row beside the state.
RESERVED_ATTRIBUTES = frozenset(
    {"pk", "applied", "parked_from", "waits_for", "revision", "deleted", "ranking", "ranked_by"}
)

#: What a fold raises over data that it cannot read; deterministic, so trying again would not help.
_UNFOLDABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def aggregate_key(aggregate_id: str) -> str:
    """The part after the type: ``user#X`` and ``player#X`` share the row of X."""
    return aggregate_id.partition("#")[2]


def owner_key(aggregate_id: str) -> str:
    """The part after the type, up to the next ``#``: ``user#X`` and all ``badge#X#<badge>`` share the row of X."""
    return aggregate_id.split("#", 2)[1]


@dataclass(frozen=True, slots=True)
class Rank:
    """A row's place in the index of rankings: the partition it stands in, and the text by which it is sorted there."""

    ranking: str
    ranked_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """What one batch does to one row: the state before and after (None in a tombstone), and the events applied."""

    key: str
    before: State | None
    after: State | None
    events: Sequence[RecordedEvent]


#: An effect that must be there before the row says so. It may run again for the same events: make it idempotent.
type BeforeWrite = Callable[[RowChange], None]


@dataclass(frozen=True, kw_only=True)
class Projection:
    """A read model as a fold over the events of some aggregate types: one row a key, or several.

    Parameters
    ----------
    name, generation
        A row's key is ``<name>@<generation>#<key>``. A fold that changes its meaning takes a new generation.
    initial
        The state of a row without events.
    folds
        The event types that change the state, each with its pure function.
    deleted_by
        The event types that turn the row into a tombstone. A tombstone is final: later events only pass its gates.
    ignores
        The event types, of the aggregate types that it follows, that it does not need. They still pass the gate,
        because versions have no gaps. Within these aggregate types, an event that is neither here nor folded is an
        error, not a silent skip. To all other aggregate types a projection is deaf, whatever their events are.
    key
        The row's key from an aggregate id. It sees no data: all events of one aggregate belong to one row, whose gate
        counts them. Folds of different aggregates must commute, because nothing orders their events.
    many
        The aggregate types of which several aggregates belong to one row (a user's awards): their gates go by
        aggregate id, those of all others by type.
    part
        The name of the part that an event changes, from its payload, where a key has several rows. Folds then take
        and give a part's state, ``initial`` is that of a part, and each part has its row ``<key>#<part>``. The key's
        own row is their checkpoint: it holds the gates and ``{"parts": {part: state}}``, and moves in the same
        transaction as the rows of the parts that change. It is all that has to be read, whatever the batch brings.
    before_write, appends
        Builds what runs before each write of a row, once a container; and the events that it appends, if any.
    enhanced_fan_out
        Whether its function reads the stream through a connection of its own, which is paid by the shard and hour. A
        shard serves four projections without (see `headwater.application.STANDARD_READERS`).
    rank
        Where a row stands in the index of rankings, from its key (``<key>#<part>``) and state; a tombstone in none.
    """

    name: str
    generation: int
    initial: Mapping[str, Any]
    folds: Mapping[type[DomainEvent], Evolve]
    deleted_by: Collection[type[DomainEvent]] = ()
    ignores: Collection[type[DomainEvent]] = ()
    key: Callable[[str], str] = aggregate_key
    many: Collection[str] = ()
    part: Callable[[Any], str] | None = None
    rank: Callable[[str, State], Rank] | None = None
    before_write: Callable[[], BeforeWrite] | None = None
    appends: Collection[type[DomainEvent]] = ()
    enhanced_fan_out: bool = False
    aggregate_types: frozenset[str] = field(init=False)
    #: Where it is declared.
    place: str = field(init=False, repr=False, compare=False)
    _evolves: Mapping[str, tuple[str, Evolve | None]] = field(init=False, repr=False)
    _ignored: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", place())
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise self._wrong(f"projection name {self.name!r} must be lower-case letters, digits and underscores")
        if clash := RESERVED_ATTRIBUTES & self.initial.keys():
            raise self._wrong(f"projection {self.name}: the runner keeps the attribute(s) {sorted(clash)} itself")
        declared = self.declared
        if twice := sorted({event.__name__ for event in declared if declared.count(event) > 1}):
            raise self._wrong(f"projection {self.name} declares {twice} more than once")
        evolves: dict[str, tuple[str, Evolve | None]] = {
            event.__name__: (event.aggregate_type, evolve) for event, evolve in self.folds.items()
        }
        evolves |= {event.__name__: (event.aggregate_type, None) for event in self.deleted_by}
        object.__setattr__(self, "_evolves", evolves)
        object.__setattr__(self, "_ignored", frozenset(event.__name__ for event in self.ignores))
        object.__setattr__(self, "aggregate_types", frozenset(type_ for type_, _ in evolves.values()))
        if foreign := [each.__name__ for each in self.ignores if each.aggregate_type not in self.aggregate_types]:
            raise self._wrong(
                f"projection {self.name} ignores {foreign} of aggregate types that it does not follow: leave them out"
            )
        if unknown := sorted(set(self.many) - self.aggregate_types):
            raise self._wrong(f"projection {self.name} folds no event of {unknown}, of which it expects many")

    def _wrong(self, problem: str) -> DeclarationError:
        return DeclarationError(f"{self.place}: {problem}")

    @property
    def declared(self) -> Sequence[type[DomainEvent]]:
        """The event types that it knows."""
        return [*self.folds, *self.deleted_by, *self.ignores]

    def pk(self, key: str) -> str:
        """The row's primary key in the table of read models."""
        return f"{self.name}@{self.generation}#{key}"

    def new_state(self) -> State:
        """The state of a key without events."""
        return dict(self.initial) if self.part is None else {"parts": {}}

    def ranked(self, key: str, state: State | None) -> Rank | None:
        """The row's place in the index, whose partitions carry the projection's name and generation as rows do.

        Raises
        ------
        MalformedEventError
            The state holds what cannot be ranked, from whichever event.
        """
        if self.rank is None or state is None:
            return None
        try:
            rank = self.rank(key, state)
        except _UNFOLDABLE as error:
            raise MalformedEventError(f"projection {self.name} cannot rank {key!r}: {type(error).__name__}") from error
        return Rank(self.pk(rank.ranking), rank.ranked_by)

    def changed_parts(self, before: State | None, after: State | None) -> dict[str, State | None]:
        """The parts that are another in ``after`` than in ``before``; None is a tombstone, of a part that is gone."""
        if self.part is None:
            return {}
        old, new = before["parts"] if before else {}, after["parts"] if after else {}
        changed: dict[str, State | None] = {part: state for part, state in new.items() if old.get(part) != state}
        return changed | {part: None for part in old if part not in new}

    @staticmethod
    def count_parts(state: State | None) -> int:
        return len(state["parts"]) if state else 0

    @staticmethod
    def without_parts(state: State | None, count: int) -> State | None:
        """The state without its first ``count`` parts: a deletion on its way."""
        return {"parts": dict(islice(state["parts"].items(), count, None))} if state else None

    def gate(self, event: RecordedEvent) -> str:
        """Under which name the event's row keeps the version that it has reached of the event's aggregate."""
        return self.gate_of(event.aggregate_id)

    def gate_of(self, aggregate_id: str) -> str:
        """The gate of an aggregate, whose id begins with its type."""
        aggregate_type = aggregate_id.partition("#")[0]
        return aggregate_id if aggregate_type in self.many else aggregate_type

    def follows(self, aggregate_id: str) -> bool:
        """Whether the id is that of an aggregate whose events this projection takes."""
        aggregate_type, separator, _ = aggregate_id.partition("#")
        return bool(separator) and aggregate_type in self.aggregate_types

    def evolve(self, state: State | None, event: RecordedEvent) -> State | None:
        """The state after one more event; None is a tombstone.

        Raises
        ------
        UnknownEventError
            The type is neither folded nor ignored, or its schema version is newer than this code.
        MalformedEventError
            The data is not what the type demands.
        """
        if event.type in self._ignored:
            return state
        if event.type not in self._evolves:
            raise UnknownEventError(
                f"projection {self.name} neither folds nor ignores {event.type!r} of {event.aggregate_type!r}: "
                f"declare it, deploy, then redrive event {event.event_id}"
            )
        aggregate_type, evolve = self._evolves[event.type]
        if event.aggregate_type != aggregate_type:
            raise MalformedEventError(
                f"event {event.event_id} ({event.type}) belongs to an aggregate of type {aggregate_type}, "
                f"not {event.aggregate_type}"
            )
        payload = event.payload
        if state is None or evolve is None:
            return None
        try:
            if self.part is None:
                return evolve(state, payload, event)
            parts, part = state["parts"], self.part(payload)
            return {"parts": {**parts, part: evolve(parts.get(part) or dict(self.initial), payload, event)}}
        except _UNFOLDABLE as error:
            # Only the error's type: its text may quote the data, which is personal.
            raise MalformedEventError(
                f"projection {self.name} cannot fold event {event.event_id} ({event.type}): {type(error).__name__}"
            ) from error

    def fold(self, events: Iterable[RecordedEvent]) -> State | None:
        """The state of a key after a whole history, each aggregate's events in order."""
        initial: State | None = self.new_state()
        return reduce(self.evolve, events, initial)
