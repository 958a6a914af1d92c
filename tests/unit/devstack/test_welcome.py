"""What `make run` prints to be pasted."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from devstack.__main__ import _welcome
from devstack.stack import LocalStack


@pytest.mark.parametrize("outputs", [{"EventsTableName": "local-EventsTable-D34077C47D866"}, {}])
def test_commands_fit_80_columns_and_name_all_that_clients_ask_for(outputs: dict[str, str]) -> None:
    stack = SimpleNamespace(
        url="http://127.0.0.1:18080",
        endpoint_url="http://127.0.0.1:54566",
        receiver_url="http://127.0.0.1:42591",
        has_receiver=True,
        resumed=None,
        run_folder=Path(".devstack/run-20261126-080937"),
        outputs=outputs,
    )

    told = _welcome(cast(LocalStack, stack), 1.4, None)

    assert max(map(len, told.splitlines())) <= 80
    # With the console's line before it, one screen.
    assert len(told.splitlines()) < 40
    # boto3 and the first version of the AWS CLI know only the second name of the Region.
    for name in ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "TABLE"):
        assert f" {name}=" in told
