"""What cannot be told is parked as all dead letters are."""

from typing import Any

import pytest

from headwater.applications.enrichment import Enrichment
from headwater.applications.parking import CONSUMER, ElementParking
from headwater.dead_letters.parked import ParkedRecords
from headwater.dead_letters.pointers import consumer_of
from tests.fakes.accounts import NOW
from tests.fakes.applications import InMemoryApplications, action, record
from tests.fakes.parking_lot import InMemoryParkingLot


def parked(*records: Any) -> list[ParkedRecords]:
    lot = InMemoryParkingLot()
    for element in Enrichment(InMemoryApplications()).enrich(list(records)):
        ElementParking(lot, lambda: NOW, aside=InMemoryParkingLot()).park(element)
    return lot.parked


def test_an_element_is_parked_in_the_shape_of_all_parked_records() -> None:
    (found,) = parked(record(action()))

    assert (found.consumer, found.aggregate_id) == ("application_status", "APPLICATION#a1")
    assert found.reason == "ApplicationMissingError"
    assert found.error == "ApplicationMissingError: there is no application a1, which action x1 is about"
    assert found.source_arn.endswith("table/applications/stream/2026-01-01T00:00:00.000")
    assert list(found.parsed) == [action()]
    assert list(found.raw) == [record(action())]


@pytest.mark.parametrize("raw", ["no record", {}, {"eventID": "e", "dynamodb": {"NewImage": {"pk": {"S": 7}}}}])
def test_whatever_the_stream_held_can_be_parked(raw: Any) -> None:
    (found,) = parked(raw)

    assert (found.aggregate_id, list(found.parsed), list(found.raw)) == ("", [None], [raw])


def test_what_nobody_foresaw_goes_where_it_is_redriven_by_itself() -> None:
    lot, aside = InMemoryParkingLot(), InMemoryParkingLot()
    (element,) = Enrichment(InMemoryApplications()).enrich([record(action())])

    ElementParking(lot, lambda: NOW, aside=aside).set_aside(element)

    (found,) = aside.parked
    assert (found.reason, found.aggregate_id, lot.parked) == ("unforeseen", "APPLICATION#a1", [])


def test_the_pipes_own_dead_letters_go_by_the_same_name() -> None:
    """So that one redrive takes both."""
    arn = "arn:aws:pipes:eu-west-1:123456789012:pipe/headwater-ApplicationStatusPipe-1XK9d0aQ3sLm"

    assert consumer_of(arn) == CONSUMER
