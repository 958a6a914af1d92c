"""A dead letter of fan_out that is discarded: each projection goes on without the version that will never arrive."""

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.change_stream import dynamodb
from headwater.change_stream.batch import BatchOutcome, Failure
from headwater.dead_letters.redrive import GivenUp
from headwater.projections.runner import ProjectionRunner


class PassingOver:
    """Gives up versions in all projections, each where it stands at them."""

    def __init__(self, projections: Mapping[str, ProjectionRunner]) -> None:
        self._projections = projections

    def discard(self, records: Sequence[Mapping[str, Any]]) -> tuple[list[GivenUp], BatchOutcome]:
        """What was given up anywhere, and the records that a projection cannot pass over yet."""
        given_up: dict[GivenUp, None] = {}
        failures: list[Failure] = []
        for raw in records:
            place = _place(raw)
            if place is None:
                continue
            for runner in self._projections.values():
                try:
                    if runner.pass_over(*place):
                        given_up[GivenUp(place[0], place[1], place[1])] = None
                except Exception as error:  # noqa: BLE001  # the other projections go on all the same
                    failures.append(Failure(str(place[1]), error))
        return list(given_up), BatchOutcome(len(records), failures)


def _place(raw: Mapping[str, Any]) -> tuple[str, int] | None:
    """The aggregate and the version of a record of the events table's stream; None if no projection can await it."""
    try:
        keys = dynamodb.parse(raw).keys
        return str(keys["aggregate_id"]["S"]), int(keys["version"]["N"])
    except (KeyError, TypeError, ValueError):
        return None
