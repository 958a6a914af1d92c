"""Where each module's stack runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stacks import templates_in


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The templates, for this module's stack alone: a command that its tests run finds that stack and no other."""
    folder = templates_in(tmp_path_factory.mktemp("stack"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder
