"""What every value parser shares: how a value that cannot be accepted is named, and text without control characters."""

import re
import unicodedata
from collections.abc import Sequence


class InvalidFieldError(ValueError):
    """One field's value cannot be accepted. ``problem`` says what is expected and never repeats the value."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class UnknownFieldError(InvalidFieldError):
    """A field that nothing takes. Its name is the sender's own text, and belongs in no log."""


class InvalidFieldsError(ValueError):
    """Everything that is wrong with one request, so that its sender can put it right in one go."""

    def __init__(self, errors: Sequence[InvalidFieldError]) -> None:
        super().__init__("; ".join(str(error) for error in errors))
        self.errors = tuple(errors)


#: Control characters, line and paragraph separators.
_UNPRINTABLE = frozenset({"Cc", "Zl", "Zp"})
#: Characters that turn the direction of what follows them, by which a name can pass for another text in a mail.
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: A line break that some later hop might decode, such as ``%0a``.
_ENCODED_BREAK = re.compile(r"%0[ad]", re.IGNORECASE)
#: Letters, numbers, punctuation, symbols. Unassigned ones count: they may be newer than this Python's Unicode.
_VISIBLE = frozenset("LNPS")
#: Letters and symbols without a shape: fillers of Hangul, the blank of Braille, the null note.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\U0001d159")
#: Unassigned, and never to be shown ("Default_Ignorable_Code_Point", Unicode Character Database).
_IGNORABLE = (range(0x2065, 0x2066), range(0xFFF0, 0xFFF9), range(0xE0000, 0xE1000))


def text(field: str, value: object) -> str:
    """The value if it is text, and such that UTF-8 can hold it."""
    if not isinstance(value, str):
        raise InvalidFieldError(field, "must be text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidFieldError(field, "must hold no half of a surrogate pair") from None
    return value


def single_line(value: str) -> str | None:
    """What keeps a text from being one line without control characters, plain or percent-encoded; None if nothing."""
    if any(char in _DIRECTION or unicodedata.category(char) in _UNPRINTABLE for char in value):
        return "must hold no control characters or line breaks"
    if _ENCODED_BREAK.search(value):
        return "must hold no encoded line breaks (%0a, %0d)"
    return None


def visible(value: str) -> str | None:
    """What is wrong with a text of which nothing would be seen; None if something is, or if it is empty."""
    return "must have a character that can be seen" if value and not any(map(_is_visible, value)) else None


def _is_visible(char: str) -> bool:
    category = unicodedata.category(char)
    if category == "Cn":
        return not any(ord(char) in ignorable for ignorable in _IGNORABLE)
    return category[0] in _VISIBLE and char not in _BLANK
