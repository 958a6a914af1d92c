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
_DIRECTION = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: A line break that some later hop might decode, such as ``%0a``.
_ENCODED_BREAK = re.compile(r"%0[ad]", re.IGNORECASE)


def text(field: str, value: object) -> str:
    """The value if it is text, and such that UTF-8 can hold it."""
    if not isinstance(value, str):
        raise InvalidFieldError(field, "must be text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidFieldError(field, "must hold no half of a surrogate pair") from None
    return value


def single_line(field: str, value: object) -> str:
    """The value if it is text without control characters and line breaks, plain or percent-encoded."""
    line = text(field, value)
    if any(char in _DIRECTION or unicodedata.category(char) in _UNPRINTABLE for char in line):
        raise InvalidFieldError(field, "must hold no control characters or line breaks")
    if _ENCODED_BREAK.search(line):
        raise InvalidFieldError(field, "must hold no encoded line breaks (%0a, %0d)")
    return line
