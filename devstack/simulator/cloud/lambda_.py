"""Lambda: functions that are invoked by name, and waited for.

Source: Invoke in the AWS Lambda API Reference.
"""

from __future__ import annotations

import io
from collections.abc import Callable

from devstack.simulator.cloud.client import Answer, Client, Parameters, Surroundings, operation
from operations.running import ACCOUNT_ID, REGION

#: Takes an event's JSON; gives the answer's, or the error object's with Lambda's word for it ("Unhandled").
type Invoked = Callable[[bytes], tuple[bytes, str | None]]


class Lambda(Client):
    """The client, and the functions of the account by name."""

    service = "lambda"

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self.functions: dict[str, Invoked] = {}

    @operation("Invoke", ("FunctionName", "Payload"))
    def invoke(self, params: Parameters) -> Answer:
        name = params["FunctionName"]
        if name not in self.functions:
            where = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}"
            raise self.error("Invoke", "ResourceNotFoundException", f"Function not found: {where}", status=404)
        payload, error = self.functions[name](params["Payload"])
        answer: Answer = {"StatusCode": 200, "Payload": io.BytesIO(payload)}
        return answer if error is None else {**answer, "FunctionError": error}
