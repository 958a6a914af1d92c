"""Who is blamed for an error, and how long a shard waits for it."""

from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from headwater.dead_letters.patience import Failed, Patience, Tried, Verdicts
from headwater.domain.events import MalformedEventError
from headwater.failures import RefusedError, TransientError
from tests.fakes.first_failures import InMemoryFirstFailures
from tests.fakes.incidents import RecordedIncidents

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DENIED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": ""}}, "PutItem")


class Bench:
    def __init__(self) -> None:
        self.now = START
        self.failures = InMemoryFirstFailures()
        self.incidents = RecordedIncidents()
        self.patience = self.process()

    def process(self) -> Patience:
        return Patience("tests", self.failures, self.incidents, lambda: self.now)

    def judge(self, after: int = 0, **tried: Exception | None) -> Verdicts:
        self.now = START + timedelta(seconds=after)
        return self.patience.judge(
            {name: error and Failed(error, f"{name}#1") for name, error in tried.items()}  # type: ignore[misc]
        )


class Places:
    park = "parked"
    set_aside = "aside"


def healthy(count: int, prefix: str = "ok") -> dict[str, Exception | None]:
    return {f"{prefix}{number}": None for number in range(count)}


def alike(count: int, error: Exception, prefix: str = "bad") -> dict[str, Exception | None]:
    return {f"{prefix}{number}": error for number in range(count)}


@pytest.mark.parametrize("neighbours", [0, 1, 50])
def test_an_unforeseen_error_waits_for_thirty_seconds_and_is_then_set_aside(neighbours: int) -> None:
    """FAULTS row 42."""
    bench = Bench()

    first = bench.judge(0, odd=KeyError("x"), **healthy(neighbours))
    almost = bench.judge(29, odd=KeyError("x"), **healthy(neighbours))
    overdue = bench.judge(30, odd=KeyError("x"), **healthy(neighbours))

    assert first == almost == Verdicts(waits=frozenset({"odd"}))
    assert overdue == Verdicts(set_aside=frozenset({"odd"}))
    assert bench.incidents.reports == []


def test_the_thirty_seconds_run_on_in_another_process() -> None:
    bench = Bench()
    bench.judge(0, odd=KeyError("x"))
    bench.patience = bench.process()

    assert bench.judge(31, odd=KeyError("x")).set_aside == {"odd"}


def test_another_record_of_the_aggregate_has_its_own_thirty_seconds() -> None:
    bench = Bench()
    bench.judge(0, odd=KeyError("x"))
    bench.now += timedelta(seconds=31)

    assert bench.patience.judge({"odd": Failed(KeyError("x"), "odd#2")}).waits == {"odd"}


def test_what_we_judged_and_what_is_refused_is_parked_at_once() -> None:
    bench = Bench()

    verdicts = bench.judge(0, malformed=MalformedEventError("x"), refused=RefusedError("x"), **healthy(3))

    assert verdicts == Verdicts(park=frozenset({"malformed", "refused"}))


@pytest.mark.parametrize(
    ("verdicts", "unforeseen", "refused", "judged"),
    [
        (Verdicts(park=frozenset({"a"})), "parked", "parked", "parked"),
        (Verdicts(set_aside=frozenset({"a"})), "aside", "parked", "parked"),
        (Verdicts(waits=frozenset({"a"})), None, None, "parked"),
    ],
)
def test_what_a_record_met_itself_counts_beside_what_decided_of_its_aggregate(
    verdicts: Verdicts, unforeseen: str | None, refused: str | None, judged: str | None
) -> None:
    ways = [
        verdicts.way("a", error, Places()) for error in (KeyError("x"), RefusedError("x"), MalformedEventError("x"))
    ]

    assert ways == [unforeseen, refused, judged]


def test_a_bad_moment_or_place_is_waited_for_however_long() -> None:
    bench = Bench()
    tried: dict[str, Exception | None] = {"moment": TransientError(), "place": DENIED}

    bench.judge(0, **tried)

    assert bench.judge(3600, **tried) == Verdicts(waits=frozenset(tried))
    assert bench.failures.first == {}


