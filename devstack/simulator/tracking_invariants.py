"""What must be true of applications: in the account domain, in the archive, and where they wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from devstack.simulator.evidence import Evidence, digest
from devstack.simulator.findings import Finding, Harm
from devstack.simulator.places import event_of
from headwater import bootstrap
from headwater.applications.parking import CONSUMER


def given_up_by_the_pipe(evidence: Evidence) -> dict[str, str]:
    """The keys of the actions that were parked after all retries, each with AWS's condition."""
    return {
        event_of(raw)[0]: records.reason
        for records in evidence.parked_records
        # The target parks without the Pipe's ARN, which it is not told.
        if records.consumer == CONSUMER and records.mapping != CONSUMER
        for raw in records.raw
    }


def histories_are_the_actions(evidence: Evidence) -> Iterator[Finding]:
    """A history holds its application's actions, each once, in order, and nothing else; the status is the last's."""
    untellable = evidence.world.applicants.untellable
    actions: dict[str, list[dict[str, Any]]] = {}
    owners: dict[str, str] = {}
    for item in evidence.items(bootstrap.settings().applications_table):
        if (item["pk"], item["sk"]) in evidence.odd.rows:
            continue
        if item["sk"] == "#APPLICATION":
            owners[item["application_id"]] = item["account_id"]
        elif item["action_id"] not in untellable:
            actions.setdefault(item["application_id"], []).append(item)
    tracked = {item["application_id"]: item for item in evidence.items(bootstrap.receiver_settings().tracking_table)}
    given_up = given_up_by_the_pipe(evidence)
    # What the inbox does not take is parked by the target, as what cannot be told.
    refused = evidence.refusals.applications & {
        str(action.get("action_id"))
        for records in evidence.parked_records
        if records.consumer == CONSUMER
        for action in records.parsed
        if action
    }
    held = {message.get("action_id") for message in evidence.messages("ApplicationInboxDeadLetterQueue")}
    for application_id, due in actions.items():
        due.sort(key=lambda action: (action["occurred_at"], int(action["action_id"].rpartition("-")[2])))
        row = tracked.pop(application_id, {"history": []})
        seen = Counter(step["action_id"] for step in row["history"])
        for action in due:
            if action["action_id"] in seen:
                continue
            if action["action_id"] in held:
                yield Finding(Harm.HELD, application_id, f"{action['action_id']} waits in the inbox's dead letters")
            elif f"{action['pk']}{action['sk']}" in given_up or action["action_id"] in refused:
                yield Finding(Harm.PARKED, application_id, f"{action['action_id']} was given up and parked")
            else:
                yield Finding(Harm.LOST, application_id, f"{action['action_id']} was not tracked, and waits nowhere")
        for action_id, count in seen.items():
            if count > 1:
                yield Finding(Harm.DOUBLED, application_id, f"{action_id} is {count} times in the history")
        expected = [action for action in due if action["action_id"] in seen]
        if [step["action_id"] for step in row["history"]] != [action["action_id"] for action in expected]:
            yield Finding(Harm.ORDER, application_id, "its history is not in the order of its actions")
        if not expected:
            continue
        told = [{name: action[name] for name in ("status", "note", "occurred_at")} for action in expected]
        shown = [{name: step[name] for name in ("status", "note", "occurred_at")} for step in row["history"]]
        if shown != told or row["status"] != expected[-1]["status"] or row["account_id"] != owners[application_id]:
            yield Finding(Harm.WRONG, application_id, f"it is {row['status']}, after {expected[-1]['status']}")
    for application_id in tracked:
        if application_id in evidence.odd.applications:
            continue
        yield Finding(Harm.WRONG, application_id, "it is tracked, and nobody applied")


def applications_are_archived(evidence: Evidence) -> Iterator[Finding]:
    """Every action is in the archive, once, as it is in the table."""
    archived = Counter(
        digest(record.new_image)
        for record in evidence.archive("applications")
        if record.keys["sk"]["S"].startswith("#ACTION#")
    )
    waiting = {key for key, _ in evidence.parked("ArchiverFunction")}
    for item in evidence.world.cloud.items(bootstrap.settings().applications_table):
        if not item["sk"]["S"].startswith("#ACTION#") or f"{item['pk']['S']}{item['sk']['S']}" in waiting:
            continue
        if archived[digest(item)] != 1:
            found = f"{item['sk']['S']} is {archived[digest(item)]} times in the archive"
            yield Finding(Harm.LOST, item["pk"]["S"], found)


def what_cannot_be_told_is_parked(evidence: Evidence) -> Iterator[Finding]:
    """An action with an unknown status, or without its application, waits with its reason; nothing else does."""
    untellable = evidence.world.applicants.untellable
    given_up = given_up_by_the_pipe(evidence)
    parked: dict[str, str] = {}
    for records in evidence.parked_records:
        if records.mapping == CONSUMER and records.aggregate_id not in evidence.odd.aggregates:
            parked |= {action["action_id"]: str(records.error) for action in records.parsed}
    for item in evidence.items(bootstrap.settings().applications_table):
        action_id = item.get("action_id")
        if (item["pk"], item["sk"]) in evidence.odd.rows or action_id not in untellable:
            continue
        if parked.get(action_id):
            yield Finding(Harm.PARKED, item["application_id"], f"{action_id}: {parked[action_id]}")
        elif f"{item['pk']}{item['sk']}" in given_up:
            yield Finding(Harm.PARKED, item["application_id"], f"{action_id} was given up and parked")
        else:
            yield Finding(Harm.LOST, item["application_id"], f"{action_id} cannot be told, and waits nowhere")
    for action_id in parked.keys() - untellable - evidence.refusals.applications:
        yield Finding(Harm.WRONG, "", f"{action_id} was parked, and could have been told")
