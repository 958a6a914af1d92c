"""What no page shows, wherever it stands."""

import pytest

from cli.console import redaction
from cli.console.redaction import HIDDEN


@pytest.mark.parametrize(
    "name", ["password", "Password_Hash", "token", "accessToken", "secret_key", "api-key", "Authorization", "salt"]
)
def test_a_field_of_such_a_name_is_hidden_however_deep(name: str) -> None:
    shown = redaction.value({"data": [{name: "x", "score": 7}], "empty": {name: ""}})

    assert shown == {"data": [{name: HIDDEN, "score": 7}], "empty": {name: ""}}


@pytest.mark.parametrize("name", ["name", "email", "score", "played_at", "compass", "hashtag", "basalt"])
def test_other_fields_are_shown(name: str) -> None:
    assert redaction.value({name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    "secret",
    [
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
        "$2b$12$abcdefghijklmnopqrstuv",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "Bearer abcdefgh12345678",
    ],
)
def test_a_text_that_looks_like_one_is_hidden_within_others(secret: str) -> None:
    assert redaction.text(f"before {secret} after") == f"before {HIDDEN} after"
    assert redaction.value({"note": f"it was {secret}"}) == {"note": f"it was {HIDDEN}"}
