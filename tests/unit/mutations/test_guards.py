"""Every mutation still finds its guard, and what it makes of the module still compiles."""

import importlib.util
from pathlib import Path

import pytest

from tests.mutations.guards import MUTATIONS, Mutation
from tests.mutations.importing import MutationError, mutated

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_guard_stands_once_and_the_module_compiles_without_it(mutation: Mutation) -> None:
    spec = importlib.util.find_spec(mutation.module)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")

    without = mutated(mutation, source)

    assert without != source
    compile(without, spec.origin, "exec")
    assert all((ROOT / tests).exists() for tests in mutation.tests)


def test_names_are_unique() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


def test_a_guard_that_has_moved_is_an_error() -> None:
    with pytest.raises(MutationError, match="0 times"):
        mutated(MUTATIONS[0], "nothing of it\n")
