"""What no moto does: calls of the simulator's clients that fail before, after or in part, and the SDK's retries."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.retries.standard import (
    ModeledRetryableChecker,
    RetryContext,
    ThrottledRetryableChecker,
    TransientRetryableChecker,
)

from devstack.simulator.cloud.client import CallFaults, NoFaults
from devstack.simulator.cloud.errors import _MODELLED, client_error, exceptions, is_transient
from devstack.simulator.cloud.reserved_words import RESERVED_WORDS
from tests.fakes.cloud import FakeAws

NEW = "attribute_not_exists(pk)"


class Script(NoFaults):
    """Implements `CallFaults`: raises what is listed, once a call, and refuses the positions in ``refused``."""

    def __init__(
        self, *, before: list[Exception | None] | None = None, after: list[Exception | None] | None = None
    ) -> None:
        self.befores = before or []
        self.afters = after or []
        self.refused: dict[str, set[int]] = {}
        self.calls: Counter[str] = Counter()

    def before(self, service: str, operation: str, params: Mapping[str, Any]) -> None:
        self.calls[operation] += 1
        self._next(self.befores)

    def after(self, service: str, operation: str, params: Mapping[str, Any]) -> None:
        self._next(self.afters)

    def refuse(self, service: str, operation: str, entries: int) -> frozenset[int]:
        return frozenset(self.refused.get(operation, ()))

    def _next(self, script: list[Exception | None]) -> None:
        if script and (error := script.pop(0)):
            raise error


class Condemning(NoFaults):
    """Condemns each content that holds a word, and answers stale reads if asked to."""

    def __init__(self, word: str = "", *, stale: bool = False) -> None:
        self.word = word
        self.answers_stale = stale

    def condemn(self, service: str, operation: str, target: str, contents: Sequence[Any]) -> frozenset[int]:
        return frozenset(position for position, each in enumerate(contents) if self.word and self.word in str(each))

    def stale(self, service: str, operation: str) -> bool:
        return self.answers_stale


def no_answer() -> Exception:
    return ReadTimeoutError(endpoint_url="https://dynamodb.invalid")


def throttled(operation: str = "PutItem") -> ClientError:
    return client_error("dynamodb", operation, "ProvisionedThroughputExceededException", "slow down")


def aws(faults: CallFaults, attempts: int = 1) -> FakeAws:
    return FakeAws(faults, attempts=attempts)


def put(stack: FakeAws, pk: str = "a", **request: Any) -> None:
    stack.dynamodb.put_item(TableName="ledger", Item={"pk": {"S": pk}}, **request)


def stored(stack: FakeAws) -> int:
    return len(stack.cloud.table("ledger"))


def test_what_fails_before_did_not_happen_and_what_fails_after_did() -> None:
    stack = aws(Script(before=[throttled()]))
    with pytest.raises(stack.dynamodb.exceptions.ProvisionedThroughputExceededException):
        put(stack)
    assert stored(stack) == 0

    stack = aws(Script(after=[no_answer()]))
    with pytest.raises(ReadTimeoutError):
        put(stack)
    assert stored(stack) == 1


def test_the_sdk_tries_again_what_may_succeed_in_a_moment() -> None:
    script = Script(before=[throttled(), no_answer(), client_error("dynamodb", "PutItem", "X", status=503)])
    stack = aws(script, attempts=4)

    put(stack)

    assert (stored(stack), script.calls["PutItem"]) == (1, 4)


def test_the_sdk_gives_up_after_its_attempts_and_at_once_what_cannot_succeed() -> None:
    script = Script(before=[throttled()] * 4)
    stack = aws(script, attempts=4)
    with pytest.raises(stack.dynamodb.exceptions.ProvisionedThroughputExceededException):
        put(stack)
    assert script.calls["PutItem"] == 4

    put(stack)
    with pytest.raises(stack.dynamodb.exceptions.ConditionalCheckFailedException):
        put(stack, ConditionExpression=NEW)
    assert script.calls["PutItem"] == 6


def test_a_put_whose_answer_was_lost_meets_itself_at_the_sdks_next_try() -> None:
    """FAULTS row 3: what the event store and the archiver must recognise as their own."""
    stack = aws(Script(after=[no_answer()]), attempts=4)

    with pytest.raises(stack.dynamodb.exceptions.ConditionalCheckFailedException):
        put(stack, ConditionExpression=NEW)

    assert stored(stack) == 1


def test_a_transaction_whose_answer_was_lost_is_recognised_by_its_token() -> None:
    stack = aws(Script(after=[no_answer()]), attempts=4)

    stack.dynamodb.transact_write_items(
        TransactItems=[{"Put": {"TableName": "ledger", "Item": {"pk": {"S": "a"}}, "ConditionExpression": NEW}}]
    )

    assert stored(stack) == 1


def test_a_token_is_forgotten_after_ten_minutes() -> None:
    stack = aws(Script())
    request: Any = {"TransactItems": [{"Put": {"TableName": "ledger", "Item": {"pk": {"S": "a"}}}}]}
    stack.dynamodb.transact_write_items(**request, ClientRequestToken="token")
    stack.dynamodb.delete_item(TableName="ledger", Key={"pk": {"S": "a"}})
    stack.clock.now += 599
    stack.dynamodb.transact_write_items(**request, ClientRequestToken="token")
    assert not stored(stack)

    stack.clock.now += 1
    stack.dynamodb.transact_write_items(**request, ClientRequestToken="token")
    assert stored(stack) == 1


def test_ses_is_tried_once_whatever_the_sdks_attempts() -> None:
    script = Script(before=[client_error("sesv2", "SendEmail", "TooManyRequestsException", status=429)])
    stack = aws(script, attempts=4)
    stack.cloud.create_email_identity("example.com")

    with pytest.raises(stack.sesv2.exceptions.TooManyRequestsException):
        stack.sesv2.send_email(
            FromEmailAddress="a@example.com",
            Destination={"ToAddresses": ["b@example.com"]},
            Content={"Simple": {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "t"}}}},
        )

    assert script.calls["SendEmail"] == 1


def test_row_8_records_after_a_refused_one_are_taken() -> None:
    """FAULTS rows 8 and 9."""
    script = Script()
    script.refused["PutRecords"] = {1}
    stack = aws(script)
    records: Any = [{"PartitionKey": "k", "Data": str(number).encode()} for number in range(3)]

    answer = stack.kinesis.put_records(StreamName="events-stream", Records=records)

    assert answer["FailedRecordCount"] == 1
    assert [result.get("ErrorCode") for result in answer["Records"]] == [
        None,
        "ProvisionedThroughputExceededException",
        None,
    ]
    log = stack.cloud.log("events-stream")
    assert [record.body["kinesis"]["data"] for record in log.shards[0].records] == ["MA==", "Mg=="]


def test_row_11_entries_that_sns_refuses_are_named_and_not_delivered() -> None:
    """FAULTS row 11."""
    script = Script()
    script.refused["PublishBatch"] = {0}
    stack = aws(script)

    answer = stack.sns.publish_batch(
        TopicArn=stack.topic,
        PublishBatchRequestEntries=[{"Id": "a", "Message": "a"}, {"Id": "b", "Message": "b"}],
    )

    (failed,) = answer["Failed"]
    assert (failed["Id"], failed["SenderFault"]) == ("a", False)
    assert [taken["Id"] for taken in answer["Successful"]] == ["b"]
    assert [message.body for message in stack.cloud.queue("probe").messages.values()] == ["b"]


def test_keys_that_stay_unprocessed_come_back_as_they_were_asked_for() -> None:
    script = Script()
    stack = aws(script)
    for pk in "abc":
        put(stack, pk)
    script.refused["BatchGetItem"] = {0, 2}
    keys: Any = [{"pk": {"S": pk}} for pk in "abc"]

    answer = stack.dynamodb.batch_get_item(RequestItems={"ledger": {"Keys": keys, "ConsistentRead": True}})

    assert answer["Responses"] == {"ledger": [{"pk": {"S": "b"}}]}
    assert answer["UnprocessedKeys"] == {"ledger": {"Keys": [keys[0], keys[2]], "ConsistentRead": True}}

    script.refused["BatchGetItem"] = {0, 1, 2}
    with pytest.raises(stack.dynamodb.exceptions.ProvisionedThroughputExceededException):
        stack.dynamodb.batch_get_item(RequestItems={"ledger": {"Keys": keys}})


def test_a_transaction_that_meets_another_is_cancelled_with_the_items_place() -> None:
    script = Script()
    script.refused["TransactWriteItems"] = {1}
    stack = aws(script)
    items: Any = [{"Put": {"TableName": "ledger", "Item": {"pk": {"S": pk}}}} for pk in "ab"]

    with pytest.raises(stack.dynamodb.exceptions.TransactionCanceledException) as caught:
        stack.dynamodb.transact_write_items(TransactItems=items)

    response: Any = caught.value.response
    assert [reason["Code"] for reason in response["CancellationReasons"]] == ["None", "TransactionConflict"]
    assert stored(stack) == 0


def test_a_transaction_that_reads_what_another_writes_is_cancelled_with_the_items_place() -> None:
    script = Script()
    script.refused["TransactGetItems"] = {1}
    stack = aws(script)
    gets: Any = [{"Get": {"TableName": "ledger", "Key": {"pk": {"S": pk}}}} for pk in "ab"]

    with pytest.raises(stack.dynamodb.exceptions.TransactionCanceledException) as caught:
        stack.dynamodb.transact_get_items(TransactItems=gets)

    response: Any = caught.value.response
    assert [reason["Code"] for reason in response["CancellationReasons"]] == ["None", "TransactionConflict"]


def test_a_message_that_is_not_deleted_stays() -> None:
    script = Script()
    script.refused["DeleteMessageBatch"] = {0}
    stack = aws(script)
    stack.sqs.send_message(QueueUrl=stack.queue, MessageBody="x")
    (message,) = stack.sqs.receive_message(QueueUrl=stack.queue)["Messages"]

    answer: Any = stack.sqs.delete_message_batch(
        QueueUrl=stack.queue, Entries=[{"Id": "a", "ReceiptHandle": message["ReceiptHandle"]}]
    )

    assert [failed["Id"] for failed in answer["Failed"]] == ["a"]
    assert "Successful" not in answer
    assert stack.cloud.queue_depth("probe") == 1


def test_a_queue_may_keep_two_copies_of_a_message_each_to_be_deleted() -> None:
    script = Script()
    script.refused["Duplicate"] = {0}
    stack = aws(script)
    stack.sqs.send_message(QueueUrl=stack.queue, MessageBody="x")

    messages = stack.sqs.receive_message(QueueUrl=stack.queue, MaxNumberOfMessages=10)["Messages"]
    assert len(messages) == 2
    assert len({message["MessageId"] for message in messages}) == 1
    stack.sqs.delete_message(QueueUrl=stack.queue, ReceiptHandle=messages[0]["ReceiptHandle"])

    assert stack.cloud.queue_depth("probe") == 1


def test_a_queue_keeps_no_order() -> None:
    orders = set()
    for seed in range(20):
        stack = FakeAws(seed=seed)
        for number in range(3):
            stack.sqs.send_message(QueueUrl=stack.queue, MessageBody=str(number))
        messages = stack.sqs.receive_message(QueueUrl=stack.queue, MaxNumberOfMessages=10)["Messages"]
        orders.add("".join(message["Body"] for message in messages))

    assert len(orders) == 6


def test_the_same_seed_gives_the_same_run() -> None:
    def run(seed: int) -> list[Any]:
        stack = FakeAws(attempts=4, seed=seed)
        chance = random.Random(seed)
        trace: list[Any] = []
        for number in range(20):
            items: Any = [
                {"Put": {"TableName": "events", "Item": {"aggregate_id": {"S": f"p#{number}"}, "version": {"N": at}}}}
                for at in ("1", "2", "3")
            ]
            stack.dynamodb.transact_write_items(TransactItems=items)
            stack.sns.publish(TopicArn=stack.topic, Message=str(chance.random()))
        trace += [record.body for record in stack.cloud.log("events").shards[0].records]
        while messages := stack.sqs.receive_message(QueueUrl=stack.queue, MaxNumberOfMessages=10).get("Messages"):
            trace += messages
        return trace

    assert run(1) == run(1)
    assert run(1) != run(2)


@pytest.mark.parametrize("service", sorted(_MODELLED))
def test_errors_have_the_classes_that_the_services_have(service: str) -> None:
    shapes = {shape.error_code: shape.name for shape in service_model(service).error_shapes}
    # SQS goes by names from before it spoke JSON.
    prefix, renamed = "AWS.SimpleQueueService.", {"NonExistentQueue": "QueueDoesNotExist"}

    for code, name in _MODELLED[service].items():
        short = code.removeprefix(prefix)
        assert shapes[renamed.get(short, short)] == name
        error = client_error(service, "Operation", code)
        assert isinstance(error, getattr(exceptions(service), name))
        assert isinstance(error, ClientError)


@pytest.mark.parametrize("service", sorted(_MODELLED))
def test_the_sdk_tries_again_what_botocores_standard_mode_does(service: str) -> None:
    model = service_model(service)
    checkers = [ThrottledRetryableChecker(), TransientRetryableChecker(), ModeledRetryableChecker()]
    calls = [(code, 400) for code in [*_MODELLED[service], "SlowDown", "RequestTimeout", "ValidationException"]]
    for code, status in [*calls, *(("Unknown", status) for status in (429, 500, 502, 503, 504))]:
        context = RetryContext(
            attempt_number=1,
            operation_model=model.operation_model(model.operation_names[0]),
            parsed_response={"Error": {"Code": code}},
            http_response=SimpleNamespace(status_code=status),
        )
        tried_again = any(checker.is_retryable(context) for checker in checkers)
        assert is_transient(client_error(service, "Operation", code, status=status)) == tried_again, (code, status)


def service_model(service: str) -> Any:
    make: Any = boto3.client
    return make(service).meta.service_model


def test_the_reserved_words_are_those_of_the_developer_guide() -> None:
    from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

    assert set(ReservedKeywords.get_reserved_keywords()) == RESERVED_WORDS


def test_an_operation_or_a_parameter_that_nobody_uses_is_refused_by_name() -> None:
    stack = aws(Script())
    client: Any = stack.dynamodb
    with pytest.raises(AttributeError, match="update_item"):
        client.update_item(TableName="ledger")
    with pytest.raises(NotImplementedError, match="ReturnValues"):
        client.put_item(TableName="ledger", Item={"pk": {"S": "a"}}, ReturnValues="ALL_OLD")
    with pytest.raises(NotImplementedError, match="list_tables"):
        client.get_paginator("list_tables")


def test_what_is_condemned_is_the_senders_fault_and_its_neighbours_arrive() -> None:
    stack = aws(Condemning("evil"))
    entries: Any = [{"Id": "1", "Message": "good"}, {"Id": "2", "Message": "evil"}]
    answer: Any = stack.sns.publish_batch(TopicArn=stack.topic, PublishBatchRequestEntries=entries)
    assert [(failed["Id"], failed["SenderFault"]) for failed in answer["Failed"]] == [("2", True)]

    messages: Any = [{"Id": each["Id"], "MessageBody": each["Message"]} for each in entries]
    answer = stack.sqs.send_message_batch(QueueUrl=stack.queue, Entries=messages)
    assert [(failed["Id"], failed["SenderFault"]) for failed in answer["Failed"]] == [("2", True)]
    assert sorted(message.body for message in stack.cloud.queue("probe").messages.values()) == ["good", "good"]


def test_a_condemned_item_is_refused_and_so_is_a_transaction_with_it() -> None:
    stack = aws(Condemning("evil"), attempts=4)
    with pytest.raises(ClientError) as caught:
        put(stack, "evil")
    assert caught.value.response["Error"]["Code"] == "ValidationException"

    items: Any = [{"Put": {"TableName": "ledger", "Item": {"pk": {"S": pk}}}} for pk in ("good", "evil")]
    with pytest.raises(stack.dynamodb.exceptions.TransactionCanceledException) as cancelled:
        stack.dynamodb.transact_write_items(TransactItems=items)
    reasons: Any = cancelled.value.response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["None", "ValidationError"]
    assert stored(stack) == 0


@pytest.mark.parametrize(("consistent", "seen"), [(False, "before"), (True, "after")])
def test_a_stale_read_is_of_a_moment_ago_and_no_consistent_read_is_stale(consistent: bool, seen: str) -> None:
    stack = aws(Condemning(stale=True))
    for value in ("before", "after"):
        stack.dynamodb.put_item(TableName="ledger", Item={"pk": {"S": "a"}, "value": {"S": value}})
    key: Any = {"pk": {"S": "a"}}

    one: Any = stack.dynamodb.get_item(TableName="ledger", Key=key, ConsistentRead=consistent)
    several: Any = stack.dynamodb.batch_get_item(RequestItems={"ledger": {"Keys": [key], "ConsistentRead": consistent}})

    assert one["Item"]["value"]["S"] == several["Responses"]["ledger"][0]["value"]["S"] == seen


def test_what_was_written_some_seconds_ago_is_seen_by_everybody() -> None:
    stack = aws(Condemning(stale=True))
    put(stack)
    assert "Item" not in stack.dynamodb.get_item(TableName="ledger", Key={"pk": {"S": "a"}})

    stack.clock.now += 6

    assert "Item" in stack.dynamodb.get_item(TableName="ledger", Key={"pk": {"S": "a"}})


def test_an_index_may_show_what_was_there_a_moment_ago() -> None:
    stack = aws(Condemning(stale=True))
    row: Any = {"pk": {"S": "u1"}, "ranking": {"S": "chess"}, "ranked_by": {"S": "a"}}
    request: Any = {
        "TableName": "read_models",
        "IndexName": "Rankings",
        "KeyConditionExpression": "ranking = :ranking",
        "ExpressionAttributeValues": {":ranking": {"S": "chess"}},
    }

    stack.dynamodb.put_item(TableName="read_models", Item=row)

    assert stack.dynamodb.query(**request)["Items"] == []
