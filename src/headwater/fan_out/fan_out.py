"""From the events table's stream to every destination."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from typing import Any

from headwater.change_stream import cloud_events, dynamodb
from headwater.change_stream.batch import BatchOutcome, Failure
from headwater.change_stream.cloud_events import OutgoingEvent
from headwater.change_stream.records import ChangeRecord, MalformedRecordError, Operation
from headwater.dead_letters.parking import PERMANENT, Parking
from headwater.fan_out.publisher import Publisher
from headwater.incidents import Incidents


class FanOut:
    """Publishes each new event to all destinations, which it serves in parallel.

    Only an INSERT is a new event. An expiry is dropped without a word; any other change of an event is an incident.
    A record fails if one of the destinations did not take it; the others may have it, and get it again with the retry.
    A record that is no event is parked, and later ones of its aggregate go on: whoever needs their order meets the gap
    at its own gate. One that cannot be parked fails, and holds back the later ones of its aggregate.

    ``executor`` runs the publishers; by default one thread each.
    """

    def __init__(
        self,
        publishers: Sequence[Publisher],
        incidents: Incidents,
        parking: Parking,
        *,
        executor: Executor | None = None,
    ) -> None:
        self._publishers = publishers
        self._incidents = incidents
        self._parking = parking
        self._executor = executor or ThreadPoolExecutor(len(publishers), thread_name_prefix="fan-out")

    def fan_out(self, records: Sequence[Mapping[str, Any]]) -> BatchOutcome:
        """Handles one batch of a DynamoDB stream, as Lambda delivers it.

        Raises
        ------
        MalformedRecordError
            A record has no sequence number, so that no answer could name it; nothing was published.
        """
        return self._publish(records, self._park)

    def redrive(self, records: Sequence[Mapping[str, Any]]) -> BatchOutcome:
        """Publishes parked records again. One that still is no event fails, and is not parked a second time."""

        def refuse(_: Mapping[str, Any], error: Exception) -> None:
            raise error

        return self._publish(records, refuse)

    def _publish(
        self, records: Sequence[Mapping[str, Any]], give_up: Callable[[Mapping[str, Any], Exception], None]
    ) -> BatchOutcome:
        sequence_numbers: list[str] = []
        events: list[OutgoingEvent] = []
        errors: dict[str, Exception] = {}
        stopped: dict[str, Exception] = {}
        parked = 0
        for raw in records:
            sequence_number = dynamodb.sequence_number(raw)
            try:
                event = self._new_event(raw)
            except PERMANENT as error:
                try:
                    give_up(raw, error)
                    parked += 1
                except Exception as failure:  # noqa: BLE001  # whatever parking meets, other aggregates flow
                    errors[sequence_number] = failure
                    stopped.setdefault(dynamodb.aggregate_id(raw), failure)
            else:
                if event and event.aggregate_id in stopped:
                    errors[sequence_number] = stopped[event.aggregate_id]
                elif event:
                    sequence_numbers.append(sequence_number)
                    events.append(event)
        running = [self._executor.submit(publisher.publish, events) for publisher in self._publishers]
        # To the end of all, also when one raises: a thread that outlived this call would publish into the next one.
        wait(running)
        for publishing in running:
            for position, refusal in publishing.result().items():
                errors.setdefault(sequence_numbers[position], refusal)
        return BatchOutcome(len(records), tuple(Failure(number, error) for number, error in errors.items()), parked)

    def _park(self, raw: Mapping[str, Any], error: Exception) -> None:
        self._parking.park(dynamodb.aggregate_id(raw), _versions(raw), [raw], error)

    def _new_event(self, raw: Mapping[str, Any]) -> OutgoingEvent | None:
        record = dynamodb.parse(raw)
        match record.operation:
            case Operation.INSERT:
                if record.new_image is None:
                    raise MalformedRecordError(
                        "an INSERT without an image: the stream's view type must include new images"
                    )
                return cloud_events.encode(record.new_image)
            case Operation.MODIFY | Operation.REMOVE:
                self._report(record)
        return None

    def _report(self, record: ChangeRecord) -> None:
        self._incidents.report(
            "IllegalChanges",
            "an event was changed, which must never happen; its images are in the archive",
            operation=record.operation,
            stream_event_id=record.stream_event_id,
            sequence_number=record.sequence_number,
        )


def _versions(raw: Mapping[str, Any]) -> list[int]:
    """The record's version where it can be told."""
    try:
        return [int(raw["dynamodb"]["Keys"]["version"]["N"])]
    except (KeyError, TypeError, ValueError):
        return []
