"""What the simulator must know of a feature, in one place: `FEATURES`.

Functions and mappings come from template.yaml by themselves. What cannot be read from there is what a feature owes: the
invariants by which its effects are judged. What the application declares is judged by its declaration: the rows of a
projection by the fold of the log, an effect by the ledger of what was done; a feature may add its own beside that. Any
other function without a feature here is refused by name, so that none is simulated without being judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from devstack.errors import DevstackError
from devstack.functions import shared_environment
from devstack.simulator import (
    compaction_invariants,
    consumer_invariants,
    invariants,
    odd_invariants,
    tracking_invariants,
)
from devstack.simulator.evidence import Evidence
from devstack.simulator.faults import PROMISED, FaultKind
from devstack.simulator.findings import Finding
from devstack.template import HostedParts
from headwater.application import function_of, load

type Invariant = Callable[[Evidence], Iterable[Finding]]


class UnjudgedFunctionError(DevstackError):
    """A function of the template has no invariant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One feature's registration.

    ``functions`` are the logical ids that it accounts for; ``faults`` the kinds that a run with it must have injected.
    """

    name: str
    invariants: Sequence[Invariant]
    functions: frozenset[str] = frozenset()
    faults: frozenset[FaultKind] = frozenset()


FEATURES: Final[Sequence[Feature]] = (
    Feature(
        name="event store",
        invariants=(invariants.versions_have_no_gap, invariants.commands_happen_once),
        faults=PROMISED,
    ),
    Feature(
        name="archive",
        functions=frozenset({"ArchiverFunction"}),
        invariants=(invariants.archive_is_the_log, compaction_invariants.compacted_days_are_the_raw),
    ),
    Feature(
        name="fan-out",
        functions=frozenset({"FanOutFunction"}),
        invariants=(invariants.order_is_kept, invariants.parked_is_poisoned),
    ),
    Feature(name="read models", invariants=(invariants.read_models_are_the_fold,)),
    Feature(
        name="badges",
        functions=frozenset({"BadgesFunction"}),
        invariants=(invariants.badges_are_earned_once,),
    ),
    Feature(
        name="export for dashboards",
        functions=frozenset({"BiExportFunction"}),
        invariants=(invariants.export_is_the_log,),
    ),
    Feature(name="effects", invariants=(consumer_invariants.each_effect_is_done,)),
    Feature(
        name="welcome e-mail",
        functions=frozenset({"WelcomeEmailFunction"}),
        invariants=(consumer_invariants.each_user_is_greeted_once,),
    ),
    Feature(
        name="change notices",
        functions=frozenset({"ChangeNoticeFunction"}),
        invariants=(consumer_invariants.each_change_is_told_once,),
    ),
    Feature(
        name="default resources",
        functions=frozenset({"DefaultResourcesFunction"}),
        invariants=(consumer_invariants.preferences_are_those_of_users,),
    ),
    Feature(name="pages", invariants=(invariants.whoever_looks_is_answered,)),
    Feature(name="ledger of effects", invariants=(invariants.leases_are_kept,)),
    Feature(
        name="account clean-up",
        functions=frozenset({"AccountCleanupFunction"}),
        invariants=(consumer_invariants.nothing_is_kept_of_the_deleted,),
    ),
    Feature(
        name="dead letters",
        functions=frozenset({"DeadLettersFunction", "RedriveFunction"}),
        invariants=(
            invariants.pointers_are_resolved,
            invariants.poison_holds_up_nobody,
            invariants.nothing_waits_after_the_repair,
        ),
    ),
    Feature(
        name="odd records",
        invariants=(
            odd_invariants.odd_events_are_accounted_for,
            odd_invariants.changes_by_hand_are_told,
            odd_invariants.foreign_records_are_accounted_for,
            odd_invariants.foreign_messages_are_accounted_for,
            odd_invariants.odd_rows_are_accounted_for,
        ),
    ),
    Feature(
        name="tracking",
        functions=frozenset({"ApplicationEnrichmentFunction", "ApplicationTargetFunction", "TrackerFunction"}),
        invariants=(
            tracking_invariants.histories_are_the_actions,
            tracking_invariants.applications_are_archived,
            tracking_invariants.what_cannot_be_told_is_parked,
        ),
    ),
)


def judged(parts: HostedParts, features: Sequence[Feature] = FEATURES) -> None:
    """Checks that each function behind a mapping has a feature.

    Raises
    ------
    UnjudgedFunctionError
        Names the function that has none.
    """
    application = load(shared_environment(parts.functions.values())["APPLICATION"])
    known = {function for feature in features for function in feature.functions}
    known |= {function_of(name) for name in (*application.projections, *application.effects)}
    for function in (function for mapping in parts.mappings for function in mapping.functions):
        if function not in known:
            raise UnjudgedFunctionError(
                f"nothing judges {function} in the simulator: add its feature to devstack/simulator/features.py"
            )
