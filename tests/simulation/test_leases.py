"""Whether it is seen that a lease is not kept."""

from typing import Any

from devstack.simulator.findings import Finding
from devstack.simulator.leases import LeaseWatch

PK = "effect#welcome_email#e1"


def claim(token: str, until: int) -> dict[str, Any]:
    return {"pk": {"S": PK}, "state": {"S": "claimed"}, "token": {"S": token}, "lease_until": {"N": str(until)}}


def watch(now: float) -> LeaseWatch:
    return LeaseWatch(lambda: now, tolerance=10)


def found(leases: LeaseWatch) -> list[Finding]:
    return list(leases.findings())


def test_a_claim_that_is_taken_over_while_its_lease_runs() -> None:
    leases = watch(100)
    leases.written(claim("a", 200))
    leases.written(claim("b", 300))

    assert len(found(leases)) == 1


def test_a_claim_that_is_called_unconfirmed_while_its_lease_runs() -> None:
    leases = watch(100)
    leases.written(claim("a", 200))
    leases.unconfirmed("welcome_email", "e1", "")

    assert len(found(leases)) == 1


def test_a_claim_past_its_lease_as_far_as_clocks_agree() -> None:
    leases = watch(195)
    leases.written(claim("a", 200))
    leases.unconfirmed("welcome_email", "e1", "")
    leases.written(claim("b", 300))

    assert found(leases) == []


def test_a_claim_of_its_own_that_is_written_twice_and_one_that_was_given_back_or_confirmed() -> None:
    leases = watch(100)
    for item in (claim("a", 200), claim("a", 210)):
        leases.written(item)
    leases.deleted({"pk": {"S": PK}})
    leases.written(claim("b", 220))
    leases.written({"pk": {"S": PK}, "state": {"S": "confirmed"}})
    leases.written(claim("c", 230))

    assert found(leases) == []
