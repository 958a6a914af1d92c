"""The one table of failures, held to the errors that boto3's models name."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from hypothesis import given
from hypothesis import strategies as st

from headwater import failures
from headwater.attribute_values import MalformedAttributeError, marshal
from headwater.domain.events import MalformedEventError, UnknownEventError
from headwater.failures import FailureKind, PermanentError, RefusedError, TransientError, kind_of, kind_of_code, name_of

SOURCE = Path(failures.__file__).parent
BUILT = re.compile(r'\.client\("(\w+)"')
CALLED = re.compile(r"client\s*\.(\w+)\(")
PERMANENT, REFUSED, TRANSIENT, OUTAGE, UNFORESEEN = FailureKind


def answer(code: str, status: int = 400, *reasons: str) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    if reasons:
        response["CancellationReasons"] = [{"Code": reason} for reason in reasons]
    return ClientError(response, "Operation")


def modelled() -> Iterator[tuple[str, str, str, int]]:
    """Service, operation, code and status of each error that the models name for what the code calls."""
    texts = [path.read_text() for path in SOURCE.rglob("*.py")]
    called = {name for text in texts for name in CALLED.findall(text)}
    session = botocore.session.get_session()
    for service in sorted({name for text in texts for name in BUILT.findall(text)}):
        model = session.get_service_model(service)
        for operation in model.operation_names:
            if xform_name(operation) in called:
                shapes: Any = model.operation_model(operation).error_shapes
                for shape in shapes:
                    status = shape.metadata.get("error", {}).get("httpStatusCode", 400)
                    yield service, operation, shape.error_code, status


MODELLED = sorted(set(modelled()))


def test_the_models_that_are_read_are_those_of_what_we_call() -> None:
    assert {service for service, _, _, _ in MODELLED} >= {"dynamodb", "dynamodbstreams", "kinesis", "sns", "sqs", "s3"}
    assert {"PutRecords", "PublishBatch", "TransactWriteItems", "SendEmail"} <= {each[1] for each in MODELLED}


@pytest.mark.parametrize(("code", "status"), sorted({(code, status) for _, _, code, status in MODELLED}))
def test_every_error_of_an_operation_that_we_call_is_judged_on_purpose(code: str, status: int) -> None:
    unforeseen = kind_of(answer(code, status, "ConditionalCheckFailed")) is UNFORESEEN

    assert not unforeseen or code.removesuffix("Exception").casefold() in failures.OUR_REQUEST, (
        f"write {code} into one of the tables of headwater.failures"
    )


def test_no_code_stands_in_two_tables() -> None:
    tables = [failures._OUTAGES, failures._REFUSALS, failures._TRANSIENT, failures.OUR_REQUEST]

    assert len(frozenset().union(*tables)) == sum(map(len, tables))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PermanentError("x"), PERMANENT),
        (MalformedEventError("x"), PERMANENT),
        (UnknownEventError("x"), PERMANENT),
        (MalformedAttributeError("x"), PERMANENT),
        (RefusedError("x"), REFUSED),
        (ParamValidationError(report="x"), REFUSED),
        (answer("ValidationException"), REFUSED),
        (answer("ItemCollectionSizeLimitExceededException"), REFUSED),
        (answer("NoSuchKey", 404), REFUSED),
        (TransientError("x"), TRANSIENT),
        (TimeoutError(), TRANSIENT),
        (ConnectionResetError(), TRANSIENT),
        (EndpointConnectionError(endpoint_url="x"), TRANSIENT),
        (ReadTimeoutError(endpoint_url="x"), TRANSIENT),
        (answer("ProvisionedThroughputExceededException"), TRANSIENT),
        (answer("KMSThrottlingException"), TRANSIENT),
        (answer("KmsThrottled"), TRANSIENT),
        (answer("SlowDown", 503), TRANSIENT),
        (answer("NobodyKnows", 500), TRANSIENT),
        (answer("NobodyKnows", 429), TRANSIENT),
        (NoCredentialsError(), OUTAGE),
        (answer("AccessDeniedException"), OUTAGE),
        (answer("ResourceNotFoundException"), OUTAGE),
        (answer("AWS.SimpleQueueService.NonExistentQueue"), OUTAGE),
        (answer("QueueDoesNotExist"), OUTAGE),
        (answer("NotFound", 404), OUTAGE),
        (answer("KMSAccessDeniedException"), OUTAGE),
        (answer("KMS.DisabledException"), OUTAGE),
        (answer("KmsInvalidState"), OUTAGE),
        (answer("NobodyKnows", 403), OUTAGE),
        (answer("NobodyKnows", 400), UNFORESEEN),
        (answer("EmptyBatchRequest", 500), UNFORESEEN),
        (KeyError("x"), UNFORESEEN),
        (TypeError("x"), UNFORESEEN),
        (ZeroDivisionError(), UNFORESEEN),
        (RecursionError(), UNFORESEEN),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_an_error_calls_for(error: Exception, kind: FailureKind) -> None:
    assert kind_of(error) is kind


def test_text_that_utf8_cannot_hold_is_the_records_fault() -> None:
    with pytest.raises(UnicodeError) as caught:
        "\ud800".encode()

    assert kind_of(caught.value) is PERMANENT


def test_a_value_that_dynamodb_cannot_hold_is_the_records_fault() -> None:
    with pytest.raises(MalformedAttributeError) as caught:
        marshal(7.0)

    assert kind_of(caught.value) is PERMANENT


@pytest.mark.parametrize(
    ("reasons", "kind"),
    [
        (("None", "ConditionalCheckFailed"), TRANSIENT),
        (("TransactionConflict", "None", "ThrottlingError", "ProvisionedThroughputExceeded"), TRANSIENT),
        (("ConditionalCheckFailed", "ValidationError"), REFUSED),
        (("ItemCollectionSizeLimitExceeded", "AccessDenied"), REFUSED),
        (("ConditionalCheckFailed", "AccessDenied"), OUTAGE),
        (("ConditionalCheckFailed", "NobodyKnows"), UNFORESEEN),
        (("None", "None"), TRANSIENT),
    ],
)
def test_a_cancelled_transaction_calls_for_what_its_worst_reason_does(
    reasons: tuple[str, ...], kind: FailureKind
) -> None:
    assert kind_of(answer("TransactionCanceledException", 400, *reasons)) is kind


@pytest.mark.parametrize(
    ("code", "sender_fault", "kind"),
    [
        ("InternalError", False, TRANSIENT),
        ("NobodyKnows", False, TRANSIENT),
        ("NobodyKnows", True, REFUSED),
        ("InvalidMessageContents", True, REFUSED),
        ("RequestThrottled", True, TRANSIENT),
        ("KMS.AccessDeniedException", True, OUTAGE),
    ],
)
def test_an_entry_that_was_not_taken_calls_for(code: str, *, sender_fault: bool, kind: FailureKind) -> None:
    assert failures.kind_of_entry(code, sender_fault=sender_fault) is kind


@given(st.text(), st.integers(100, 599))
def test_a_code_calls_for_the_same_in_an_exception_and_beside_an_entry(code: str, status: int) -> None:
    assert kind_of(answer(code, status)) is kind_of_code(code, status)
    assert name_of(answer(code, status)) == code


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("alice@example.org"), "KeyError"),
        ("\udcff of alice", "UnicodeEncodeError"),
        (answer("ValidationException", 400), "ValidationException"),
        (PermanentError("'score' must be an integer"), "'score' must be an integer"),
        (MalformedEventError("no event"), "no event"),
        (ConnectionError("no route to alice"), "ConnectionError"),
        (answer("AccessDeniedException", 400), str(answer("AccessDeniedException", 400))),
    ],
)
def test_a_log_gets_our_own_words_and_those_about_the_place(error: Exception | str, said: str) -> None:
    if isinstance(error, str):
        with pytest.raises(UnicodeError) as raised:
            error.encode()
        error = raised.value

    assert failures.loggable(error) == said
