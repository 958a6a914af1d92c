"""What the consumers behind SNS owe, once all is delivered: e-mails, preferences, and nothing left of the deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from arcade.app import ACCOUNT_CLEANUP, CHANGE_NOTICE, DEFAULT_RESOURCES, WELCOME_EMAIL
from devstack.simulator.cloud.sesv2 import SentEmail
from devstack.simulator.evidence import Evidence
from devstack.simulator.findings import Finding, Harm
from headwater import bootstrap
from headwater.accounts.preferences import DEFAULTS
from headwater.application import logical_id
from headwater.domain.events import RecordedEvent, UserDeleted, UserEmailChanged, UserProfileChanged, UserRegistered
from headwater.domain.user import email_key
from headwater.failures import PERMANENT_ERRORS, JudgedError
from headwater.notifications import change_notice, welcome_email
from headwater.notifications.templating import one_line

_FAN_OUT: Final = "FanOutFunction"
_REGISTERED: Final = UserRegistered.__name__
_DELETED: Final = UserDeleted.__name__

#: What tells an e-mail from others: its subject, its recipient, and its first line.
type Mail = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Due:
    """An effect that an event leads to. ``mails``: the e-mails, any one of which it may have become."""

    event: RecordedEvent
    name: str
    mails: Sequence[Mail] = ()
    #: The user is deleted by now, and need not have got it.
    optional: bool = False

    @property
    def effect_id(self) -> str:
        return f"{self.event.event_id}#{self.name}" if self.name else self.event.event_id


def each_effect_is_done(evidence: Evidence) -> Iterator[Finding]:
    """Whatever an event leads to is done, or somebody knows that it waits: by each effect that is declared."""
    for name, declared in bootstrap.application().effects.items():
        effects, consumer = _Effects(evidence, name), bootstrap.effect(name)
        for event in evidence.events(*{each.aggregate_type for each in declared.on}):
            try:
                due = consumer.effect_ids(event)
            except (JudgedError, *PERMANENT_ERRORS):
                # What it reads besides is somebody's odd record by now: it is judged by what it has done of this event.
                due = effects.ids_of(event) or [event.event_id]
            for effect_id in due:
                if (found := effects.undone(event, effect_id, {"confirmed", "refused"})) is not None:
                    yield found


def each_user_is_greeted_once(evidence: Evidence) -> Iterator[Finding]:
    """One welcome e-mail a registration."""
    due = [
        Due(event, "", [(welcome_email.SUBJECT, event.data["email"], f"Hello {one_line(event.data['name'])},")])
        for event in evidence.events("user")
        if event.type == _REGISTERED
    ]
    yield from _each_is_sent_once(evidence, WELCOME_EMAIL.name, due)


def each_change_is_told_once(evidence: Evidence) -> Iterator[Finding]:
    """Two e-mails a change of address, one a change of profile, to an address that the user had."""
    due = []
    for aggregate_id, history in evidence.log.items():
        addresses = [event.data["email"] for event in history if event.type == _REGISTERED]
        addresses += [event.data["new_email"] for event in history if event.type == UserEmailChanged.__name__]
        deleted = bool(history) and history[-1].type == _DELETED
        for event in history if aggregate_id.startswith("user#") else ():
            match event.type:
                case UserEmailChanged.__name__:
                    for name, field in (
                        (change_notice.OLD_ADDRESS, "old_email"),
                        (change_notice.NEW_ADDRESS, "new_email"),
                    ):
                        due.append(Due(event, name, [(change_notice.ADDRESS_CHANGED, event.data[field], "Hello,")]))
                case UserProfileChanged.__name__:
                    hello = f"Hello {one_line(event.data['name'])},"
                    mails = [(change_notice.PROFILE_CHANGED, address, hello) for address in dict.fromkeys(addresses)]
                    due.append(Due(event, "", mails, optional=deleted))
    yield from _each_is_sent_once(evidence, CHANGE_NOTICE.name, due)


def preferences_are_those_of_users(evidence: Evidence) -> Iterator[Finding]:
    """Every user has preferences, a deleted one the bare record, and nobody else any."""
    records = {item["pk"]: item for item in evidence.items("PreferencesTable")}
    made = _settled(evidence, DEFAULT_RESOURCES.name, [_REGISTERED])
    removed = _settled(evidence, ACCOUNT_CLEANUP.name, [_DELETED], effect="preferences")
    for aggregate_id, history in evidence.log.items():
        if not (history and aggregate_id.startswith("user#")):
            continue
        deleted = history[-1].type == _DELETED
        record = records.pop(aggregate_id, None)
        waiting = removed[history[-1].event_id] if deleted else made[history[0].event_id]
        if waiting is not None:
            yield waiting
        elif record is None:
            yield Finding(Harm.LOST, aggregate_id, "has no preferences")
        elif record.get("preferences") != (None if deleted else DEFAULTS):
            yield Finding(Harm.WRONG, aggregate_id, f"its preferences are {record.get('preferences')}")
    for pk in records.keys() - evidence.odd.aggregates:
        yield Finding(Harm.WRONG, pk, "has preferences and was never registered")


def nothing_is_kept_of_the_deleted(evidence: Evidence) -> Iterator[Finding]:
    """No password hash and no address of a deleted user; both of everybody else."""
    kept = {item["pk"]: item for item in evidence.items("CredentialsTable")}
    cleaned = _settled(evidence, ACCOUNT_CLEANUP.name, [_DELETED], effect="credentials")
    for aggregate_id, history in evidence.log.items():
        if not (history and aggregate_id.startswith("user#")):
            continue
        user_id = history[0].aggregate_key
        deleted = history[-1].type == _DELETED
        credentials = kept.pop(f"credentials#{user_id}", None)
        if deleted and (waiting := cleaned[history[-1].event_id]) is not None:
            yield waiting
        if deleted == (credentials is not None):
            yield Finding(Harm.WRONG, aggregate_id, "deleted, and has credentials" if deleted else "has no credentials")
        elif credentials is not None:
            guard = kept.pop(f"email#{email_key(credentials['email'])}", {})
            if guard.get("user_id") != user_id:
                yield Finding(Harm.WRONG, aggregate_id, "does not hold its own address")
    for pk, item in kept.items():
        if not {pk.partition("#")[2], item.get("user_id")} & evidence.odd_keys:
            yield Finding(Harm.WRONG, pk, "is kept of nobody")


def _each_is_sent_once(evidence: Evidence, consumer: str, due: Iterable[Due]) -> Iterator[Finding]:
    """Each e-mail was sent, once, except where it was reported that nobody knew."""
    due = list(due)
    waiting = _waiting(evidence, consumer)
    parked = evidence.parked(_FAN_OUT)
    ledger = {
        item["pk"]: item["state"]
        for item in evidence.items("LedgerTable")
        if item["pk"].startswith(f"effect#{consumer}#")
    }
    sent = Counter(map(_mail, evidence.world.cloud.outbox))
    subjects = {mail[0] for each in due for mail in each.mails}
    left = Counter({mail: count for mail, count in sent.items() if mail[0] in subjects})
    doubtful: list[Due] = []
    # An address may register again once its user is gone: which of its e-mails are spoken for must be known first.
    for each in due:
        pk = f"effect#{consumer}#{each.effect_id}"
        if ledger.get(pk) == "refused" and {mail[1] for mail in each.mails} & evidence.refusals.addresses:
            # SES does not take it, and an incident has told of it.
            if evidence.world.functions.log.reasons[f"{consumer}: RefusedEffects"]:
                yield Finding(Harm.REFUSED, each.event.aggregate_id, f"its {consumer} was refused, and reported")
            else:
                yield Finding(Harm.LOST, each.event.aggregate_id, f"its {consumer} was refused, and nobody was told")
        elif ledger.get(f"effect#{consumer}#{each.effect_id}") == "confirmed":
            found = next((mail for mail in each.mails if left[mail] > 0), None)
            if found is None:
                yield Finding(
                    Harm.LOST, each.event.aggregate_id, f"{consumer} has sent {each.name or 'it'}: it did not"
                )
            else:
                left[found] -= 1
        else:
            doubtful.append(each)
    for each in doubtful:
        place = each.event.aggregate_id, each.event.version
        if each.event.event_id in waiting:
            # Claimed and sent, or claimed and not sent: one of the two.
            _take_one(left, each)
            yield Finding(Harm.HELD, each.event.aggregate_id, f"its {consumer} waits in a dead-letter queue")
        elif place in parked:
            yield Finding(Harm.PARKED, each.event.aggregate_id, f"its {consumer} waits in FailedBatchesQueue")
        elif each.optional:
            # Tried while the user was there, perhaps sent, and not tried again once they were gone.
            _take_one(left, each)
        else:
            yield Finding(Harm.LOST, each.event.aggregate_id, f"its {consumer} was not sent, and waits nowhere")
    for each in due:
        reported = evidence.world.functions.log.unconfirmed[consumer, each.event.event_id, each.name]
        for _ in range(reported):
            if _take_one(left, each):
                yield Finding(Harm.REPEATED, each.event.aggregate_id, f"its {consumer} was sent again, and reported")
    for mail, count in left.items():
        if count > 0 and mail[1] not in evidence.odd_addresses:
            yield Finding(Harm.DOUBLED, "", f"{count} e-mail(s) too many to {mail[1]}: {mail[0]}")


def _take_one(left: Counter[Mail], due: Due) -> bool:
    for mail in due.mails:
        if left[mail] > 0:
            left[mail] -= 1
            return True
    return False


def _mail(email: SentEmail) -> Mail:
    return email.subject, email.recipients[0], email.text.partition("\n")[0]


def _waiting(evidence: Evidence, consumer: str) -> set[str]:
    """Ids of the events in a consumer's dead-letter queues."""
    resources = logical_id(consumer)
    queues = (f"{resources}DeadLetterQueue", f"{resources}SubscriptionDeadLetterQueue")
    return {message["id"] for queue in queues for message in evidence.messages(queue)}


