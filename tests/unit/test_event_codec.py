"""Items that are no events: told as such, whichever attribute is odd."""

from typing import Any

import pytest

from headwater.domain.events import MalformedEventError
from headwater.event_store import codec
from tests.fakes.stream_records import play_image


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("expires_at", {"S": "tomorrow"}),
        ("expires_at", {"L": []}),
        ("expires_at", "1772366400"),
        ("version", {"N": "9" * 20}),
        ("version", {"N": "one"}),
        ("schema_version", {"N": "-" + "9" * 38}),
        ("event_id", []),
        ("data", {"S": "{"}),
    ],
)
def test_an_attribute_of_another_kind_is_named(attribute: str, value: Any) -> None:
    with pytest.raises(MalformedEventError, match=attribute):
        codec.decode(play_image() | {attribute: value})


@pytest.mark.parametrize(("value", "seconds"), [({"N": "1772366400.5"}, 1772366400), ({"NULL": True}, None)])
def test_an_expiry_that_dynamodb_takes_is_read(value: Any, seconds: int | None) -> None:
    assert codec.decode(play_image() | {"expires_at": value}).expires_at == seconds
