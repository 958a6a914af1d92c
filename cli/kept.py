"""What an operator did by hand, by whom and why: kept for a year under ``discarded/`` in FailedBatchesBucket."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from cli.output import as_json
from cli.target import Target
from headwater.clock import timestamp


def reason_option(help_: str) -> Callable[[Any], Any]:
    """A command's ``--reason``, which says something."""
    return click.option("--reason", required=True, callback=_stated, help=help_)


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


def _stated(_context: click.Context, _option: click.Parameter, reason: str) -> str:
    if not reason.strip():
        raise click.BadParameter("say why")
    return reason
