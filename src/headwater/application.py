"""What an application declares: its events, its read models and its effects.

Functions, command, local stack, simulator and `make wiring` take it from here; one setting, APPLICATION, names the
module that holds it, as ``APP``.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from operator import attrgetter

from headwater.declarations import DeclarationError, place_of
from headwater.domain.events import DomainEvent, EventTypes
from headwater.effects.effect import Effect
from headwater.grants import Grant
from headwater.projections.projection import Projection

#: The backbone's own consumers: no application's may be called so.
RESERVED_CONSUMERS = frozenset({"archiver", "fan_out", "bi_export", "compaction", "dead_letters", "redrive"})

#: Kinesis Data Streams, quotas: five reads a second and 2 MB/s a shard, shared by all standard readers. One is the
#: export's.
STANDARD_READERS = 4
#: Of a function's logical id, 24 characters are left in its name ("Function" takes eight).
LONGEST_NAME = 16
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z][a-z0-9]*)*")


@dataclass(frozen=True)
class Feature:
    """What belongs together of an application: events, and what is made of them.

    ``redriving``: what a redrive of this feature's own consumers calls, of those that are neither projections nor
    effects.
    """

    name: str
    events: Sequence[type[DomainEvent]] = ()
    projections: Sequence[Projection] = ()
    effects: Sequence[Effect] = ()
    redriving: Sequence[Grant] = ()


@dataclass(frozen=True)
class Application:
    """All of an application. Consumers are known by their names, which are unique.

    Raises
    ------
    DeclarationError
        Two events or consumers have one name, a consumer takes an event that no feature declares, or more projections
        share the stream than its shards serve.
    """

    name: str
    features: Sequence[Feature]
    events: EventTypes = field(init=False)
    projections: Mapping[str, Projection] = field(init=False)
    effects: Mapping[str, Effect] = field(init=False)

    def __post_init__(self) -> None:
        events = [each for feature in self.features for each in feature.events]
        projections = [each for feature in self.features for each in feature.projections]
        effects = [each for feature in self.features for each in feature.effects]
        consumers: list[Projection | Effect] = [*projections, *effects]
        _demand_unique("event", [(each.__name__, each) for each in events], place_of)
        _demand_unique("consumer", [(each.name, each) for each in consumers], attrgetter("place"))
        for consumer in consumers:
            _demand_name(consumer)
            _demand_declared(consumer, events)
        sharing = [each for each in projections if not each.enhanced_fan_out]
        for one_more in sharing[STANDARD_READERS:]:
            raise DeclarationError(
                f"{one_more.place}: a shard serves no more than {STANDARD_READERS} projections that share its reads: "
                "give the newest one enhanced_fan_out=True (about 11 dollars a month and shard)"
            )
        object.__setattr__(self, "events", EventTypes(*events))
        object.__setattr__(self, "projections", {each.name: each for each in projections})
        object.__setattr__(self, "effects", {each.name: each for each in effects})


def logical_id(name: str) -> str:
    """What a template's resources are called by a consumer's name: ``welcome_email`` is WelcomeEmail."""
    return "".join(word.capitalize() for word in name.split("_"))


def function_of(consumer: str) -> str:
    """The logical id of a consumer's function."""
    return f"{logical_id(consumer)}Function"


def load(module: str) -> Application:
    """The application that a module holds.

    Raises
    ------
    DeclarationError
        There is no such module, or it has no ``APP``.
    """
    try:
        application = getattr(import_module(module), "APP", None)
    except ModuleNotFoundError as error:
        if error.name and not module.startswith(error.name):
            raise
        raise DeclarationError(f"APPLICATION names the module {module}, which is not there") from None
    if not isinstance(application, Application):
        raise DeclarationError(f"module {module} must hold the application, as APP = Application(…)")
    return application


def _demand_unique[T](kind: str, named: Iterable[tuple[str, T]], place: Callable[[T], str]) -> None:
    first: dict[str, T] = {}
    for name, declared in named:
        if name in first:
            raise DeclarationError(
                f"{place(declared)}: there is another {kind} {name}, at {place(first[name])}: rename one"
            )
        first[name] = declared


def _demand_name(consumer: Projection | Effect) -> None:
    name, place = consumer.name, consumer.place
    if name in RESERVED_CONSUMERS:
        raise DeclarationError(f"{place}: {name} is a consumer of the backbone's: choose another name")
    if not _NAME.fullmatch(name) or len(name.replace("_", "")) > LONGEST_NAME:
        raise DeclarationError(
            f"{place}: the consumer's name {name!r} must be words of lower-case letters and digits, a letter first, "
            f"joined by underscores, of at most {LONGEST_NAME} in all: CloudFormation cuts the names of functions, by "
            "which a failed batch tells its consumer"
        )


def _demand_declared(consumer: Projection | Effect, events: Collection[type[DomainEvent]]) -> None:
    taken = consumer.on if isinstance(consumer, Effect) else [*consumer.declared, *consumer.appends]
    if missing := sorted(each.__name__ for each in taken if each not in events):
        raise DeclarationError(
            f"{consumer.place}: {consumer.name} takes {', '.join(missing)}, which no feature declares: "
            "add it to a feature's events"
        )
