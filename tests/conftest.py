"""What all tests share. Each test's network is what its folder allows: none for unit, loopback for the rest."""

import os
from functools import cache
from pathlib import Path

import botocore.session
import pytest
from hypothesis import HealthCheck, settings
from pytest_socket import disable_socket, enable_socket, socket_allow_hosts

TESTS = Path(__file__).parent
UNIT = TESTS / "unit"
#: What takes long comes first, so that no worker is left alone with it at the end.
ORDER = ("browser", "e2e", "simulation", "integration", "contract", "cases", "infrastructure", "unit")

# No test may find an account: not by a profile, not by an instance's role.
os.environ |= {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "POWERTOOLS_SERVICE_NAME": "headwater",
    "POWERTOOLS_METRICS_NAMESPACE": "Headwater",
}

# Each session reads botocore's models of the services anew: nine tenths of what a client costs. Tests build thousands.
botocore.session.create_loader = cache(botocore.session.create_loader)

# An example may take as long as the machine needs, and so may drawing it.
settings.register_profile("whatever the machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("whatever the machine")


@pytest.fixture(autouse=True)
def _network(request: pytest.FixtureRequest) -> None:
    if request.path.is_relative_to(UNIT):
        disable_socket(allow_unix_socket=True)
    else:
        enable_socket()
        socket_allow_hosts(["127.0.0.1", "localhost", "::1"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {folder: place for place, folder in enumerate(ORDER)}
    items.sort(key=lambda item: places.get(item.path.relative_to(TESTS).parts[0], -1))
