"""One table from an error to what it calls for; whoever catches an error of a record asks `kind_of` and nothing else.

Sources: "Common errors" and the errors of each operation in the API references of DynamoDB, Kinesis, SNS, SQS, S3, SES,
KMS, Lambda and Step Functions; "Retry behavior" in the AWS SDKs and Tools reference guide for what is throttling. A
test holds the table to the errors that boto3's models name for each operation that we call.
"""

from enum import StrEnum
from typing import Any, Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
)

from headwater.attribute_values import MalformedAttributeError
from headwater.domain.events import MalformedEventError, UnknownEventError
from headwater.domain.fields import InvalidFieldError, InvalidFieldsError


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


#: However often it is tried, the record is not taken: it is parked, and its aggregate's later ones do not wait for it.
FOR_GOOD: Final = (FailureKind.PERMANENT, FailureKind.REFUSED)
#: The way or the place is at fault, whatever the record holds.
BLAMELESS: Final = (FailureKind.TRANSIENT, FailureKind.OUTAGE)
_PRECEDENCE: Final = (
    FailureKind.OUTAGE,
    FailureKind.TRANSIENT,
    FailureKind.UNFORESEEN,
    FailureKind.REFUSED,
    FailureKind.PERMANENT,
)


class JudgedError(Exception):
    """Base of our own errors that say by themselves what they call for.

    ``code`` is what AWS answered, if it did; ``detail`` what it said beside, which may quote the record: for a dead
    letter, never for a log.
    """

    kind: FailureKind
    code: str | None = None
    detail: str = ""


class PermanentError(JudgedError, ValueError):
    """Base of our own judgements over a record: trying again cannot help."""

    kind = FailureKind.PERMANENT


class RefusedError(JudgedError):
    """Base of what a destination does not take of one record, whatever the moment."""

    kind = FailureKind.REFUSED


class TransientError(JudgedError):
    """Base of our own errors that another try may well get past."""

    kind = FailureKind.TRANSIENT


#: What the domain raises over a record; it imports nothing, so that its errors have no base of ours.
PERMANENT_ERRORS: Final = (
    InvalidFieldError,
    InvalidFieldsError,
    MalformedAttributeError,
    MalformedEventError,
    UnicodeError,
    UnknownEventError,
)
#: Where a process has no credentials, or nowhere to go, no record is at fault.
_ADRIFT: Final = (CredentialRetrievalError, NoCredentialsError, NoRegionError, PartialCredentialsError)


def _plain(code: str) -> str:
    """A code without what differs by protocol, as in ``AWS.SimpleQueueService.NonExistentQueue`` or ``KmsDisabled``."""
    return code.rpartition(".")[2].removesuffix("Exception").casefold()


def _codes(names: str) -> frozenset[str]:
    return frozenset(map(_plain, names.split()))


#: The place is at fault: nothing that a record holds brings these about.
_OUTAGES: Final = _codes("""
    AccessDenied AuthorizationError IncompleteSignature InvalidAccessKeyId InvalidClientTokenId InvalidSecurity
    InvalidSignature MissingAuthenticationToken OptInRequired SignatureDoesNotMatch UnrecognizedClient
    ExpiredToken RequestExpired
    KMSAccessDenied KMSDisabled KMSInvalidKeyUsage KMSInvalidState KMSNotFound KMSOptInRequired Disabled InvalidState
    NotFound ResourceInUse ResourceNotFound TableNotFound
    InvalidAddress NonExistentQueue QueueDeletedRecently QueueDoesNotExist UnsupportedOperation
    EndpointDisabled PlatformApplicationDisabled
    AllAccessDisabled InvalidObjectState NoSuchBucket
    AccountSuspended MailFromDomainNotVerified SendingPaused
    InvalidArn StateMachineDeleting StateMachineDoesNotExist
    CodeArtifactUserDeleted CodeArtifactUserFailed CodeArtifactUserPending EC2AccessDenied EFSIO EFSMountConnectivity
    EFSMountFailure EFSMountTimeout InvalidRuntime InvalidSecurityGroupID InvalidSubnetID InvalidZipFile
    ModeNotSupported NoPublishedVersion RecursiveInvocation S3FilesMountConnectivity S3FilesMountFailure
    S3FilesMountTimeout SnapStart SnapStartRegenerationFailure SubnetIPAddressLimitReached
""")

#: The record is at fault.
_REFUSALS: Final = _codes("""
    BadRequest InvalidArgument InvalidParameter InvalidParameterValue InvalidRequest ParameterValueInvalid
    Serialization Validation ValidationError
    ItemCollectionSizeLimitExceeded
    BatchRequestTooLong InvalidBatchEntryId InvalidMessageContents
    EntityTooLarge KeyTooLongError NoSuchKey
    MessageRejected
    InvalidExecutionInput InvalidOutput
    InvalidRequestContent RequestEntityTooLarge RequestTooLarge SerializedRequestEntityTooLarge
""")

