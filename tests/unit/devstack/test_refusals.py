"""What the emulator refuses on purpose, and that it refuses nothing else."""

import asyncio
import json
from typing import Any

import pytest

from devstack.refusals import HEARD_PATH, Refusal, Refusing, line_of


def asked(*refusals: Refusal, method: str = "POST", path: str = "/", target: str = "", body: bytes = b"") -> Any:
    """What an emulator that refuses answers: status and body. One that lets a request through echoes its body."""
    sent: list[Any] = []
    received = [
        {"type": "http.request", "body": body[:5], "more_body": True},
        {"type": "http.request", "body": body[5:], "more_body": False},
    ]

    async def app(_: Any, receive: Any, send: Any) -> None:
        whole = b""
        while True:
            message = await receive()
            whole += message["body"]
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": whole})

    async def receive() -> Any:
        return received.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    refusing = Refusing()
    refusing.app = app
    refusing.hear(line_of(refusals, 7))
    headers = [(b"x-amz-target", target.encode())] if target else []
    asyncio.run(refusing({"type": "http", "method": method, "path": path, "headers": headers}, receive, send))
    return sent[0]["status"], sent[1]["body"]


def dynamodb(operation: str, request: Any, *refusals: Refusal) -> tuple[int, Any]:
    status, body = asked(*refusals, target=f"DynamoDB_20120810.{operation}", body=json.dumps(request).encode())
    return status, json.loads(body)


THROTTLE = Refusal("throttle", "rows")


@pytest.mark.parametrize(
    ("operation", "request_", "code"),
    [
        ("PutItem", {"TableName": "rows"}, "ProvisionedThroughputExceededException"),
        ("UpdateItem", {"TableName": "rows"}, "ProvisionedThroughputExceededException"),
        ("DeleteItem", {"TableName": "rows"}, "ProvisionedThroughputExceededException"),
        ("BatchWriteItem", {"RequestItems": {"rows": []}}, "ProvisionedThroughputExceededException"),
        ("TransactWriteItems", {"TransactItems": [{"Put": {"TableName": "rows"}}]}, "TransactionCanceledException"),
    ],
)
def test_a_write_to_a_throttled_table_is_refused_as_aws_does(operation: str, request_: Any, code: str) -> None:
    status, answer = dynamodb(operation, request_, THROTTLE)

    assert status == 400
    assert answer["__type"].endswith(f"#{code}")


def test_a_transaction_names_which_of_its_items_was_throttled() -> None:
    items = [{"Put": {"TableName": "other"}}, {"ConditionCheck": {"TableName": "rows"}}]
    _, answer = dynamodb("TransactWriteItems", {"TransactItems": items}, THROTTLE)

    assert [each["Code"] for each in answer["CancellationReasons"]] == ["None", "ThrottlingError"]
    assert "[None, ThrottlingError]" in answer["message"]


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("PutItem", {"TableName": "rows2"}),
        ("BatchWriteItem", {"RequestItems": {"other": []}}),
        ("TransactWriteItems", {"TransactItems": [{"Put": {"TableName": "other"}}]}),
        ("GetItem", {"TableName": "rows"}),
        ("Query", {"TableName": "rows"}),
        ("Scan", {"TableName": "rows"}),
    ],
)
def test_reads_and_other_tables_go_through_whole(operation: str, request_: Any) -> None:
    assert dynamodb(operation, request_, THROTTLE) == (200, request_)


def test_a_denied_bucket_takes_no_object() -> None:
    deny = Refusal("deny", "archive")

    status, body = asked(deny, method="PUT", path="/archive/raw/x", body=b"12345678")
    assert (status, b"<Code>AccessDenied</Code>" in body) == (403, True)
    assert asked(deny, method="PUT", path="/archive2/raw/x", body=b"12345678") == (200, b"12345678")
    assert asked(deny, method="GET", path="/archive/raw/x") == (200, b"")


def test_mail_is_refused_as_of_an_account_whose_sending_is_paused() -> None:
    status, body = asked(Refusal("refuse-mail"), path="/v2/email/outbound-emails", body=b"{}")

    assert (status, json.loads(body)["__type"]) == (400, "SendingPausedException")
    assert asked(Refusal("refuse-mail"), path="/v2/email/identities", body=b"{}") == (200, b"{}")


def test_nothing_is_refused_once_all_is_undone() -> None:
    assert dynamodb("PutItem", {"TableName": "rows"}) == (200, {"TableName": "rows"})


def test_whoever_wrote_a_line_hears_when_it_holds() -> None:
    assert asked(THROTTLE, method="GET", path=HEARD_PATH) == (200, b"7")
