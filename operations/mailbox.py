"""The e-mails that the emulator's SES accepted."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One e-mail that SES accepted."""

    message_id: str
    sender: str
    to: tuple[str, ...]
    subject: str
    text: str
    html: str

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Self:
        return cls(
            message_id=kept["MessageId"],
            sender=kept["Source"],
            to=tuple(kept["To"]),
            subject=kept["Subject"],
            text=kept["BodyText"],
            html=kept["BodyHtml"],
        )


def sent_mails(endpoint_url: str) -> list[Mail]:
    """What the emulator's SES accepted, oldest first."""
    with urllib.request.urlopen(f"{endpoint_url}/_ministack/ses/messages", timeout=10) as answer:  # noqa: S310
        accounts: dict[str, list[dict[str, Any]]] = json.loads(answer.read())["messages"]
    return [Mail.of(kept) for mails in accounts.values() for kept in mails]
