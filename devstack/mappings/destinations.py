"""Where batches go that a mapping has given up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient


@dataclass(slots=True)
class Destinations:
    """Where given-up batches go; clients of the emulator."""

    sqs: SQSClient
    sns: SNSClient
    s3: S3Client

    def send(self, arn: str, message: Mapping[str, Any], payload: bytes, key: str) -> None:
        """Tell an OnFailure destination, whatever service its ARN names. The event itself goes to a bucket only."""
        service = arn.split(":")[2]
        if service == "sqs":
            url = self.sqs.get_queue_url(QueueName=arn.rsplit(":", 1)[1])["QueueUrl"]
            self.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(message))
        elif service == "sns":
            self.sns.publish(TopicArn=arn, Message=json.dumps(message))
        else:
            body = json.dumps({**message, "payload": payload.decode()})
            self.s3.put_object(Bucket=arn.rsplit(":", 1)[1], Key=key, Body=body.encode())
