"""Errors as boto3 raises them: a ClientError of the class that the service's client has under ``exceptions``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

from botocore.exceptions import ClientError, HTTPClientError, ParamValidationError
from botocore.exceptions import ConnectionError as BotoConnectionError

#: Codes that the service models name, hence those that have a class of their own. SNS leaves "Exception" off its codes.
_MODELLED: Final = {
    "dynamodb": {
        code: code
        for code in (
            "ConditionalCheckFailedException",
            "IdempotentParameterMismatchException",
            "InternalServerError",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "ResourceInUseException",
            "ResourceNotFoundException",
            "ThrottlingException",
            "TransactionCanceledException",
            "TransactionConflictException",
            "TransactionInProgressException",
        )
    },
    "dynamodbstreams": {
        code: code
        for code in (
            "ExpiredIteratorException",
            "InternalServerError",
            "LimitExceededException",
            "ResourceNotFoundException",
            "TrimmedDataAccessException",
        )
    },
    "kinesis": {
        code: code
        for code in (
            "ExpiredIteratorException",
            "InternalFailureException",
            "InvalidArgumentException",
            "LimitExceededException",
            "ProvisionedThroughputExceededException",
            "ResourceInUseException",
            "ResourceNotFoundException",
            "ValidationException",
        )
    },
    "sns": {
        code: f"{code}Exception"
        for code in (
            "BatchEntryIdsNotDistinct",
            "BatchRequestTooLong",
            "EmptyBatchRequest",
            "InternalError",
            "InvalidBatchEntryId",
            "InvalidParameter",
            "NotFound",
            "Throttled",
            "TooManyEntriesInBatchRequest",
        )
    }
    | {"ParameterValueInvalid": "InvalidParameterValueException"},
    "sqs": {
        code: code for code in ("InvalidMessageContents", "OverLimit", "ReceiptHandleIsInvalid", "RequestThrottled")
    }
    | {
        f"AWS.SimpleQueueService.{name}": name
        for name in (
            "BatchEntryIdsNotDistinct",
            "BatchRequestTooLong",
            "EmptyBatchRequest",
            "InvalidBatchEntryId",
            "MessageNotInflight",
            "TooManyEntriesInBatchRequest",
        )
    }
    | {"AWS.SimpleQueueService.NonExistentQueue": "QueueDoesNotExist"},
    "lambda": {
        code: code
        for code in (
            "InvalidParameterValueException",
            "RequestTooLargeException",
            "ResourceNotFoundException",
            "ServiceException",
            "TooManyRequestsException",
        )
    },
    "s3": {code: code for code in ("BucketAlreadyOwnedByYou", "NoSuchBucket", "NoSuchKey")},
    "sesv2": {
        code: code
        for code in (
            "AccountSuspendedException",
            "BadRequestException",
            "LimitExceededException",
            "MailFromDomainNotVerifiedException",
            "MessageRejected",
            "NotFoundException",
            "SendingPausedException",
            "TooManyRequestsException",
        )
    },
}

_CLASSES: Final[dict[str, dict[str, type[ClientError]]]] = {
    service: {code: type(name, (ClientError,), {}) for code, name in codes.items()}
    for service, codes in _MODELLED.items()
}

_EXCEPTIONS: Final = {
    service: SimpleNamespace(ClientError=ClientError, **{error.__name__: error for error in classes.values()})
    for service, classes in _CLASSES.items()
}

#: What botocore's standard mode tries again (botocore.retries.standard).
_TRANSIENT_CODES: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
_TRANSIENT_STATUS: Final = frozenset({500, 502, 503, 504})

#: The errors that `is_transient` can judge.
CALL_ERRORS: Final = (ClientError, BotoConnectionError, HTTPClientError)


def exceptions(service: str) -> SimpleNamespace:
    """What a client of the service has as ``exceptions``."""
    return _EXCEPTIONS[service]


def client_error(
    service: str, operation: str, code: str, message: str = "", *, status: int = 400, **fields: Any
) -> ClientError:
    """The error that a client raises for a refused call.

    Faults raise theirs through this too: an adapter that catches ``client.exceptions.X`` catches no other class.
    ``fields`` are the error's own, such as ``Item`` or ``CancellationReasons``.
    """
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0},
        **fields,
    }
    return _CLASSES[service].get(code, ClientError)(response, operation)


def transaction_cancelled(reasons: list[dict[str, Any]], operation: str = "TransactWriteItems") -> ClientError:
    """A transaction refused; one reason an item, in the request's order."""
    codes = ", ".join(reason["Code"] for reason in reasons)
    message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
    return client_error("dynamodb", operation, "TransactionCanceledException", message, CancellationReasons=reasons)


def parameter_error(report: str) -> ParamValidationError:
    """What botocore raises before it sends anything."""
    return ParamValidationError(report=report)


def is_transient(error: Exception) -> bool:
    """Whether botocore's standard retry mode would try the call again."""
    if not isinstance(error, ClientError):
        return True
    metadata = error.response["ResponseMetadata"]
    return error.response["Error"]["Code"] in _TRANSIENT_CODES or metadata["HTTPStatusCode"] in _TRANSIENT_STATUS
