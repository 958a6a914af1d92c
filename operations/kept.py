"""What an operator did by hand, by whom and why: kept for a year under ``discarded/`` in FailedBatchesBucket."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from headwater.clock import timestamp
from operations.output import as_json
from operations.target import Target


def recorder(
    target: Target, name: str, facts: Mapping[str, Any], *, verb: str, done: str, reason: str
) -> Callable[..., str]:
    """Keeps a record under a name, with what is added to it; gives its address.

    ``verb`` and ``done`` are of what was done, such as ``discard`` and ``discarded``.
    """
    now = timestamp(datetime.now(UTC))
    record = {
        **facts,
        f"reason_to_{verb}": reason,
        f"{done}_by": target.client("sts").get_caller_identity()["Arn"],
        f"{done}_at": now,
    }
    bucket, key = target.output("FailedBatchesBucketName"), f"discarded/{now[:10]}/{name}-{now[11:]}.json"

    def keep(**more: Any) -> str:
        body = as_json({**record, **more}).encode()
        target.client("s3").put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json")
        return f"s3://{bucket}/{key}"

    return keep
