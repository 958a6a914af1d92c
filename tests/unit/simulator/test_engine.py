"""Virtual time."""

import uuid

from devstack.simulator.engine import START, Engine


def test_actions_run_by_their_time_and_equal_times_in_order() -> None:
    engine, ran = Engine(1), []
    engine.after(2, lambda: ran.append(("late", engine.elapsed)))
    engine.after(1, lambda: ran.append(("first", engine.elapsed)))
    engine.after(1, lambda: ran.append(("second", engine.elapsed)))

    while engine.step():
        pass

    assert ran == [("first", 1), ("second", 1), ("late", 2)]
    assert engine.steps == 3


def test_time_that_an_action_spends_is_its_own() -> None:
    engine, seen = Engine(1), []
    engine.after(1, lambda: engine.spend(10))
    engine.after(2, lambda: seen.append(engine.now - START))

    engine.step()
    engine.step()

    assert seen == [2]


def test_what_is_due_overtakes_a_running_action_and_gives_its_time_back() -> None:
    engine, ran = Engine(1), []
    engine.after(1, lambda: ran.append(("due", engine.elapsed)))
    engine.after(5, lambda: ran.append(("not due", engine.elapsed)))

    def slow() -> None:
        engine.spend(3)
        assert engine.overtake(5)
        ran.append(("slow", engine.elapsed))

    engine.at(engine.now, slow)
    engine.step()

    assert ran == [("due", 1), ("slow", 3)]


def test_an_overtaking_action_is_not_overtaken_itself() -> None:
    engine = Engine(1)
    nested: list[bool] = []
    engine.after(0, lambda: nested.append(engine.overtake(1)))
    engine.after(0, lambda: nested.append(True))
    engine.spend(1)

    engine.overtake(1)

    assert nested == [False]


def test_the_hash_is_of_what_was_noted_and_when() -> None:
    def history(second: str, at: float = 1.0) -> str:
        engine = Engine(1)
        engine.note("first")
        engine.spend(at)
        engine.note(second)
        engine.detail("for readers only")
        return engine.trace_hash

    assert history("second") == history("second")
    assert history("second") != history("other")
    assert history("second") != history("second", at=2.0)


def test_identifiers_are_version_7_in_virtual_time_and_come_from_the_seed() -> None:
    first, same, other = Engine(1), Engine(1), Engine(2)
    identifier = first.uuid7()

    assert uuid.UUID(identifier).version == 7
    assert uuid.UUID(identifier).variant == uuid.RFC_4122
    assert int(identifier.replace("-", "")[:12], 16) == int(START * 1000)
    assert identifier == same.uuid7()
    assert identifier != other.uuid7()
