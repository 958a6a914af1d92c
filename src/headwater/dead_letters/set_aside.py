"""What was set aside: redriven by itself, after growing pauses, until its queue parks it for a person.

An error that nobody foresaw may pass by itself: with a deployment, or with whatever it was that nobody foresaw.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from headwater.change_stream import sqs
from headwater.change_stream.batch import BatchOutcome
from headwater.change_stream.claim_checks import ClaimStore
from headwater.change_stream.postponement import Postponement, pause
from headwater.dead_letters import parked
from headwater.dead_letters.redrive import Redrive

#: After each failed redrive but the last, which the queue's maxReceiveCount counts: two days together. SQS hides no
#: message for more than 12 hours.
PAUSES: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180, 360, 710, 710, 710))


class SetAside:
    """Handles the messages of SetAsideQueue."""

    def __init__(self, redrive: Redrive, claims: ClaimStore, postponement: Postponement) -> None:
        self._redrive = redrive
        self._claims = claims
        self._postponement = postponement

    def consume(self, messages: Sequence[Mapping[str, Any]]) -> BatchOutcome:
        """Redrives one batch of runs, as Lambda delivers it, each on its own.

        Raises
        ------
        MalformedRecordError
            A message has no id, so that no answer could name it; nothing was done.
        """
        return sqs.each_on_its_own(messages, self._handle)

    def _handle(self, message: sqs.QueueMessage) -> None:
        try:
            run = parked.decode(message.body, self._claims)
            self._redrive.run(run.consumer, run.raw)
        except Exception:
            pause(self._postponement, message, PAUSES)
            raise
