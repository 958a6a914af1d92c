"""The demo's applications: twenty people apply, staff decide, some withdraw, and pages follow."""

import statistics
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from devstack.demo.traffic import Api, Request, RequestRefusedError
from devstack.errors import DevstackError

APPLICATIONS: Final = 20
_ACCOUNTS: Final = 6
_CLIENTS: Final = 4
_KINDS: Final = (("licence", "To fish in the upper lake"), ("tournament-entry", "The spring open"))
#: In turn: what staff decide, or that the applicant withdraws.
_ENDINGS: Final = (
    ("Approved", "Welcome."),
    ("Rejected", "The lake is closed this year."),
    ("Withdrawn", "I have changed my mind."),
    ("Approved", ""),
)
#: What a status change may take to the tracking page.
P99_SECONDS: Final = 3.0
_PATIENCE_SECONDS: Final = 60.0
_LOOK_EVERY_SECONDS: Final = 0.05
_ENRICHMENT: Final = "ApplicationEnrichmentFunction"


@dataclass(slots=True)
class Carried:
    """One application on its way; ``lags`` are the seconds from each status to its being on the tracking page."""

    application_id: str
    account_id: str
    ending: str
    lags: dict[str, float] = field(default_factory=dict)

    def page_request(self) -> Request:
        return Request("GET", f"/accounts/{self.account_id}/applications/{self.application_id}")


class PipedRecords:
    """What the Pipe handed to its enrichment, from finished invocations; safe to call from any thread."""

    def __init__(self) -> None:
        self._batches: list[list[Any]] = []
        self._lock = threading.Lock()

    def record(self, function: str, event: Any) -> None:
        if function == _ENRICHMENT:
            with self._lock:
                self._batches.append(event)

    @property
    def batches(self) -> Sequence[Sequence[Any]]:
        with self._lock:
            return list(self._batches)

    @property
    def enriched(self) -> set[str]:
        """The ids of the stream's records that an invocation was paid for."""
        return {record["eventID"] for batch in self.batches for record in batch}


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of it. Seconds, and numbers of the stream's records."""

    endings: Mapping[str, int]
    changes: int
    p50: float
    p99: float
    longest: float
    records: int
    filtered: int
    enriched: int
    batches: int


def carry(api: Api, pages: Api) -> list[Carried]:
    """Applies, decides and withdraws over HTTP, and looks at the tracking pages until each status is there.

    Raises
    ------
    DevstackError
        A status did not come.
    """
    with ThreadPoolExecutor(_CLIENTS, thread_name_prefix="applicant") as clients:
        return list(clients.map(lambda number: _carried(api, pages, number), range(APPLICATIONS)))


def _carried(api: Api, pages: Api, number: int) -> Carried:
    kind, title = _KINDS[number % len(_KINDS)]
    ending, note = _ENDINGS[number % len(_ENDINGS)]
    account = f"account-{number % _ACCOUNTS + 1}"
    body = {"account_id": account, "kind": kind, "title": title}
    application_id = api.send(Request("POST", "/applications", body), "")["application_id"]
    carried = Carried(application_id, account, ending)
    _follow(pages, carried, "Preparing")
    if ending == "Withdrawn":
        request = Request("POST", f"/applications/{application_id}/withdraw", {"account_id": account, "note": note})
    else:
        request = Request("POST", f"/applications/{application_id}/decision", {"status": ending, "note": note})
    _patiently(lambda: api.send(request, ""), application_id)
    _follow(pages, carried, ending)
    return carried


def _follow(pages: Api, carried: Carried, status: str) -> None:
    """Looks at the page until it shows the status, and notes when each status of it was first seen."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while status not in carried.lags:
        if time.monotonic() > until:
            raise DevstackError(f"application {carried.application_id} was never shown as {status}")
        time.sleep(_LOOK_EVERY_SECONDS)
        try:
            page = pages.send(carried.page_request(), "")
        except RequestRefusedError:
            continue
        now = time.time()
        for step in page["history"]:
            carried.lags.setdefault(step["status"], now - datetime.fromisoformat(step["occurred_at"]).timestamp())


def _patiently(send: Any, application_id: str) -> None:
    """A page may say Preparing before the process has begun to wait for a decision."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            send()
        except RequestRefusedError:
            if time.monotonic() > until:
                raise DevstackError(f"application {application_id} was never ready for a decision") from None
            time.sleep(_LOOK_EVERY_SECONDS)
        else:
            return


def tally(carried: Sequence[Carried], changes: Sequence[Mapping[str, Any]], piped: PipedRecords) -> Tally:
    """``changes`` are the archive's lines of the applications' stream."""
    lags = sorted(lag for each in carried for lag in each.lags.values())
    records, enriched = {line["stream_event_id"] for line in changes}, piped.enriched
    return Tally(
        endings=Counter(each.ending for each in carried),
        changes=len(lags),
        p50=statistics.median(lags),
        p99=lags[int(0.99 * (len(lags) - 1))],
        longest=lags[-1],
        records=len(records),
        filtered=len(records - enriched),
        enriched=len(enriched),
        batches=len(piped.batches),
    )


def differences(carried: Sequence[Carried], changes: Sequence[Mapping[str, Any]], piped: PipedRecords) -> list[str]:
    """What is not as it must be, in words: three actions an application, all enriched, nothing else, all archived."""
    enriched = piped.enriched
    actions = {line["stream_event_id"] for line in changes if line.get("type")}
    found = []
    if len(actions) != 3 * len(carried):
        found.append(f"the archive has {len(actions)} actions of {len(carried)} applications, not three of each")
    if enriched != actions:
        found.append(f"the Pipe enriched {len(enriched)} records, and the actions are {len(actions)}")
    if (slowest := tally(carried, changes, piped).p99) >= P99_SECONDS:
        found.append(f"tracking pages followed after {slowest:.2f} s (p99), and must within {P99_SECONDS:.0f}")
    return found
