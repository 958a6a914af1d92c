"""What a command printed."""

import json
from typing import Any

from click.testing import Result


def json_lines(shown: Result) -> list[dict[str, Any]]:
    """Its lines of JSON.

    The stack's functions run in this process, and their metrics go to the same stdout whenever they run.
    """
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    return [line for line in lines if "_aws" not in line]
