"""One table from an error to what it calls for; whoever catches an error of a record asks `kind_of` and nothing else.

Sources: "Common errors" and the errors of each operation in the API references of DynamoDB, Kinesis, SNS, SQS, S3, SES,
KMS and Lambda; "Retry behavior" in the AWS SDKs and Tools reference guide for what is throttling.
"""

from enum import StrEnum
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from headwater.attribute_values import MalformedAttributeError
from headwater.domain.events import MalformedEventError, UnknownEventError


class FailureKind(StrEnum):
    """What an error calls for.

    PERMANENT: we judged the record, and it or this code must change: park its aggregate at once.
    REFUSED: a destination does not take this record, and will not at the next try: park its aggregate at once, unless
    nearly all are refused alike.
    TRANSIENT: this moment is at fault: try again.
    OUTAGE: this place is at fault (a right, key, table or queue is missing): try again, park nothing, tell somebody.
    UNFORESEEN: nobody wrote it into this table: see `headwater.dead_letters.patience`.
    """

    PERMANENT = "permanent"
    REFUSED = "refused"
    TRANSIENT = "transient"
    OUTAGE = "outage"
    UNFORESEEN = "unforeseen"


class PermanentError(ValueError):
    """Base of our own judgements over a record: trying again cannot help."""


class RefusedError(Exception):
    """Base of what a destination does not take of one record, whatever the moment."""


class TransientError(Exception):
    """Base of our own errors that another try may well get past."""


#: What the domain raises over a record; it imports nothing, so that its errors have no base of ours.
_PERMANENT: Final = (PermanentError, MalformedEventError, UnknownEventError, MalformedAttributeError, UnicodeError)

#: The place is at fault: nothing that a record holds brings these about.
_OUTAGES: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "AWS.SimpleQueueService.NonExistentQueue",
        "DisabledException",
        "EndpointDisabled",
        "EndpointDisabledException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidStateException",
        "KMSAccessDenied",
        "KMSAccessDeniedException",
        "KMSDisabled",
        "KMSDisabledException",
        "KMSInvalidState",
        "KMSInvalidStateException",
        "KMSNotFound",
        "KMSNotFoundException",
        "KMSOptInRequired",
        "KmsAccessDenied",
        "KmsDisabled",
        "KmsInvalidKeyUsage",
        "KmsInvalidState",
        "KmsNotFound",
        "KmsOptInRequired",
        "KmsThrottled",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NoSuchBucket",
        "NotFound",
        "NotFoundException",
        "OptInRequired",
        "QueueDeletedRecently",
        "QueueDoesNotExist",
        "RequestExpired",
        "ResourceInUseException",
        "ResourceNotFoundException",
        "SignatureDoesNotMatch",
        "TableNotFoundException",
        "UnrecognizedClientException",
    }
)

#: The record is at fault. Everything else with a status below 500 is unforeseen; 429 and 5xx are transient.
_REFUSALS: Final = frozenset(
    {
        "BatchRequestTooLong",
        "EntityTooLarge",
        "InvalidArgument",
        "InvalidArgumentException",
        "InvalidBatchEntryId",
        "InvalidMessageContents",
        "InvalidParameter",
        "InvalidParameterException",
        "InvalidParameterValue",
        "InvalidParameterValueException",
        "InvalidRequest",
        "ItemCollectionSizeLimitExceeded",
        "ItemCollectionSizeLimitExceededException",
        "KeyTooLongError",
        "MessageRejected",
        "ParameterValueInvalid",
        "ParameterValueInvalidException",
        "RequestEntityTooLargeException",
        "SerializationException",
        "ValidationError",
        "ValidationException",
    }
)

_TRANSIENT: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "ConditionalCheckFailed",
        "ConditionalCheckFailedException",
        "ConditionalRequestConflict",
        "InternalError",
        "InternalErrorException",
        "InternalFailure",
        "InternalServerError",
        "LimitExceededException",
        "OperationAborted",
        "PreconditionFailed",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "ReplicatedWriteConflictException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "RequestTimeTooSkewed",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "SlowDown",
        "ThrottledException",
        "Throttled",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)


def kind_of(error: BaseException) -> FailureKind:
    """What the error calls for."""
    match error:
        case RefusedError() | ParamValidationError():
            return FailureKind.REFUSED
        case _ if isinstance(error, _PERMANENT):
            return FailureKind.PERMANENT
        case TransientError() | TimeoutError() | ConnectionError():
            return FailureKind.TRANSIENT
        case ClientError():
            return _kind_of_answer(error)
        case BotoCoreError():
            # No answer came, or no credentials: the way to AWS, never the record.
            return FailureKind.TRANSIENT
    return FailureKind.UNFORESEEN


def kind_of_code(code: str, status: int = 400) -> FailureKind:
    """What an error code of AWS calls for, whether it stands in an exception or beside one entry of an answer."""
    if code in _OUTAGES:
        return FailureKind.OUTAGE
    if code in _REFUSALS:
        return FailureKind.REFUSED
    if code in _TRANSIENT or status == 429 or status >= 500:
        return FailureKind.TRANSIENT
    return FailureKind.UNFORESEEN


def name_of(error: BaseException) -> str:
    """What AWS, or the way to it, answered; else the error's class. Without the message, which may quote a record."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__


def _kind_of_answer(error: ClientError) -> FailureKind:
    answer: Any = error.response
    code = str(answer.get("Error", {}).get("Code", ""))
    if code == "TransactionCanceledException":
        reasons = [str(reason.get("Code", "None")) for reason in answer.get("CancellationReasons", [])]
        kinds = {kind_of_code(reason) for reason in reasons if reason != "None"}
        # One item that can never be written refuses the whole transaction, whatever befell the others.
        for kind in (FailureKind.REFUSED, FailureKind.OUTAGE, FailureKind.UNFORESEEN):
            if kind in kinds:
                return kind
        return FailureKind.TRANSIENT
    return kind_of_code(code, int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)))
