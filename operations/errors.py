"""What a person is told in one line, whichever part of the command says it."""


class QueryError(Exception):
    """A question to the archive that is not answered, or an answer that cannot be drawn; the message says why."""
