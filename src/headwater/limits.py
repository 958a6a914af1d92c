"""Service limits that the code splits by, each with its source in AWS's documentation.

They are arguments wherever they are used, so that tests can shrink them and a raised quota is one edit.
"""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class KinesisLimits:
    """PutRecords, Kinesis API reference: 500 records and 10 MiB a request (5 MiB before 2025), keys included."""

    records: int = 500
    request_bytes: int = 10 * MIB
    #: Kinesis Data Streams quotas: 1 MiB a record unless the stream's MaxRecordSizeInKiB is raised.
    record_bytes: int = 1 * MIB
    #: PutRecordsRequestEntry, Kinesis API reference: Unicode characters in a partition key.
    partition_key_characters: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class SnsLimits:
    """PublishBatch, SNS API reference: ten entries; SNS quotas: 256 KiB a request, attributes included."""

    entries: int = 10
    #: For one message and for all of a request, unless the topic's MaximumMessageSize is raised.
    request_bytes: int = 256 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamoDbLimits:
    """DynamoDB API reference and quotas: TransactWriteItems, BatchGetItem and the size of an item."""

    transaction_items: int = 100
    batch_get_keys: int = 100
    item_bytes: int = 400 * KIB
    #: Of a partition key's value, and of a sort key's, in UTF-8; an index's too.
    partition_key_bytes: int = 2048
    sort_key_bytes: int = 1024
    #: Ours, for a row of a read model: what is left of an item is for the marks of aggregates that cannot go on.
    row_bytes: int = 384 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class SqsLimits:
    """SendMessageBatch, SQS API reference: ten entries, 1 MiB for one message and for all of a request."""

    entries: int = 10
    request_bytes: int = 1 * MIB
