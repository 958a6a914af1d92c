"""Imports one module with a piece of its source replaced; the file on disk stays as it is."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import cast

from tests.mutations.guards import Mutation


class MutationError(Exception):
    """The guard is not where the mutation says: the code has changed, and the mutation must follow."""


class _MutatedLoader(importlib.machinery.SourceFileLoader):
    mutation: Mutation

    def get_code(self, fullname: str) -> object:  # type: ignore[override]
        # Never from or into the byte-code cache: the source on disk is another one.
        path = self.get_filename(fullname)
        return self.source_to_code(mutated(self.mutation, Path(path).read_text(encoding="utf-8")).encode(), path)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, mutation: Mutation) -> None:
        self._mutation = mutation

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._mutation.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            raise MutationError(f"there is no module {fullname}")
        loader = _MutatedLoader(fullname, spec.origin)
        loader.mutation = self._mutation
        return importlib.util.spec_from_file_location(
            fullname, spec.origin, loader=cast("importlib.abc.Loader", loader)
        )


def mutated(mutation: Mutation, source: str) -> str:
    """The module's source without the guard.

    Raises
    ------
    MutationError
        The guard does not stand there exactly once.
    """
    if source.count(mutation.guard) != 1:
        raise MutationError(
            f"{mutation.name}: {mutation.module} holds the guard {source.count(mutation.guard)} times, not once:\n"
            f"{mutation.guard}"
        )
    return source.replace(mutation.guard, mutation.without)


def install(mutation: Mutation) -> None:
    """Has every import of the module from now on bring the mutated one."""
    if mutation.module in sys.modules:
        raise MutationError(f"{mutation.module} is imported already")
    sys.meta_path.insert(0, _Finder(mutation))
