"""What was asked once: an Idempotency-Key's first request, kept with what it did.

The record commits in the transaction of the request's events, so there is no state "in progress": either it is there
and so are the events, or neither is (docs/adr/0007).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from headwater.accounts.items import Items
from headwater.event_store.store import PutNew

#: At least so long a key is honoured; the table's TTL removes its record some time later.
RETENTION = timedelta(hours=24)
#: No digest of a request may help to guess a password; a repeated one is checked against the stored hash instead.
_SECRET_FIELDS = frozenset({"password"})


class IdempotencyKeyReusedError(Exception):
    """The key came with another request than the first time."""

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key was used for another request: send a new key with a new request")


class RequestRepeatedError(Exception):
    """The key was used already, so that the command did nothing now."""

    def __init__(self) -> None:
        super().__init__("a request with this Idempotency-Key was answered already")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a command did: the last event that it appended, or none (``event_id`` None), and the version now."""

    aggregate_id: str
    version: int
    event_id: str | None

    @property
    def aggregate_key(self) -> str:
        return self.aggregate_id.partition("#")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """A request that may be repeated. Keys of different callers or routes never meet."""

    pk: str
    fingerprint: str

    @classmethod
    def of(cls, *, caller: str, route: str, key: str, path: str, body: Mapping[str, Any]) -> "RequestKey":
        """The key of a request to ``route`` (``POST /users/{id}/plays``), told from others by its path and body."""
        public = {name: value for name, value in body.items() if name not in _SECRET_FIELDS}
        content = orjson.dumps([route, path, public], option=orjson.OPT_SORT_KEYS)
        return cls(pk=f"request#{caller}#{route}#{key}", fingerprint=hashlib.sha256(content).hexdigest())


class RequestLedger:
    """Requests that were answered, by key."""

    def __init__(self, items: Items, table: str) -> None:
        self._items = items
        self._table = table

    def remember(self, request: RequestKey, receipt: Receipt, now: datetime) -> PutNew:
        """The write that belongs into the transaction of the request's events; refused if the key was used."""
        item = {
            "pk": request.pk,
            "fingerprint": request.fingerprint,
            "receipt": asdict(receipt),
            "expires_at": int((now + RETENTION).timestamp()),
        }
        return PutNew(self._table, item)

    def first(self, request: RequestKey, receipt: Receipt, now: datetime) -> Receipt:
        """Remembers a request by itself, where no event is appended: the key's first receipt, or now this one.

        Raises
        ------
        IdempotencyKeyReusedError
            The first request was another one.
        """
        if not self._items.put_new(self.remember(request, receipt, now).item):
            return self.recall(request) or receipt
        return receipt

    def recall(self, request: RequestKey) -> Receipt | None:
        """What the key's first request did; None if the key is new.

        Raises
        ------
        IdempotencyKeyReusedError
            The first request was another one.
        """
        item = self._items.get(request.pk)
        if item is None:
            return None
        if item["fingerprint"] != request.fingerprint:
            raise IdempotencyKeyReusedError
        return Receipt(**item["receipt"])