class _Effects:
    """Where the effects of a consumer stand: in its ledger, in its dead-letter queues, or before it."""

    def __init__(self, evidence: Evidence, consumer: str) -> None:
        self._consumer = consumer
        self._waiting = _waiting(evidence, consumer)
        self._parked = evidence.parked(_FAN_OUT)
        self._states = {item["pk"]: item.get("state") for item in evidence.items("LedgerTable")}

    def ids_of(self, event: RecordedEvent) -> list[str]:
        """What the ledger has of an event."""
        mine = f"effect#{self._consumer}#"
        return [pk.removeprefix(mine) for pk in self._states if pk.startswith(f"{mine}{event.event_id}")]

    def undone(self, event: RecordedEvent, effect_id: str, done: Collection[str]) -> Finding | None:
        """None if the ledger has it in one of the states ``done``, else what is the matter."""
        if self._states.get(f"effect#{self._consumer}#{effect_id}") in done:
            return None
        if event.event_id in self._waiting:
            return Finding(Harm.HELD, event.aggregate_id, f"{self._consumer} waits in a dead-letter queue")
        if (event.aggregate_id, event.version) in self._parked:
            return Finding(Harm.PARKED, event.aggregate_id, f"{self._consumer} waits in FailedBatchesQueue")
        return Finding(Harm.LOST, event.aggregate_id, f"{self._consumer} never dealt with it, and it waits nowhere")


def _settled(evidence: Evidence, consumer: str, types: Sequence[str], effect: str = "") -> dict[str, Finding | None]:
    """By event id: None if the consumer has dealt with it, else what is the matter."""
    effects = _Effects(evidence, consumer)
    return {
        event.event_id: effects.undone(event, f"{event.event_id}#{effect}" if effect else event.event_id, {"confirmed"})
        for event in evidence.events("user")
        if event.type in types
    }
