"""Writes boto3_floor.json: what the oldest boto3 that we allow in Lambda's runtime knows of the services we use.

The runtime's boto3 is older than the one that we develop with, and AWS updates it when it likes. To raise the floor::

    python -m pip install --target .cache/floor botocore==1.40.4
    PYTHONPATH=.cache/floor python tests/infrastructure/record_boto3_floor.py
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import botocore
from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape

FLOOR: Final = "1.40.4"
FILE: Final = Path(__file__).with_name("boto3_floor.json")
SERVICES: Final = ("dynamodb", "dynamodbstreams", "kinesis", "lambda", "s3", "sesv2", "sns", "sqs", "stepfunctions")


def members(shape: Shape | None, seen: set[str]) -> Iterator[str]:
    """Names of all members in a shape, however deep."""
    if shape is None or shape.name in seen:
        return
    seen.add(shape.name)
    nested: Any = shape  # botocore's stubs do not tell its kinds of shape apart
    match shape.type_name:
        case "structure":
            for name, member in nested.members.items():
                yield name
                yield from members(member, seen)
        case "list":
            yield from members(nested.member, seen)
        case "map":
            yield from members(nested.value, seen)


def knowledge(service: str) -> dict[str, Any]:
    """A service's operations with their parameters, and the names of everything nested in those."""
    model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
    operations = {}
    nested: set[str] = set()
    for name in model.operation_names:
        shape = model.operation_model(name).input_shape
        top: Any = shape
        operations[xform_name(name)] = sorted(top.members) if shape is not None else []
        nested |= set(members(shape, set()))
    return {"operations": operations, "members": sorted(nested)}


def main() -> int:
    """Record the floor."""
    if botocore.__version__ != FLOOR:
        print(f"this is botocore {botocore.__version__}, not the floor {FLOOR}: see this file's head", file=sys.stderr)
        return 1
    record = {"botocore": FLOOR, "services": {service: knowledge(service) for service in SERVICES}}
    lines = json.dumps(record, sort_keys=True, separators=(",", ":")).replace('],"', '],\n"').replace('},"', '},\n"')
    FILE.write_text(lines + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
