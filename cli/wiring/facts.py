"""What the declarations say, as the templates of the wiring ask for it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from headwater.application import Application
from headwater.domain.events import DomainEvent
from headwater.effects.effect import Effect
from headwater.grants import Grant
from headwater.projections.projection import Projection

#: Kinesis Data Streams, quotas: five reads a second and 2 MB/s a shard, shared by all standard readers. One is the
#: export's.
STANDARD_READERS: Final = 4


def logical_id(name: str) -> str:
    """``welcome_email`` is WelcomeEmail in a template."""
    return "".join(word.capitalize() for word in name.split("_"))


def kebab(name: str) -> str:
    return name.replace("_", "-")


def _keys(types: Iterable[type[DomainEvent]]) -> list[str]:
    """Patterns of the partition keys of the aggregates that have events of these types, in the order given."""
    return [f"{each}#*" for each in dict.fromkeys(event.aggregate_type for event in types)]


def _spelled(name: str) -> str:
    return name.replace("_", " ")


#: What a template of before the wiring said.
AS_BEFORE: Final = {
    "player_profiles": ("Keeps the player profiles", "The player profiles"),
    "leaderboard": ("Keeps the leaderboards", "The leaderboards"),
    "badges": ("Awards badges for plays", "The badges"),
    "achievements": ("Keeps what each user has achieved", "The achievements"),
    "welcome_email": (
        "Sends the welcome e-mail",
        "Registrations that wait for their e-mail",
        "Registrations whose e-mail failed",
        "Registrations that SNS could not deliver",
    ),
    "change_notice": (
        "Tells people of changes to their accounts",
        "Changes of accounts that wait for their notice",
        "Changes of accounts whose notice failed",
        "Changes of accounts that SNS could not deliver",
    ),
    "default_resources": (
        "Gives each new user their preferences",
        "Registrations that wait for their preferences",
        "Registrations whose preferences failed",
        "Registrations that SNS could not deliver",
    ),
    "account_cleanup": (
        "Removes what a deleted user leaves behind",
        "Deletions that wait for their clean-up",
        "Deletions whose clean-up failed",
        "Deletions that SNS could not deliver",
    ),
}


@dataclass(frozen=True)
class ProjectionFacts:
    """What the resources of a projection's function say."""

    declared: Projection
    application: Application
    #: Whether the shard's standard readers are as many as it serves already.
    reads_alone: bool

    @property
    def name(self) -> str:
        return self.declared.name

    @property
    def id(self) -> str:
        return logical_id(self.name)

    @property
    def kebab(self) -> str:
        return kebab(self.name)

    @property
    def handler(self) -> str:
        return f"headwater.functions.{self.name}.handler"

    @property
    def description(self) -> str:
        return AS_BEFORE[self.name][0]

    @property
    def behind(self) -> str:
        return f"{AS_BEFORE[self.name][1]} are behind the stream by more than 5 minutes."

    @property
    def comment(self) -> str:
        folded = ", ".join(event.__name__ for event in self.declared.folds)
        appended = ", ".join(event.__name__ for event in self.declared.appends)
        return f"Folds {folded} into rows {self.declared.pk('…')}" + (f", and appends {appended}." if appended else ".")

    @property
    def appends(self) -> bool:
        return bool(self.declared.appends)

    @property
    def read_keys(self) -> list[str]:
        types = {*self.declared.aggregate_types, *(each.aggregate_type for each in self.declared.appends)}
        return _keys(each for each in self.application.events.values() if each.aggregate_type in types)

    @property
    def append_keys(self) -> list[str]:
        return _keys(self.declared.appends)

    heal_sid = property(lambda self: "HealGapsAndReadAwards" if self.appends else "HealGaps")
    rows_sid = property(lambda self: "KeepProgress" if self.appends else "KeepReadModels")
    append_sid = "Award"


@dataclass(frozen=True)
class EffectFacts:
    """What the resources of an effect's queue and function say."""

    declared: Effect

    @property
    def name(self) -> str:
        return self.declared.name

    @property
    def id(self) -> str:
        return logical_id(self.name)

    @property
    def kebab(self) -> str:
        return kebab(self.name)

    @property
    def handler(self) -> str:
        return f"headwater.functions.{self.name}.handler"

    @property
    def description(self) -> str:
        return AS_BEFORE[self.name][0]

    @property
    def comment(self) -> str:
        return f"{self.declared.about}, once, at {' and '.join(self.handles)}."

    @property
    def handles(self) -> Sequence[str]:
        return self.declared.handles

    @property
    def mails(self) -> bool:
        return self.declared.mails

    @property
    def grants(self) -> Sequence[Grant]:
        return self.declared.grants

    once_sid = property(lambda self: "SendOnce" if self.mails else "ActOnce")
    ledger_keys = ("effect#*",)
    waiting = property(lambda self: AS_BEFORE[self.name][1])
    failed = property(lambda self: AS_BEFORE[self.name][2])
    undelivered = property(lambda self: AS_BEFORE[self.name][3])


@dataclass(frozen=True)
class DeadLetterQueue:
    """A queue that people look into, and the age in seconds from which its messages have a day left."""

    name: str
    queue: str
    expires: int
    of_effect: bool = True


@dataclass(frozen=True)
class Facts:
    """All that a template of the wiring may ask for, by the names that it has there."""

    application: Application

    @cached_property
    def projections(self) -> list[ProjectionFacts]:
        return [
            ProjectionFacts(each, self.application, number >= STANDARD_READERS)
            for number, each in enumerate(self.application.projections.values())
        ]

    @cached_property
    def effects(self) -> list[EffectFacts]:
        return [EffectFacts(each) for each in self.application.effects.values()]

    @property
    def read_keys(self) -> list[str]:
        """What a redrive of projections reads."""
        keys = {key for each in self.projections for key in each.read_keys}
        return [key for key in _keys(self.application.events.values()) if key in keys]

    @property
    def appended_keys(self) -> list[str]:
        return list(dict.fromkeys(key for each in self.projections for key in each.append_keys))

    append_sid = "Award"

    @property
    def redriving(self) -> list[Grant]:
        return [grant for feature in self.application.features for grant in feature.redriving]

    @property
    def dead_letter_queues(self) -> list[DeadLetterQueue]:
        return [
            DeadLetterQueue("parked_records", "ParkedRecordsQueue", 950400, of_effect=False),
            DeadLetterQueue("unresolved_pointers", "UnresolvedPointersQueue", 1114200, of_effect=False),
            *(
                DeadLetterQueue(
                    f"{each.name}_dead_letter", f"{each.id}DeadLetterQueue", 1011600 if each.mails else 1076400
                )
                for each in self.effects
            ),
            *(
                DeadLetterQueue(
                    f"{each.name}_subscription_dead_letter", f"{each.id}SubscriptionDeadLetterQueue", 1114200
                )
                for each in self.effects
            ),
        ]

    @property
    def looked_into(self) -> list[str]:
        of_effects = (f"{each.id}{which}DeadLetterQueue" for each in self.effects for which in ("", "Subscription"))
        return ["ParkedRecordsQueue", "UnresolvedPointersQueue", *of_effects]

    queue_age_says = "Messages have waited fifteen minutes for their e-mail, preferences or clean-up."

    def by_name(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in dir(self) if not name.startswith("_") and name != "by_name"}
