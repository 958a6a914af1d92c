"""E-mail texts from template files."""

import pytest

from headwater.notifications.templating import EmailTemplate, one_line


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("Ada\r\n\r\nLovelace", "Ada Lovelace"),
        ("  Ada\t Lovelace\u2028", "Ada Lovelace"),
        ("A\x00d\x1ba\u202e", "Ada"),
        ("\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627"),
        ("Grüße, Ada 😀", "Grüße, Ada 😀"),
    ],
)
def test_row_27_a_value_becomes_one_legible_line(value: str, line: str) -> None:
    """FAULTS row 27."""
    assert one_line(value) == line


def test_a_placeholder_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="name"):
        EmailTemplate.load("welcome_email").render()
