"""What the declarations say, as the templates of the wiring ask for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Final

from headwater.application import Application, logical_id
from headwater.dead_letters.set_aside import PAUSES
from headwater.domain.events import DomainEvent
from headwater.effects.consumer import OUTAGE_PAUSES
from headwater.effects.effect import Effect
from headwater.grants import Grant
from headwater.notifications.mailer import QUOTA_RETRY_AFTER
from headwater.projections.projection import Projection

#: The longest that SQS keeps a message, as it does in each queue that people look into.
KEPT: Final = timedelta(days=14)
#: How long a message is hidden while an effect's function has it, and how often it comes before it is a dead letter.
HIDDEN: Final = timedelta(minutes=6)
RECEIVES: Final = 10
#: The same of FailedBatchesQueue.
FAILED_BATCH_HIDDEN: Final = timedelta(minutes=30)
FAILED_BATCH_RECEIVES: Final = 4


def _keys(types: Iterable[type[DomainEvent]]) -> list[str]:
    """Patterns of the partition keys of the aggregates that have events of these types, in the order given."""
    return [f"{each}#*" for each in dict.fromkeys(event.aggregate_type for event in types)]


class Consumer[T: Projection | Effect]:
    """What a consumer's function, and all that it needs, is called."""

    def __init__(self, declared: T) -> None:
        self.declared = declared
        self.name = declared.name
        self.id = logical_id(declared.name)
        #: As physical names have it.
        self.kebab = declared.name.replace("_", "-")
        self.handler = f"headwater.functions.consumers.{declared.name}"


class ProjectionConsumer(Consumer[Projection]):
    """``reads``, ``appends``: patterns of the keys of the events that it may read and append."""

    def __init__(self, declared: Projection, application: Application) -> None:
        super().__init__(declared)
        self.appends = _keys(declared.appends)
        types = {*declared.aggregate_types, *(each.aggregate_type for each in declared.appends)}
        self.reads = _keys(each for each in application.events.values() if each.aggregate_type in types)

    @property
    def comment(self) -> str:
        folded = ", ".join(event.__name__ for event in self.declared.folds)
        appended = ", ".join(event.__name__ for event in self.declared.appends)
        return f"Folds {folded} into rows {self.declared.pk('…')}" + (f", and appends {appended}." if appended else ".")


class EffectConsumer(Consumer[Effect]):
    """``tried``: how long a message may have been underway before it is a dead letter."""

    def __init__(self, declared: Effect) -> None:
        super().__init__(declared)
        postponed = RECEIVES * QUOTA_RETRY_AFTER if declared.mails else sum(OUTAGE_PAUSES, timedelta())
        self.tried = RECEIVES * HIDDEN + postponed


@dataclass(frozen=True)
class DeadLetterQueue:
    """A queue that people look into; ``tried``: how long a message may have been underway before it came there."""

    name: str
    queue: str
    tried: timedelta
    of_effect: bool = True

    @property
    def expires(self) -> int:
        """The age in seconds from which a message has less than a day left."""
        return int((KEPT - self.tried - timedelta(days=1)).total_seconds())


@dataclass(frozen=True)
class Facts:
    """All that a template of the wiring may ask for, by the names that it has there."""

    application: Application

    @cached_property
    def projections(self) -> list[ProjectionConsumer]:
        return [ProjectionConsumer(each, self.application) for each in self.application.projections.values()]

    @cached_property
    def effects(self) -> list[EffectConsumer]:
        return [EffectConsumer(each) for each in self.application.effects.values()]

    @property
    def read(self) -> list[str]:
        """The keys of all that a projection reads."""
        keys = {key for each in self.projections for key in each.reads}
        return [key for key in _keys(self.application.events.values()) if key in keys]

    @property
    def appended(self) -> list[str]:
        """The keys of all that a projection appends."""
        return list(dict.fromkeys(key for each in self.projections for key in each.appends))

    @property
    def redriving(self) -> list[Grant]:
        return [grant for feature in self.application.features for grant in feature.redriving]

    @property
    def dead_letter_queues(self) -> list[DeadLetterQueue]:
        """What was tried before it came there has used up some of a message's life."""
        set_aside = RECEIVES * HIDDEN + sum(PAUSES, timedelta())
        failed_batch = FAILED_BATCH_RECEIVES * FAILED_BATCH_HIDDEN
        of_effects = [
            *(
                DeadLetterQueue(f"{each.name}_dead_letter", f"{each.id}DeadLetterQueue", each.tried)
                for each in self.effects
            ),
            *(
                DeadLetterQueue(f"{each.name}_undelivered", f"{each.id}SubscriptionDeadLetterQueue", timedelta())
                for each in self.effects
            ),
        ]
        return [
            DeadLetterQueue("parked_records", "ParkedRecordsQueue", set_aside, of_effect=False),
            DeadLetterQueue("unresolved_pointers", "UnresolvedPointersQueue", failed_batch, of_effect=False),
            *of_effects,
        ]

    @property
    def looked_into(self) -> list[str]:
        of_effects = (f"{each.id}{which}DeadLetterQueue" for each in self.effects for which in ("", "Subscription"))
        return ["ParkedRecordsQueue", "UnresolvedPointersQueue", *of_effects]

    @property
    def hidden_seconds(self) -> int:
        return int(HIDDEN.total_seconds())

    @property
    def receives(self) -> int:
        return RECEIVES

    @property
    def kept_seconds(self) -> int:
        return int(KEPT.total_seconds())

    def by_name(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in dir(self) if not name.startswith("_") and name != "by_name"}
