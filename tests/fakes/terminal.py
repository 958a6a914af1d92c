"""A stream that somebody looks at."""

import io


class Terminal(io.StringIO):
    """One that takes what is printed, as a terminal does."""

    def isatty(self) -> bool:
        return True
