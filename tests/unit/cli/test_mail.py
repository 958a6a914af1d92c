"""`headwater mail`: the list shows ids that `show` takes."""

from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from cli import mail
from operations.mailbox import Mail

IDS = ("01000000-aaaa-7000-8000-000000000001", "0100000f-aaaa-7000-8000-000000000002")


def one(identifier: str) -> Mail:
    return Mail(
        message_id=identifier,
        sender="no-reply@example.com",
        to=("ada@example.com",),
        subject="[/x] Welcome to Headwater",
        text=f"text of {identifier}",
        html="",
    )


def test_an_id_of_the_list_is_whole_at_80_columns_and_shows_its_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "_mails", lambda _: [one(identifier) for identifier in IDS])
    monkeypatch.setenv("COLUMNS", "80")
    listed = CliRunner().invoke(mail.mail, ["list"], obj=SimpleNamespace).stdout

    assert max(map(len, listed.splitlines())) <= 80
    assert "[/x] Welcome" in listed
    for short, identifier in (("01000000", IDS[0]), ("0100000f", IDS[1])):
        assert f"│ {short} │" in listed
        shown = CliRunner().invoke(mail.mail, ["show", short], obj=SimpleNamespace).stdout
        assert shown == f"text of {identifier}\n"
