"""The published list of compacted days, where somebody else wrote into it."""

from collections.abc import Callable

import pytest

from headwater.archive.boundary import Boundary, PublishedDay, UnreadableListError
from tests.fakes.growing_objects import InMemoryGrowingObjects

KEY = "curated-days/events-2026-03.jsonl"
DAY = PublishedDay(
    source="events",
    dt="2026-03-01",
    objects=["x"],
    records=3,
    raw_objects=1,
    raw_digest="d",
    published_at="2026-03-02T02:30:00.000Z",
)


@pytest.mark.parametrize("line", [b'{"dt":"2026-03-02"}', b"[1]", b"7", b"not JSON", b"", b'{"colour":"red"}'])
@pytest.mark.parametrize(
    "call",
    [
        lambda boundary: boundary.days("events", "2026-03"),
        lambda boundary: boundary.publish(DAY),
        lambda boundary: boundary.withdraw("events", "2026-03-01"),
    ],
    ids=["days", "publish", "withdraw"],
)
def test_a_foreign_line_is_named_with_its_object(line: bytes, call: Callable[[Boundary], object]) -> None:
    objects = InMemoryGrowingObjects()
    Boundary(objects).publish(DAY)
    (body, tag) = objects.objects[KEY]
    objects.objects[KEY] = (body + line + b"\n", tag)

    with pytest.raises(UnreadableListError, match=f"{KEY}: line 2 is no compacted day .*earlier version"):
        call(Boundary(objects))
    assert objects.objects[KEY][0] == body + line + b"\n"


def test_a_day_of_a_list_is_a_day() -> None:
    objects = InMemoryGrowingObjects()
    Boundary(objects).publish(DAY)
    body, tag = objects.objects[KEY]
    objects.objects[KEY] = (body.replace(b"2026-03-01", b"yesterday"), tag)

    with pytest.raises(UnreadableListError, match="line 1 is no compacted day"):
        Boundary(objects).days("events", "2026-03")
