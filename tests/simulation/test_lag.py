"""How long healthy events take, with what outages took left out."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from devstack.event_source_mapping import StreamRecord
from devstack.simulator.config import Config
from devstack.simulator.graph import Blueprint
from devstack.simulator.lag import LagWatch, percentile, together
from devstack.simulator.world import World, opened

PLACE = "player#u1", 1


class Watched:
    """A watch over one healthy event that was appended at second 100, and a clock."""

    def __init__(self, *, suffers: bool = False) -> None:
        self.now = 100.0
        self.watch = LagWatch(lambda: self.now, lambda _: suffers)
        self.watch.appended(PLACE, "e1", 100.0)

    def seconds(self, consumer: str) -> list[float]:
        return [lag / 10 for lag in self.watch.lags.get(consumer, Counter()).elements()]


def row(version: int) -> dict[str, Any]:
    return {"pk": {"S": "badges@1#u1"}, "applied": {"M": {"player": {"N": str(version)}}}}


def test_a_row_tells_when_its_versions_were_applied_and_each_once() -> None:
    watched = Watched()
    watched.watch.published(PLACE, 101.0)
    for watched.now, version in ((103.0, 1), (104.0, 1)):
        watched.watch.row_written(row(version))

    assert watched.seconds("fan_out") == [1.0]
    assert watched.seconds("badges") == [3.0]


def test_an_outage_does_not_count_neither_of_the_consumer_nor_of_the_fan_out() -> None:
    watched = Watched()
    with watched.watch.during(SimpleNamespace(outage_until=150.0)):
        watched.watch.publishing([PLACE])
    watched.watch.published(PLACE, 152.0)
    watched.now = 305.0
    with watched.watch.during(SimpleNamespace(outage_until=300.0)):
        watched.watch.row_written(row(1))

    assert watched.seconds("fan_out") == [2.0]
    assert watched.seconds("badges") == [7.0]


def test_an_effect_is_done_when_the_ledger_says_so() -> None:
    watched = Watched()
    watched.now = 104.0
    watched.watch.effect_confirmed({"pk": {"S": "effect#change_notice#e1#old address"}})
    watched.watch.effect_confirmed({"pk": {"S": "effect#change_notice#unknown"}})

    assert watched.seconds("change_notice") == [4.0]


def test_of_who_keeps_no_rows_the_checkpoint_tells_and_what_comes_again_counts_once() -> None:
    watched = Watched()
    keys = {"aggregate_id": {"S": "player#u1"}, "version": {"N": "1"}}
    record = StreamRecord("1", "k", 100.0, 1, {"dynamodb": {"Keys": keys}})
    for watched.now in (105.0, 500.0):
        watched.watch.settled("archiver", [record])

    assert watched.seconds("archiver") == [5.0]


def test_who_suffers_does_not_count() -> None:
    watched = Watched(suffers=True)
    watched.watch.published(PLACE, 4_000.0)

    assert watched.seconds("fan_out") == []


@pytest.mark.parametrize(("share", "seconds"), [(0.5, 0.1), (0.98, 0.1), (0.99, 2.0), (1.0, 30.0)])
def test_percentiles_are_of_all_runs_together(share: float, seconds: float) -> None:
    lags = together([{"badges": Counter({1: 49, 20: 1})}, {"badges": Counter({1: 49, 300: 1})}])

    assert percentile(lags["badges"], share) == seconds


def test_a_held_shard_is_seen_in_the_lag_of_its_neighbours(blueprint: Blueprint) -> None:
    """The measure can fail: a function that is down for a minute, and that nobody calls an outage."""

    def hold(world: World) -> None:
        handlers = world.functions._handlers
        badges = handlers["BadgesFunction"]

        def later(event: Any, context: Any) -> Any:
            if world.engine.elapsed < 70:
                raise RuntimeError("held")
            return badges(event, context)

        handlers["BadgesFunction"] = later

    with opened(Config.of(1, 200, 0.0), blueprint) as world:
        hold(world)
        world.run()
        lags = world.lag.lags

    assert percentile(lags["badges"], 0.99) > 60
    assert percentile(lags["player_profiles"], 0.99) < 10
