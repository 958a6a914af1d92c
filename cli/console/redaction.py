"""What no page shows: passwords, hashes, tokens and the like, wherever they stand."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

HIDDEN: Final = "•••"
_WORDS: Final = frozenset(
    [
        "authorization",
        "cookie",
        "credential",
        "credentials",
        "digest",
        "hash",
        "passphrase",
        "passwd",
        "password",
        "passwords",
        "salt",
        "secret",
        "secrets",
        "signature",
        "token",
        "tokens",
    ]
)
#: ``accessToken``, ``access_token`` and ``ACCESS-TOKEN`` have the same words.
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
#: As argon2 and its like write a hash, the header that carries a token, and a JSON Web Token, which may be cut off at
#: the text's end. That is looked for from the beginning of a word alone, and never twice, as words may be long.
_VALUES: Final = re.compile(
    r"\$(?:argon2\w*|2[aby]|scrypt|pbkdf2[\w-]*)\$\S+"
    r"|\b(?:Bearer|Basic) [\w.~+/=-]{8,}"
    r"|(?<![\w-])(?>([\w-]*?)\beyJ)[\w-]{8,}+(?:\.[\w-]{8,}+\.[\w-]++|(?:\.[\w-]*+){0,2}\Z)"
)
#: Characters of a text, or of all that a value holds: an item has up to 400 KB, and a page many of them.
LONGEST: Final = 20_000
#: DynamoDB takes 32 levels, but JSON may stand in a text or a message.
DEEPEST: Final = 50
_LEFT_OFF: Final = "… and more"


def hides(name: str) -> bool:
    """Whether a field of this name is not shown."""
    words = [word.lower() for word in _WORD.findall(name)]
    return not _WORDS.isdisjoint(words) or "apikey" in "".join(words)


def text(shown: str, longest: int = LONGEST) -> str:
    """The beginning of a text without what looks like one of them, and how much was left off."""
    more = len(shown) - longest
    # Cut first: the rest is not even looked at.
    beginning = _VALUES.sub(rf"\1{HIDDEN}", shown[:longest])
    return f"{beginning}… and {more:,} characters more" if more > 0 else beginning


def value(shown: Any) -> Any:
    """A JSON value without them: `LONGEST` characters of it, to a depth of `DEEPEST`; where it ends, it says so."""
    return _Beginning().of(shown, DEEPEST)


class _Beginning:
    def __init__(self) -> None:
        self._left = LONGEST

    def of(self, shown: Any, levels: int) -> Any:
        self._left -= 1
        match shown:
            case dict() | list() | tuple() if not levels:
                return _LEFT_OFF
            case dict():
                return dict(self._fields(shown, levels - 1))
            case list() | tuple():
                return list(self._elements(shown, levels - 1))
            case str():
                longest = max(self._left, 0)
                self._left -= len(shown)
                return text(shown, longest)
        return shown

    def _fields(self, shown: Mapping[Any, Any], levels: int) -> Iterator[tuple[Any, Any]]:
        for name, each in shown.items():
            if self._left <= 0:
                yield "…", _LEFT_OFF
                return
            self._left -= len(str(name))
            yield name, HIDDEN if hides(str(name)) and each else self.of(each, levels)

    def _elements(self, shown: Sequence[Any], levels: int) -> Iterator[Any]:
        for each in shown:
            if self._left <= 0:
                yield _LEFT_OFF
                return
            yield self.of(each, levels)
