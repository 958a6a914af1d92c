"""Rights that a consumer states because nothing else says them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from headwater.declarations import DeclarationError, place


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A statement of a role: what may be done to which of the template's resources.

    Parameters
    ----------
    sid
        Names the statement, such as ``ReadUser``: letters and digits.
    actions
        IAM's names, such as ``dynamodb:Query``.
    resource
        As ``Fn::Sub`` takes it, such as ``${EventsTable.Arn}``.
    leading_keys
        Patterns of the partition keys, of a table.
    """

    sid: str
    actions: Sequence[str]
    resource: str
    leading_keys: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9]+", self.sid):
            raise DeclarationError(f"{place()}: the grant's sid {self.sid!r} must be letters and digits")
        if wrong := [each for each in self.actions if not re.fullmatch(r"[a-z0-9-]+:[A-Za-z]+", each)]:
            raise DeclarationError(
                f"{place()}: grant {self.sid}: {wrong} must be actions of IAM such as dynamodb:Query, no wildcards"
            )
        if not self.actions:
            raise DeclarationError(f"{place()}: grant {self.sid} names no action")
        if "${" not in self.resource:
            raise ValueError(
                f"grant {self.sid}: its resource must be one of the template's, such as ${{EventsTable.Arn}}"
            )


def read_histories(*aggregate_types: str) -> Grant:
    """The right to read the events of some aggregate types from the table."""
    return Grant(
        sid="ReadHistories",
        actions=["dynamodb:Query"],
        resource="${EventsTable.Arn}",
        leading_keys=[f"{each}#*" for each in aggregate_types],
    )
