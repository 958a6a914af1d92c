"""One reading of the template for all cases."""

import pytest

from devstack.simulator.graph import Blueprint


@pytest.fixture(scope="session")
def blueprint() -> Blueprint:
    return Blueprint.load()
