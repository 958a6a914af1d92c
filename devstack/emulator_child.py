"""The emulator's own process: runs ministack and ends when its parent does.

The parent holds the other end of standard input. Its end, even by SIGKILL, closes the pipe; the end of file is the
signal. This works alike on Linux and macOS, unlike prctl. What the parent writes there is what to refuse.
"""

from __future__ import annotations

import copy
import gc
import json
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, Final

from devstack.refusals import Refusing

#: Set to 1, it says that a whole stack is to be deployed to this emulator.
REHEARSES: Final = "DEVSTACK_REHEARSES"
_STREAM_RECORDS: Final = "devstack_stream_records"


def _hear_the_parent(refusing: Refusing) -> None:
    for line in sys.stdin.buffer:
        refusing.hear(line)
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


def _know_stream_consumers() -> None:
    """Have ministack's CloudFormation make a consumer with enhanced fan-out, which its Kinesis does already.

    It would refuse the whole stack for the type.
    """
    from ministack.services import kinesis
    from ministack.services.cloudformation import provisioners

    def answer(response: tuple[int, Any, str | bytes]) -> dict[str, Any]:
        status, _, body = response
        told: dict[str, Any] = json.loads(body or "{}")
        if status != 200:
            raise ValueError(f"AWS::Kinesis::StreamConsumer: {told}")
        return told

    def create(_logical_id: str, properties: Mapping[str, Any], _stack: str) -> tuple[str, dict[str, Any]]:
        consumer = answer(kinesis._register_consumer(properties))["Consumer"]
        return consumer["ConsumerARN"], {**consumer, "StreamARN": properties["StreamARN"]}

    def delete(physical_id: str, _properties: Mapping[str, Any]) -> None:
        answer(kinesis._deregister_consumer({"ConsumerARN": physical_id}))

    provisioners._RESOURCE_HANDLERS["AWS::Kinesis::StreamConsumer"] = {"create": create, "delete": delete}


def main() -> None:
    """Serve until SIGTERM or until the parent is gone."""
    refusing = Refusing()
    threading.Thread(target=_hear_the_parent, args=(refusing,), name="parent-watch", daemon=True).start()
    if os.environ.get("PERSIST_STATE") == "1":
        _keep_table_streams()
    if os.environ.get(REHEARSES) == "1":
        _know_stream_consumers()
    import uvicorn
    from ministack import app

    refusing.app = app.app
    # The collector need not look again and again through what stays.
    gc.freeze()
    # Its own server parses HTTP in Python, a third of this process's work; the settings are those of its main().
    uvicorn.run(
        refusing,
        host=os.environ["BIND_HOST"],
        port=int(os.environ["GATEWAY_PORT"]),
        http="httptools",
        loop="asyncio",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
