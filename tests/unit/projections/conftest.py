"""What a projection does with event types that nobody declared to it."""

import pytest

from tests.fakes.undeclared import undeclared_types

__all__ = ["undeclared_types"]


@pytest.fixture(autouse=True)
def _readable(undeclared_types: None) -> None:
    pass
