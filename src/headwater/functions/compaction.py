"""Compacts closed days: the steps of the state machine in statemachines/compaction.asl.json, named in ``step``."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from headwater import bootstrap
from headwater.archive import curated
from headwater.archive.compaction import Counts, Day
from headwater.archive.inventory import described
from headwater.archive.objects import GIVEN_UP
from headwater.functions.entry import logger, report
from headwater.incidents import LoggedIncidents

#: Days of one execution: Step Functions keeps 25,000 events of it, and a day makes some twenty.
MOST_DAYS = 500
#: Of a day's reason, and of a month's, as JSON: all of an execution's days stand in one state, of 256 KiB at most.
_REASON_BYTES = 250
#: Reasons that the error names whole: a cause has 32,768 characters at most. Of the others it names the days.
_MOST_REASONS = 20


class DaysLeftError(Exception):
    """Days were not compacted; they stay as they were, and are due again next time."""


compaction = bootstrap.compaction()
given_up = bootstrap.given_up_batches()
incidents = LoggedIncidents("compaction")


def find(event: Mapping[str, Any]) -> dict[str, Any]:
    """The days to compact; ``input`` is the execution's.

    Its ``since`` (YYYY-MM-DD) or ``look_back_days`` leaves earlier days as they are; ``again`` takes those, too, that
    are compacted and unchanged.
    """
    given = dict(event["input"])
    since, again = given.pop("since", None), given.pop("again", False)
    look_back = given.pop("look_back_days", None)
    if given or not isinstance(again, bool) or (since is not None and look_back is not None):
        raise ValueError(
            'the input is {"since": "YYYY-MM-DD"} or {"look_back_days": N}, with "again": true for all of those days; '
            f"this one is {event['input']}"
        )
    first = compaction.days_ago(int(look_back)) if look_back is not None else date.fromisoformat(since or "2025-01-01")
    found = [compaction.find(source, first.isoformat(), again=again) for source in curated.SOURCES]
    due = [day for each in found for day in each.due]
    if foreign := [each for some in found for each in some.foreign]:
        incidents.report(
            "ForeignObjects",
            "objects that are not the archive's lie in its bucket; they were passed over, and Athena may fail at them",
            objects=str(len(foreign)),
            named=described(foreign),
        )
    if count := sum(1 for _ in given_up.listed(GIVEN_UP)):
        incidents.report(
            "UnarchivedBatches", "batches that the archiver gave up wait to be redriven", batches=str(count)
        )
    left_out = [_encodable(reason) for each in found for reason in each.left_out]
    for reason in left_out:
        logger.error(f"a month was not compacted: {reason}")
    return {
        "days": [{"source": day.source, "dt": day.dt, "large": day.is_large} for day in due[:MOST_DAYS]],
        "left_for_next_time": len(due[MOST_DAYS:]),
        "left_out": [*map(_shortened, left_out)],
    }


def compact(event: Mapping[str, Any]) -> dict[str, Any]:
    """A day, in this function."""
    started = time.perf_counter()
    published = compaction.compact(compaction.day(event["source"], event["dt"]))
    report("compaction", "s3", started, RecordsSucceeded=published.records, RecordsFailed=0)
    return {"records": published.records}


def unload(event: Mapping[str, Any]) -> dict[str, Any]:
    """What Athena is to do for a large day, and where; ``run`` is the execution's name.

    Reads the day through before: Athena is not asked about one that is damaged.
    """
    day = compaction.begin(event["source"], event["dt"], event["run"])
    location = f"s3://{bootstrap.settings().archive_bucket}/{curated.run_prefix(day.source, day.dt, event['run'])}"
    return {
        "digest": day.digest,
        "lines": compaction.lines(day),
        "sql": curated.unload_sql(day.source, day.dt, location),
        "count_sql": curated.count_sql(day.source, day.dt),
    }


def place(event: Mapping[str, Any]) -> dict[str, Any]:
    """What Athena wrote becomes the day's objects, which nobody reads yet."""
    return {"objects": compaction.place(_unchanged(event), event["run"])}


def publish(event: Mapping[str, Any]) -> dict[str, Any]:
    """Publishes what was placed, if it holds what raw holds; ``counts`` is the row of `count_sql`."""
    started = time.perf_counter()
    lines, changes, placed = (int(value["VarCharValue"]) for value in event["counts"])
    published = compaction.publish(
        _unchanged(event),
        event["run"],
        event["objects"],
        event["lines"],
        Counts(lines=lines, changes=changes, placed=placed),
    )
    report("compaction", "s3", started, RecordsSucceeded=published.records, RecordsFailed=0)
    return {"records": published.records}


def leave(event: Mapping[str, Any]) -> dict[str, Any]:
    """Logs why a day could not be compacted, whole, and gives what of it goes on to `conclude`."""
    # A state that ran out of time has no cause, or an empty one.
    reason = _encodable(_reason(event["error"].get("Cause") or event["error"]["Error"]))
    logger.error(f"{event['source']} of {event['dt']} was not compacted: {reason}")
    return {"source": event["source"], "dt": event["dt"], "reason": _shortened(reason)}


def conclude(event: Mapping[str, Any]) -> dict[str, Any]:
    """How many days were compacted.

    Raises
    ------
    DaysLeftError
        Names those that were not, and why; or there are more days than one execution takes.
    """
    days, more, left_out = event["days"], event["left_for_next_time"], event["left_out"]
    failed = [day for day in days if day["outcome"] == "failed"]
    for day in failed:
        compaction.release(day["source"], day["dt"], event["run"])
    if failed or left_out:
        reasons = [*left_out, *(f"{_named(day)}: {day['reason']}" for day in failed)]
        others = [_named(day) for day in failed[max(_MOST_REASONS - len(left_out), 0) :]]
        raise DaysLeftError(
            f"{len(failed)} of {len(days)} day(s) and {len(left_out)} month(s) were not compacted. "
            + "; ".join(reasons[:_MOST_REASONS])
            + (f"; and, for reasons that the log has: {', '.join(others)}" if others else "")
        )
    if more:
        raise DaysLeftError(f"{len(days)} day(s) were compacted, and {more} more are due: start it again")
    return {"days": len(days)}


def _named(day: Mapping[str, Any]) -> str:
    return f"{day['source']} of {day['dt']}"


def _reason(cause: str) -> str:
    """What went wrong, out of the JSON that Lambda gives of an error, or Athena of a query; else the text itself."""
    try:
        told = json.loads(cause)
        return str(told["errorMessage"] if "errorMessage" in told else told["Status"]["StateChangeReason"])
    except (ValueError, TypeError, KeyError):
        return cause


def _encodable(reason: str) -> str:
    """The text without what UTF-8 cannot hold: neither a log nor Lambda's answer takes that."""
    return reason.encode(errors="replace").decode()


def _shortened(reason: str) -> str:
    """As much of it as has room."""
    size = 0
    for position, char in enumerate(reason):
        size += len(json.dumps(char, ensure_ascii=False).encode()) - 2
        if size > _REASON_BYTES:
            return f"{reason[:position]} …"
    return reason


def _unchanged(event: Mapping[str, Any]) -> Day:
    return compaction.unchanged(event["source"], event["dt"], event["digest"])


STEPS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    step.__name__: step for step in (find, compact, unload, place, publish, leave, conclude)
}


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Runs one step; an error's name is what the state machine goes by."""
    if event.get("step") not in STEPS:
        raise ValueError(f"step is one of {', '.join(STEPS)}, not {event.get('step')!r}")
    return STEPS[event["step"]](event)
