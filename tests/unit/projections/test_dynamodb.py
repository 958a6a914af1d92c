"""What only the DynamoDB adapter knows: requests, and keys that a request leaves unread."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from headwater.projections.dynamodb import DynamoDbReadModels
from headwater.projections.read_models import ReadModelThrottledError, Row, RowConflictError


class Table:
    """Answers BatchGetItem; each request reads as many keys as ``capacity`` says next, or all."""

    def __init__(self, capacity: Iterable[int] = ()) -> None:
        self.requests: list[dict[str, Any]] = []
        self._capacity = list(capacity)

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        keys = request["RequestItems"]["read_models"]["Keys"]
        read = self._capacity.pop(0) if self._capacity else len(keys)
        items = [{**key, "applied": {"M": {}}, "revision": {"N": "1"}} for key in keys[:read]]
        unread = {"read_models": {"Keys": keys[read:], "ConsistentRead": True}} if keys[read:] else {}
        return {"Responses": {"read_models": items}, "UnprocessedKeys": unread}


def store(table: Table, waits: list[float]) -> DynamoDbReadModels:
    return DynamoDbReadModels(cast(Any, table), "read_models", sleep=waits.append)


def test_a_request_takes_a_hundred_keys_and_reads_consistently() -> None:
    table = Table()

    rows = store(table, []).get([f"p@1#{number}" for number in range(250)])

    assert len(rows) == 250
    asked = [request["RequestItems"]["read_models"] for request in table.requests]
    assert [len(each["Keys"]) for each in asked] == [100, 100, 50]
    assert all(each["ConsistentRead"] for each in asked)


def test_keys_left_unread_are_asked_for_again_after_a_wait() -> None:
    """FAULTS row 15."""
    table, waits = Table([60, 0, 0, 30]), []  # type: Table, list[float]

    rows = store(table, waits).get([f"p@1#{number}" for number in range(100)])

    assert len(rows) == 100
    assert [len(request["RequestItems"]["read_models"]["Keys"]) for request in table.requests] == [100, 40, 40, 40, 10]
    assert len(waits) == 4


def test_keys_that_stay_unread_fail_the_read() -> None:
    """FAULTS row 15: no answer is taken for an empty one."""
    with pytest.raises(ReadModelThrottledError, match="1 of 3 keys"):
        store(Table([2] + [0] * 100), []).get(["p@1#1", "p@1#2", "p@1#3"])


class RefusedError(ClientError):
    """A transaction that was cancelled, or a write that met one."""

    def __init__(self, code: str, *reasons: str) -> None:
        answer = {"Error": {"Code": code}, "CancellationReasons": [{"Code": reason} for reason in reasons]}
        super().__init__(cast(Any, answer), "Put")


class CancelledError(RefusedError):
    pass


class ConflictError(RefusedError):
    pass


class Busy:
    """Refuses each write for the reasons given."""

    exceptions = SimpleNamespace(
        ConditionalCheckFailedException=KeyError,
        TransactionConflictException=ConflictError,
        TransactionCanceledException=CancelledError,
    )

    def __init__(self, *reasons: str) -> None:
        self._reasons = reasons

    def transact_write_items(self, **request: Any) -> None:
        raise CancelledError("TransactionCanceledException", *self._reasons)

    def put_item(self, **request: Any) -> None:
        raise ConflictError("TransactionConflictException")


ROW = Row(pk="p@1#u1", state={}, applied={}, revision=1)


@pytest.mark.parametrize(
    ("reasons", "error"),
    [
        (("None", "TransactionConflict"), RowConflictError),
        (("ConditionalCheckFailed", "None"), RowConflictError),
        (("ThrottlingError", "ConditionalCheckFailed"), RowConflictError),
        (("None", "ThrottlingError"), ReadModelThrottledError),
        (("ProvisionedThroughputExceeded", "None"), ReadModelThrottledError),
        (("None", "InternalServerError"), ReadModelThrottledError),
        (("None", "ValidationError"), CancelledError),
        (("ThrottlingError", "ValidationError"), CancelledError),
        (("TransactionConflict", "ValidationError"), RowConflictError),
    ],
)
def test_a_cancelled_transaction_says_whether_to_read_again_or_to_wait(
    reasons: tuple[str, ...], error: type[Exception]
) -> None:
    """FAULTS row 15: a throttled transaction is no bug, and botocore does not try it again."""
    with pytest.raises(error):
        DynamoDbReadModels(cast(Any, Busy(*reasons)), "read_models").put(ROW, [ROW])


def test_a_put_that_meets_a_transaction_has_lost_its_race() -> None:
    with pytest.raises(RowConflictError):
        DynamoDbReadModels(cast(Any, Busy()), "read_models").put(ROW)
