"""What no page shows: passwords, hashes, tokens and the like, wherever they stand."""

import re
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
#: As argon2 and its like write a hash, a JSON Web Token, and the header that carries one.
_VALUES: Final = re.compile(
    r"\$(argon2\w*|2[aby]|scrypt|pbkdf2[\w-]*)\$\S+|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+|\b(Bearer|Basic) [\w.~+/=-]{8,}"
)


def hides(name: str) -> bool:
    """Whether a field of this name is not shown."""
    words = [word.lower() for word in _WORD.findall(name)]
    return not _WORDS.isdisjoint(words) or "apikey" in "".join(words)


def text(shown: str) -> str:
    """Text without what looks like one of them."""
    return _VALUES.sub(HIDDEN, shown)


def value(shown: Any) -> Any:
    """A JSON value without them."""
    match shown:
        case dict():
            return {name: HIDDEN if hides(str(name)) and each else value(each) for name, each in shown.items()}
        case list() | tuple():
            return [value(each) for each in shown]
        case str():
            return text(shown)
    return shown
