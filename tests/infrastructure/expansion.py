"""The templates as written and as CloudFormation gets them.

The expanded form is made in-process by the library that AWS's own transform runs, so that the rules hold of what is
deployed, and a test needs neither SAM CLI nor a network. `python -m tests.infrastructure.expansion FILE` prints it as
JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from operations.intrinsics import Intrinsics

type Node = dict[str, Any]

PROJECT: Final = Path(__file__).resolve().parent.parent.parent
TEMPLATE: Final = PROJECT / "template.yaml"
RECEIVER: Final = PROJECT / "receiver.yaml"
#: The main template as the last version had it.
RELEASED: Final = PROJECT / "tests" / "infrastructure" / "released" / "0.1.0" / "template.yaml"


def raw(path: Path = TEMPLATE) -> Node:
    """The template as written; short intrinsics in their long form."""
    template: Node = yaml_parse(path.read_text(encoding="utf-8"))
    return template


def expanded(path: Path = TEMPLATE) -> Node:
    """The template after SAM's transform."""
    template = raw(path)
    # The transform takes uploaded code, and uploaded definitions, only.
    template["Globals"]["Function"]["CodeUri"] = "s3://artefacts/code.zip"
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            properties["ContentUri"] = "s3://artefacts/layer.zip"
        elif resource["Type"] == "AWS::Serverless::StateMachine":
            # Written out, so that the definition is linted with what is substituted in it.
            properties["Definition"] = json.loads((path.parent / properties.pop("DefinitionUri")).read_text("utf-8"))
    session = boto3.Session(region_name="eu-central-1")
    # No managed policies: no function may need one, and a template that does fails here.
    translator = Translator({}, Parser(), boto_session=session)
    result: Node = translator.translate(template, {"SenderAddress": "no-reply@example.com"})
    return result


def looked_up(node: Any, template: Node) -> Any:
    """The node with what the defaults of the parameters of EventsStream choose: values of mappings, and sources."""
    match node:
        case {"Fn::FindInMap": _}:
            defaults = {name: str(each.get("Default", "")) for name, each in template["Parameters"].items()}
            return Intrinsics.over(defaults, template).value(node)
        case {"Fn::If": ["HasEnhancedFanOut", _, without]}:
            return without
        case dict():
            return {key: looked_up(value, template) for key, value in node.items()}
        case list():
            return [looked_up(value, template) for value in node]
    return node


if __name__ == "__main__":
    json.dump(expanded(Path(sys.argv[1])), sys.stdout, indent=2)
