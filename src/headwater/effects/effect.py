"""What an effect declares of itself. The frame in `headwater.effects.consumer` does the rest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from headwater.declarations import DeclarationError, place
from headwater.domain.events import DomainEvent, RecordedEvent
from headwater.grants import Grant

#: Something that an event leads to; done at most once per claim.
type Action = Callable[[], object]
#: An event's actions by name, each claimed on its own. The one action of an event has the name ``""``.
type Actions = Mapping[str, Action]
#: What an event leads to, not yet done.
type Prepare = Callable[[RecordedEvent], Actions]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a consumer behind a queue of its own does about events of some types: each once, however often it comes.

    Parameters
    ----------
    name
        The consumer's: of its queue, its function, and its items in the ledger, which a renamed one would not find.
    about
        What it does, in a few words: "Sends the welcome e-mail".
    on
        The event types that come to its queue.
    prepare
        Builds what turns an event into its actions; called once a container.
    mails
        Whether its actions are e-mails: seen by people, so that OnUnconfirmedEmail decides about one of which nobody
        knows whether it was sent. Those of another effect must change nothing the second time.
    grants
        What its actions call, besides sending e-mails.
    """

    name: str
    about: str
    on: Sequence[type[DomainEvent]]
    prepare: Callable[[], Prepare]
    mails: bool = False
    grants: Sequence[Grant] = ()
    #: Where it is declared.
    place: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", place())
        if not self.on:
            raise DeclarationError(f"{self.place}: effect {self.name} acts on no event")

    @property
    def handles(self) -> Sequence[str]:
        """The names of the event types, as messages and filters have them."""
        return [each.__name__ for each in self.on]
