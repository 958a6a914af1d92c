"""What senders of batches share: no answer is ignored (rule 4), and what was refused for the moment is sent again."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from headwater.failures import BLAMELESS, FailureKind, JudgedError, kind_of, kind_of_entry, name_of
from headwater.limits import SqsLimits

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class SendError(JudgedError):
    """A destination did not take an entry. ``again``: the entry alone was refused, for the moment, and only once."""

    def __init__(
        self, message: str, kind: FailureKind, *, code: str | None = None, detail: str = "", again: bool = False
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.detail = detail
        self.again = again

    @classmethod
    def of(cls, service: str, error: Exception) -> "SendError":
        """What a call met."""
        code = name_of(error)
        return cls(f"{service}: {code}", kind_of(error), code=code, detail=str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, and how patiently, a batch's refused entries are sent again: full jitter on an exponential cap.

    Calls that fail as a whole are the SDK's to retry; this is for entries refused inside a successful answer.
    The defaults wait 6 s at the most, well within the function's timeout; Lambda's own retries come after that.
    """

    attempts: int = 6
    base_seconds: float = 0.1
    cap_seconds: float = 2.0
    sleep: Callable[[float], None] = time.sleep

    def pause(self, attempt: int) -> None:
        """Waits before the attempt that follows ``attempt`` (1, 2, …)."""
        ceiling = min(self.cap_seconds, self.base_seconds * 2**attempt)
        self.sleep(random.uniform(0, ceiling))  # noqa: S311  # jitter, not a secret


def send_with_retries(
    positions: Sequence[int],
    send: Callable[[Sequence[int]], Mapping[int, SendError]],
    policy: RetryPolicy,
) -> dict[int, SendError]:
    """Sends positions, and again those that were refused for the moment, in order; gives those that stay refused."""
    refused: dict[int, SendError] = {}
    pending = positions
    for attempt in range(1, policy.attempts + 1):
        answer = send(pending)
        refused = {position: error for position, error in refused.items() if not error.again} | dict(answer)
        pending = [position for position in pending if position in answer and answer[position].again]
        if not pending:
            break
        if attempt < policy.attempts:
            policy.pause(attempt)
    return refused


def narrowed(
    service: str, positions: Sequence[int], send: Callable[[Sequence[int]], dict[int, SendError]]
) -> dict[int, SendError]:
    """Sends one request. Refused as a whole, it is halved until the entries at fault stand alone; others are taken.

    Raises
    ------
    Exception
        What ``send`` raised, if it is no entry's fault. Some entries may have been taken.
    """
    try:
        return send(positions)
    except Exception as error:
        if kind_of(error) in BLAMELESS:
            raise
        if len(positions) == 1:
            return {positions[0]: SendError.of(service, error)}
    half = len(positions) // 2
    return narrowed(service, positions[:half], send) | narrowed(service, positions[half:], send)


def split(positions: Sequence[int], sizes: Mapping[int, int], count: int, size: int) -> Iterator[list[int]]:
    """Cuts positions, in their order, into requests of at most ``count`` entries and ``size`` bytes."""
    for request in cut(((position, sizes[position]) for position in positions), count, size):
        yield [position for position, _ in request]


def cut[T](sized: Iterable[tuple[T, int]], count: int, size: int) -> Iterator[list[tuple[T, int]]]:
    """Cuts entries with their sizes, as they come, into requests of at most ``count`` entries and ``size`` bytes."""
    request: list[tuple[T, int]] = []
    total = 0
    for entry in sized:
        if request and (len(request) == count or total + entry[1] > size):
            yield request
            request, total = [], 0
        request.append(entry)
        total += entry[1]
    if request:
        yield request


def refusals(service: str, positions: Sequence[int], answer: Mapping[str, Any]) -> dict[int, SendError]:
    """The positions of which an answer of SendMessageBatch or PublishBatch does not say that they were taken.

    The entries' Ids are their positions.
    """
    taken = {int(entry["Id"]) for entry in answer.get("Successful", [])}
    failed = {int(entry["Id"]): entry for entry in answer.get("Failed", [])}
    refused: dict[int, SendError] = {}
    for position in positions:
        if position in failed:
            code, detail = failed[position]["Code"], failed[position].get("Message", "")
            kind = kind_of_entry(code, sender_fault=failed[position]["SenderFault"])
            refused[position] = SendError(
                f"{service}: {code}", kind, code=code, detail=detail, again=kind is FailureKind.TRANSIENT
            )
        elif position not in taken:
            refused[position] = SendError(f"{service}: missing from the answer", FailureKind.TRANSIENT, again=True)
    return refused


def queue_text(body: bytes) -> str:
    """JSON as SQS takes it, and SNS on its way there: without the two noncharacters that JSON lets through.

    They can only stand inside JSON's texts, where escapes mean the same.
    """
    return body.decode().replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


class QueueSender:
    """Sends messages to one queue, as many a request as it takes. A standard queue promises no order: none is kept."""

    def __init__(
        self, client: "SQSClient", url: str, *, limits: SqsLimits | None = None, retry: RetryPolicy | None = None
    ) -> None:
        self._client = client
        self._url = url
        self._limits = limits or SqsLimits()
        self._retry = retry or RetryPolicy()

    def send(self, messages: Iterable[str]) -> dict[int, SendError]:
        """Sends messages as they come; gives those that the queue did not take, by their position.

        A call that fails for no message's fault ends the sending. Where a request used up its attempts, each later
        one has a single try: the queue is throttled, and time runs out.
        """
        refused: dict[int, SendError] = {}
        elsewhere: SendError | None = None
        retry = self._retry
        sized = ((numbered, len(numbered[1].encode())) for numbered in enumerate(messages))
        for request in cut(sized, self._limits.entries, self._limits.request_bytes):
            texts = dict(numbered for numbered, _ in request)
            if elsewhere is None:
                try:
                    answer = send_with_retries(list(texts), partial(self._narrowed, texts), retry)
                except Exception as error:  # noqa: BLE001  # only what is no message's fault
                    elsewhere = SendError.of("SQS", error)
                else:
                    if any(error.again for error in answer.values()):
                        retry = replace(retry, attempts=1)
                    refused |= answer
            if elsewhere is not None:
                refused |= dict.fromkeys(texts, elsewhere)
        return refused

    def _narrowed(self, texts: Mapping[int, str], pending: Sequence[int]) -> dict[int, SendError]:
        return narrowed("SQS", pending, partial(self._send, texts))

    def _send(self, texts: Mapping[int, str], positions: Sequence[int]) -> dict[int, SendError]:
        answer = self._client.send_message_batch(
            QueueUrl=self._url,
            Entries=[{"Id": str(position), "MessageBody": texts[position]} for position in positions],
        )
        return refusals("SQS", positions, answer)
