"""What all clients share: boto3's manner of calling, faults around each call, and the SDK's own retries."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from types import SimpleNamespace
from typing import Any, ClassVar, Protocol

from devstack.simulator.cloud.errors import CALL_ERRORS, client_error, exceptions, is_transient, parameter_error

type Parameters = dict[str, Any]
type Answer = dict[str, Any]


class CallFaults(Protocol):
    """What may go wrong with a call. Services and operations go by boto3's and the API's names: sqs, SendMessage."""

    def before(self, service: str, operation: str, params: Mapping[str, Any]) -> None:
        """May raise: nothing happened. Called again for each try of the SDK."""
        ...

    def refuse(self, service: str, operation: str, entries: int) -> frozenset[int]:
        """Positions of the entries of a batch call that fail, while the others are taken.

        Asked once a call that has entries, after it was found valid:

        - dynamodb BatchGetItem: keys, over all tables, that stay unprocessed (all of them: the call is throttled);
        - dynamodb TransactGetItems and TransactWriteItems: items that another transaction is writing
          (TransactionConflict);
        - kinesis PutRecords, sns PublishBatch, sqs SendMessageBatch and DeleteMessageBatch: entries;
        - sqs Duplicate: not a call; of the one message that a queue takes in, whether it keeps two copies.
        """
        ...

    def stale(self, service: str, operation: str) -> bool:
        """Whether an eventually consistent read, or one of an index, answers what was there a moment ago."""
        ...

    def condemn(self, service: str, operation: str, target: str, contents: Sequence[Any]) -> frozenset[int]:
        """Positions of what a destination does not take, however often it is sent, though it is well-formed.

        Asked with the messages' texts by sns PublishBatch (``target``: the topic) and sqs SendMessageBatch (the queue's
        URL), with the recipient by sesv2 SendEmail, with the items by dynamodb PutItem and TransactWriteItems (the
        table, of a transaction the first item's).
        """
        ...

    def after(self, service: str, operation: str, params: Mapping[str, Any]) -> None:
        """May raise: it happened, and the answer is lost."""
        ...


class NoFaults:
    """Implements `CallFaults`: all goes well."""

    def before(self, service: str, operation: str, params: Mapping[str, Any]) -> None:
        pass

    def refuse(self, service: str, operation: str, entries: int) -> frozenset[int]:  # noqa: ARG002
        return frozenset()

    def stale(self, service: str, operation: str) -> bool:  # noqa: ARG002
        return False

    def condemn(self, service: str, operation: str, target: str, contents: Sequence[Any]) -> frozenset[int]:  # noqa: ARG002
        return frozenset()

    def after(self, service: str, operation: str, params: Mapping[str, Any]) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every service is given. ``clock`` is in epoch seconds; ``attempts`` are the SDK's tries of a call."""

    clock: Callable[[], float]
    faults: CallFaults
    rng: random.Random
    attempts: int = 1

    def new_id(self) -> str:
        """A random UUID's text."""
        text = f"{self.rng.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


class Client:
    """A boto3 client's looks. Operations that nobody here calls do not exist."""

    service: ClassVar[str]
    #: By paginator: the operation, its parameter that continues, and the field of the answer to put there.
    pages: ClassVar[Mapping[str, tuple[str, str, str]]] = {}

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.attempts = surroundings.attempts
        self.exceptions = exceptions(self.service)
        self.meta = SimpleNamespace(events=SimpleNamespace(register=lambda *_, **__: None))

    def get_paginator(self, operation_name: str) -> _Paginator:
        if operation_name not in self.pages:
            raise NotImplementedError(f"the in-memory {self.service} client has no paginator {operation_name!r}")
        name, parameter, field = self.pages[operation_name]
        return _Paginator(getattr(self, name), parameter, field)

    def close(self) -> None:
        pass

    def error(self, operation: str, code: str, message: str = "", *, status: int = 400, **fields: Any) -> Exception:
        return client_error(self.service, operation, code, message, status=status, **fields)

    def identify(self, params: Parameters) -> None:
        """Adds the token by which a service recognises a repeated try, where an operation has one."""


class _Paginator:
    def __init__(self, call: Callable[..., Answer], parameter: str, field: str) -> None:
        self._call = call
        self._parameter = parameter
        self._field = field

    def paginate(self, **params: Any) -> Iterator[Answer]:
        match params.pop("PaginationConfig", {}):
            case {"PageSize": size}:
                # As DynamoDB calls it.
                params["Limit"] = size
        while True:
            page = self._call(**params)
            yield page
            if self._field not in page:
                return
            params[self._parameter] = page[self._field]


def operation[C: Client](
    name: str, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Callable[[Callable[[C, Parameters], Answer]], Callable[..., Answer]]:
    """Makes a method that takes the request's parameters an operation of the client.

    A parameter that the service may know and this client does not is refused by name.
    """
    needed = frozenset(required)
    known = needed.union(optional)

    def decorate(method: Callable[[C, Parameters], Answer]) -> Callable[..., Answer]:
        @wraps(method)
        def call(self: C, **params: Any) -> Answer:
            if not needed <= params.keys():
                raise parameter_error(f'Missing required parameter in input: "{min(needed - params.keys())}"')
            if not params.keys() <= known:
                raise NotImplementedError(
                    f"the in-memory {self.service} client does not support {min(params.keys() - known)} of {name}"
                )
            faults = self.surroundings.faults
            attempts = self.attempts
            if attempts > 1:
                self.identify(params)
            attempt = 1
            while True:
                try:
                    faults.before(self.service, name, params)
                    answer = method(self, params)
                    faults.after(self.service, name, params)
                except CALL_ERRORS as error:
                    if attempt >= attempts or not is_transient(error):
                        raise
                    attempt += 1
                else:
                    answer["ResponseMetadata"] = {"HTTPStatusCode": 200, "RetryAttempts": attempt - 1}
                    return answer

        return call

    return decorate
