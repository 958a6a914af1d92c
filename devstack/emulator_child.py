"""The emulator's own process: runs ministack and ends when its parent does.

The parent holds the other end of standard input and never writes to it. Its end, even by SIGKILL, closes the pipe; the
end of file is the signal. This works alike on Linux and macOS, unlike prctl.
"""

from __future__ import annotations

import copy
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, Final

_STREAM_RECORDS: Final = "devstack_stream_records"


def _end_with_the_parent() -> None:
    while os.read(0, 1024):
        pass
    # The parent did not stop in order, so that nobody could say how far the mappings had come: nothing is saved.
    os._exit(0)


def _keep_table_streams() -> None:
    """Have ministack save and load the records of table streams beside the tables.

    It keeps Kinesis records, but forgets these, so that a change that a mapping had not settled would be lost.
    """
    from ministack.services import dynamodb

    get_state, load = dynamodb.get_state, dynamodb.load_persisted_state
    records = dynamodb._stream_records

    def get_state_with_streams() -> dict[str, Any]:
        return {**get_state(), _STREAM_RECORDS: copy.deepcopy(records)}

    def load_with_streams(state: Mapping[str, Any]) -> None:
        load(state)
        records.update(state.get(_STREAM_RECORDS) or {})

    dynamodb.get_state = get_state_with_streams
    dynamodb.load_persisted_state = load_with_streams


def main() -> None:
    """Serve until SIGTERM or until the parent is gone."""
    threading.Thread(target=_end_with_the_parent, name="parent-watch", daemon=True).start()
    sys.argv = ["ministack"]
    if os.environ.get("PERSIST_STATE") == "1":
        _keep_table_streams()
    from ministack.app import main as serve

    serve()


if __name__ == "__main__":
    main()