_TRANSIENT: Final = _codes("""
    BandwidthLimitExceeded LimitExceeded PriorRequestNotComplete ProvisionedThroughputExceeded RequestLimitExceeded
    RequestThrottled ServiceQuotaExceeded SlowDown Throttled Throttling ThrottlingError TooManyRequests
    KMSThrottled KMSThrottling
    ConditionalCheckFailed ConditionalRequestConflict OperationAborted PreconditionFailed ReplicatedWriteConflict
    TransactionConflict TransactionInProgress
    InternalError InternalFailure InternalServerError RequestTimeTooSkewed RequestTimeout ServiceUnavailable
    ExecutionLimitExceeded ResourceConflict ResourceNotReady SnapStartNotReady SnapStartTimeout
""")

#: The request is at fault, whatever the record: the call that can meet one handles it; elsewhere it is our mistake.
OUR_REQUEST: Final = _codes("""
    DryRunOperation DuplicateItem ExpiredIterator ExpiredNextToken IdempotentParameterMismatch TrimmedDataAccess
    BatchEntryIdsNotDistinct EmptyBatchRequest MessageNotInflight ReceiptHandleIsInvalid TooManyEntriesInBatchRequest
    EncryptionTypeMismatch InvalidWriteOffset TooManyParts
    ExecutionAlreadyExists InvalidName InvalidToken TaskDoesNotExist TaskTimedOut
    DurableExecutionAlreadyStarted UnsupportedMediaType
""")

#: Why a transaction is cancelled of which an item is not as it was taken to be.
LOST_CONDITION: Final = "ConditionalCheckFailed"

#: Rights that are refused under a code which nobody wrote into this table.
_FORBIDDEN: Final = (401, 403)


def kind_of(error: BaseException) -> FailureKind:
    """What the error calls for."""
    match error:
        case JudgedError():
            return error.kind
        case ParamValidationError():
            return FailureKind.REFUSED
        case _ if isinstance(error, PERMANENT_ERRORS):
            return FailureKind.PERMANENT
        case TimeoutError() | ConnectionError():
            return FailureKind.TRANSIENT
        case ClientError():
            return _kind_of_answer(error)
        case _ if isinstance(error, _ADRIFT):
            return FailureKind.OUTAGE
        case BotoCoreError():
            # No answer came: the way to AWS, never the record.
            return FailureKind.TRANSIENT
    return FailureKind.UNFORESEEN


def precedence(error: Exception) -> int:
    """Of several errors of a record, or of an aggregate's records, the one of the lowest decides.

    What may be gone at the next try comes before what no try can help.
    """
    return _PRECEDENCE.index(kind_of(error))


def kind_of_code(code: str, status: int = 400) -> FailureKind:
    """What an error code of AWS calls for, whether it stands in an exception or beside one entry of an answer."""
    plain = _plain(code)
    for codes, kind in (
        (_OUTAGES, FailureKind.OUTAGE),
        (_REFUSALS, FailureKind.REFUSED),
        (_TRANSIENT, FailureKind.TRANSIENT),
        (OUR_REQUEST, FailureKind.UNFORESEEN),
    ):
        if plain in codes:
            return kind
    if status in _FORBIDDEN:
        return FailureKind.OUTAGE
    return FailureKind.TRANSIENT if status == 429 or status >= 500 else FailureKind.UNFORESEEN


def kind_of_entry(code: str, *, sender_fault: bool) -> FailureKind:
    """What the code of one entry of a batch calls for that SNS or SQS did not take."""
    kind = kind_of_code(code, 400 if sender_fault else 500)
    # The service itself says that the entry has to change.
    return FailureKind.REFUSED if kind is FailureKind.UNFORESEEN else kind


def name_of(error: BaseException) -> str:
    """What AWS, or the way to it, answered; else the error's class. Without the message, which may quote a record."""
    if isinstance(error, ClientError):
        return str(error.response["Error"]["Code"])
    return (error.code if isinstance(error, JudgedError) else None) or type(error).__name__


def reasons_of(cancelled: ClientError) -> list[str]:
    """Why a transaction was cancelled, item by item; ``None`` as text where an item was no reason."""
    answer: Any = cancelled.response
    return [str(reason.get("Code", "None")) for reason in answer.get("CancellationReasons", [])]


def loggable(error: BaseException) -> str:
    """What of it may stand in a log: our own message, and AWS's about the place; any other may quote the record."""
    ours = type(error).__module__.startswith("headwater.")
    about_place = isinstance(error, ClientError | BotoCoreError) and kind_of(error) in (
        FailureKind.TRANSIENT,
        FailureKind.OUTAGE,
    )
    return str(error) if ours or about_place else name_of(error)


def _kind_of_answer(error: ClientError) -> FailureKind:
    answer: Any = error.response
    code = name_of(error)
    if code == "TransactionCanceledException":
        kinds = {kind_of_code(reason) for reason in reasons_of(error) if reason != "None"}
        # One item that can never be written refuses the whole transaction, whatever befell the others.
        for kind in (FailureKind.REFUSED, FailureKind.OUTAGE, FailureKind.UNFORESEEN):
            if kind in kinds:
                return kind
        return FailureKind.TRANSIENT
    return kind_of_code(code, int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)))
