"""The template, parsed once."""

import pytest

from tests.infrastructure import expansion
from tests.infrastructure.expansion import Node


@pytest.fixture(scope="session")
def template() -> Node:
    """As written."""
    return expansion.raw()


@pytest.fixture(scope="session")
def expanded() -> Node:
    """As CloudFormation gets it, with what the defaults of EventsStream's parameters choose."""
    template = expansion.expanded()
    return {**template, "Resources": expansion.looked_up(template["Resources"], template)}
