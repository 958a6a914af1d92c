"""AWS in this process: moto, one request at a time."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
from moto import mock_aws as concurrent_mock_aws  # noqa: TID251 - here alone
from moto.core import botocore_stubber
from moto.sqs.models import SQSBackend

if TYPE_CHECKING:
    from moto.core.config import DefaultConfig

_one_request = threading.RLock()


@contextmanager
def mock_aws(**services: Mapping[str, Any]) -> Iterator[None]:
    """``moto.mock_aws`` for code with threads; ``services`` configures moto's.

    Each begins with nothing. moto's backends are dictionaries without a lock, and a transaction copies its tables
    whole, and puts the copies back if it fails. Two threads' requests at once break it, or lose what one of them
    wrote. AWS does neither, so a lock stands in for what moto lacks. A queue that is empty answers at once, however
    long it is to be waited for: behind the lock nobody could send.
    """
    process_request = botocore_stubber.BotocoreStubber.process_request

    def one_at_a_time(stubber: Any, request: Any) -> Any:
        with _one_request:
            return process_request(stubber, request)

    receive_message = SQSBackend.receive_message

    def at_once(backend: Any, queue_name: str, count: int, wait_seconds_timeout: int, *others: Any) -> Any:
        return receive_message(backend, queue_name, count, 0, *others)

    with pytest.MonkeyPatch.context() as patch, concurrent_mock_aws(config=cast("DefaultConfig", services)):
        patch.setattr(botocore_stubber.BotocoreStubber, "process_request", one_at_a_time)
        patch.setattr(SQSBackend, "receive_message", at_once)
        yield