@pytest.mark.parametrize("error", [KeyError("x"), RefusedError("x")])
def test_where_nearly_all_fail_alike_all_wait_and_somebody_is_told(error: Exception) -> None:
    """FAULTS row 43."""
    bench = Bench()
    tried = alike(19, error) | healthy(1) | {"judged": MalformedEventError("x")}

    bench.judge(0, **tried)
    verdicts = bench.judge(3600, **tried)

    assert verdicts.waits == set(alike(19, error))
    assert verdicts.park == {"judged"}
    assert not verdicts.set_aside
    assert {incident for incident, _ in bench.incidents.reports} == {"SystemicFailures"}
    assert bench.incidents.reports[0][1]["cause"] == type(error).__name__
    assert bench.incidents.reports[0][1]["aggregates"] == "19"


def test_what_nearly_all_would_not_share_is_the_aggregates_own() -> None:
    bench = Bench()
    tried = alike(8, KeyError("x")) | healthy(2)

    bench.judge(0, **tried)

    assert bench.judge(30, **tried).set_aside == set(alike(8, KeyError("x")))


def test_different_errors_are_not_alike() -> None:
    bench = Bench()
    tried = alike(5, KeyError("x")) | alike(5, TypeError("x"), "other")

    bench.judge(0, **tried)

    assert bench.judge(30, **tried).set_aside == set(tried)
    assert bench.incidents.reports == []


def test_the_same_code_of_aws_is_alike_and_another_is_not() -> None:
    bench = Bench()
    answers = {
        f"bad{number}": ClientError({"Error": {"Code": "Unheard", "Message": str(number)}}, "Publish")
        for number in range(10)
    }
    other = ClientError({"Error": {"Code": "OfSomethingElse", "Message": ""}}, "Publish")
    tried: dict[str, Exception | None] = {**answers, "other": other}

    bench.judge(0, **tried)

    assert bench.judge(30, **tried) == Verdicts(waits=frozenset(answers), set_aside=frozenset({"other"}))


def test_small_batches_are_judged_by_what_the_process_saw_before() -> None:
    bench = Bench()
    for number in range(5):
        verdicts = bench.judge(0, **alike(1, RefusedError("x"), f"bad{number}-"))

    assert verdicts.waits == {"bad4-0"}


@pytest.mark.parametrize("aggregates", [5, 20, 100])
def test_healthy_aggregates_of_earlier_batches_speak_for_the_code(aggregates: int) -> None:
    bench = Bench()
    bench.judge(0, **healthy(aggregates))

    assert bench.judge(0, **alike(5, RefusedError("x"))).park == set(alike(5, RefusedError("x")))


def test_what_happened_long_ago_says_nothing_any_more() -> None:
    bench = Bench()
    bench.judge(0, **healthy(20))

    assert bench.judge(0, **alike(19, RefusedError("x"))).waits == set(alike(19, RefusedError("x")))


def test_the_aggregates_latest_outcome_counts() -> None:
    """So that a repaired place is noticed."""
    bench = Bench()
    bench.judge(0, **alike(19, RefusedError("x")))

    verdicts = bench.judge(60, **(alike(19, RefusedError("x")) | dict.fromkeys(["bad0", "bad1", "bad2"])))

    assert verdicts.park == set(alike(19, RefusedError("x"))) - {"bad0", "bad1", "bad2"}


def test_an_outage_of_some_hides_no_fault_that_the_others_share() -> None:
    bench = Bench()
    tried = alike(5, RefusedError("x")) | alike(50, DENIED, "denied")

    assert bench.judge(0, **tried) == Verdicts(waits=frozenset(tried))


def test_nothing_is_set_aside_while_the_ledger_is_out_of_reach() -> None:
    bench = Bench()
    bench.judge(0, odd=KeyError("x"))
    bench.failures.faults = [DENIED]

    assert bench.judge(31, odd=KeyError("x")).waits == {"odd"}
    assert bench.judge(32, odd=KeyError("x")).set_aside == {"odd"}


def test_a_batch_without_failures_asks_nobody() -> None:
    bench = Bench()
    bench.failures.faults = [DENIED]
    tried: dict[str, Tried] = dict.fromkeys(healthy(3))

    assert bench.patience.judge(tried) == Verdicts()
    assert bench.failures.faults == [DENIED]
