"""What senders of batches share: no answer is ignored (rule 4), and what was refused for the moment is sent again."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class SendError(Exception):
    """A destination did not take an entry. ``transient``: the same request may succeed in a moment."""

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


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


def send_with_retries[E: SendError](
    positions: Sequence[int],
    send: Callable[[Sequence[int]], Mapping[int, E]],
    policy: RetryPolicy,
) -> dict[int, E]:
    """Sends positions, and again those with a transient error, in their order; gives those that stay refused."""
    refused: dict[int, E] = {}
    pending = positions
    for attempt in range(1, policy.attempts + 1):
        answer = send(pending)
        refused = {position: error for position, error in refused.items() if not error.transient} | dict(answer)
        pending = [position for position in pending if position in answer and answer[position].transient]
        if not pending:
            break
        if attempt < policy.attempts:
            policy.pause(attempt)
    return refused


def split(positions: Sequence[int], sizes: Mapping[int, int], count: int, size: int) -> Iterator[list[int]]:
    """Cuts positions, in their order, into requests of at most ``count`` entries and ``size`` bytes."""
    request: list[int] = []
    total = 0
    for position in positions:
        if request and (len(request) == count or total + sizes[position] > size):
            yield request
            request, total = [], 0
        request.append(position)
        total += sizes[position]
    if request:
        yield request


def refusals[E: SendError](
    service: str, positions: Sequence[int], answer: Mapping[str, Any], error: type[E]
) -> dict[int, E]:
    """The positions of which an answer of SendMessageBatch or PublishBatch does not say that they were taken.

    The entries' Ids are their positions.
    """
    taken = {int(entry["Id"]) for entry in answer.get("Successful", [])}
    failed = {int(entry["Id"]): entry for entry in answer.get("Failed", [])}
    refused: dict[int, E] = {}
    for position in positions:
        if position in failed:
            code, fault = failed[position]["Code"], failed[position]["SenderFault"]
            refused[position] = error(f"{service}: {code}", transient=not fault)
        elif position not in taken:
            refused[position] = error(f"{service}: missing from the answer", transient=True)
    return refused


def queue_text(body: bytes) -> str:
    """JSON as SQS takes it, and SNS on its way there: without the two noncharacters that JSON lets through.

    They can only stand inside JSON's texts, where escapes mean the same.
    """
    return body.decode().replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
