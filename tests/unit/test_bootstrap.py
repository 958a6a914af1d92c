"""Which clients a cold start builds."""

from collections.abc import Iterator
from dataclasses import fields
from functools import _lru_cache_wrapper
from unittest.mock import Mock

import pytest

from headwater import bootstrap
from headwater.settings import Settings

_VALUES = {"application": "arcade.app", "on_unconfirmed_email": "hold"}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A container in which nothing is built yet."""

    def forget() -> None:
        for each in vars(bootstrap).values():
            if isinstance(each, _lru_cache_wrapper):
                each.cache_clear()

    for field in fields(Settings):
        monkeypatch.setenv(field.name.upper(), _VALUES.get(field.name, "https://x"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    forget()
    yield
    forget()


def test_fan_out_starts_without_the_clients_that_only_big_events_and_failures_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = [Mock(), Mock()]
    monkeypatch.setattr(bootstrap, "s3", built[0])
    monkeypatch.setattr(bootstrap, "dynamodb", built[1])

    bootstrap.fan_out()

    assert [client.call_count for client in built] == [0, 0]


def test_a_client_is_built_when_it_is_first_used() -> None:
    store = bootstrap.claim_store()

    assert bootstrap.s3.cache_info().currsize == 0
    store._client.generate_presigned_url("get_object", Params={"Bucket": "claims", "Key": "x"})
    assert bootstrap.s3.cache_info().currsize == 1
