"""Stands in for the AWS CLI where documents use it: its arguments, as botocore's parameters, against one endpoint.

`aws dynamodb put-item --table-name T --item '{…}'` calls put_item(TableName="T", Item={…}). Options without a value are
true, those that begin with `--no-` false; ``--query`` and the like shape what the CLI prints, and are passed over.
"""

import json
import sys
from typing import Any

import boto3

_OF_THE_CLI = {"query", "max-items", "output"}


def main(words: list[str]) -> None:
    service, operation, *options = words
    parameters: dict[str, Any] = {}
    while options:
        name = options.pop(0).removeprefix("--")
        value: Any = True
        if options and not options[0].startswith("--"):
            text = options.pop(0)
            value = json.loads(text) if text[:1] in {"{", "["} or text.isdecimal() else text
        elif name.startswith("no-"):
            name, value = name.removeprefix("no-"), False
        if name not in _OF_THE_CLI:
            parameters["".join(part.capitalize() for part in name.split("-"))] = value
    answer = getattr(boto3.client(service), operation.replace("-", "_"))(**parameters)
    sys.stdout.write(json.dumps(answer, default=str))


if __name__ == "__main__":
    main(sys.argv[1:])
