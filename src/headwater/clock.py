"""Wall-clock time, taken only at the edge and passed inwards as an argument."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)


def read_timestamp(text: str) -> datetime:
    """A time in ISO 8601, in UTC.

    Raises
    ------
    ValueError
        It is none, has no zone, or lies outside of the calendar in UTC.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is outside of the calendar in UTC") from error


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and ``Z``: text that sorts by time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
