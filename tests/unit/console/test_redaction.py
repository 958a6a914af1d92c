"""What no page shows, wherever it stands."""

import time
from typing import Any

import pytest

from cli.console import redaction
from cli.console.pages.shared import pretty
from cli.console.redaction import DEEPEST, HIDDEN, LONGEST
from tests.fakes.calls import calls_of

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


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
        TOKEN,
        "Bearer abcdefgh12345678",
    ],
)
def test_a_text_that_looks_like_one_is_hidden_within_others(secret: str) -> None:
    assert redaction.text(f"before {secret} after") == f"before {HIDDEN} after"
    assert redaction.value({"note": f"it was {secret}"}) == {"note": f"it was {HIDDEN}"}


@pytest.mark.parametrize("before", ["", "x-", "eyJ-eyJ-", "a.", "eyJhbGci.", "x.y.", "="])
def test_a_token_is_found_wherever_it_begins(before: str) -> None:
    assert redaction.text(f"{before}{TOKEN} after").endswith(f"{HIDDEN} after")
    assert "c2ln" not in redaction.text(before + TOKEN)


@pytest.mark.parametrize("word", ["eyJ", "eyJshort.x.y", f"x{TOKEN}", "eyJhbGciOiJI. It"])
def test_what_only_begins_alike_is_shown(word: str) -> None:
    assert redaction.text(f"{word} after") == f"{word} after"


@pytest.mark.parametrize("kept", range(len("eyJ") + 8, len(TOKEN)))
def test_a_token_that_is_cut_off_is_hidden_too(kept: int) -> None:
    shown = redaction.text(f"it was {TOKEN}", len("it was ") + kept)

    assert shown == f"it was {HIDDEN}… and {len(TOKEN) - kept} characters more"


@pytest.mark.parametrize("word", ["eyJ-", "-eyJaaaaaaaa", "eyJaaaaaaaa.", "$argon2a ", "Basic a", "a.b"])
def test_its_time_grows_with_the_text_and_not_with_its_square(word: str) -> None:
    shown = word * (200_000 // len(word))
    # Processor time, since a regex works by itself: 2 ms, and with the square of the length more than a minute.
    before = time.process_time()
    redaction.text(shown, len(shown))

    assert time.process_time() - before < 10


def test_of_a_long_text_the_beginning_is_shown_and_what_was_left_off_is_said() -> None:
    assert redaction.text("x" * LONGEST) == "x" * LONGEST
    assert redaction.text("x" * (LONGEST + 1234)) == "x" * LONGEST + "… and 1,234 characters more"


@pytest.mark.parametrize(
    "value",
    [
        [{"name": "y" * 1000}] * 1_000_000,
        {f"{number} {'n' * 100}": {"a": number} for number in range(100_000)},
        [list(range(1000))] * 1000,
        {"n" * LONGEST: "x" * 50, "then": "x" * 50},
    ],
)
def test_of_a_large_value_the_beginning_is_looked_at(value: Any) -> None:
    assert calls_of(lambda: pretty(value)) < 100_000
    shown = pretty(value)
    assert len(shown) < LONGEST + 100
    assert "… and more" in shown


def nested(levels: int, innermost: Any) -> Any:
    value = innermost
    for level in range(levels):
        value = [value] if level % 2 else {"in": value}
    return value


def test_a_value_of_a_thousand_levels_is_shown_to_a_depth() -> None:
    assert redaction.value(nested(DEEPEST, "x")) == nested(DEEPEST, "x")
    assert redaction.value(nested(1000, "x")) == nested(DEEPEST, "… and more")
    assert "… and more" in pretty(nested(1000, {"password": "x"}))
