"""The rehearsal of a deployment: whatever command it is given runs against an emulator of its own."""

import sys

import pytest

from devstack.deploy import rehearse
from devstack.errors import DevstackError

SAM = """
import os, sys, urllib.request
endpoint = os.environ["AWS_ENDPOINT_URL"]
assert sys.argv[-1] == f"AwsEndpointUrl={endpoint}", sys.argv
assert os.environ["AWS_CONFIG_FILE"] == os.devnull and "AWS_PROFILE" not in os.environ
urllib.request.urlopen(f"{endpoint}/_ministack/health")
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize("code", [0, 3])
def test_the_command_meets_an_emulator_and_no_account(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    assert rehearse([sys.executable, "-c", SAM, str(code), "--parameter-overrides"]) == code


def test_a_command_that_is_not_there_is_one_line() -> None:
    with pytest.raises(DevstackError, match="no-such-sam cannot be run"):
        rehearse(["no-such-sam"])
