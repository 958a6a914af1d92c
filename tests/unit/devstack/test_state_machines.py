"""State machines of a template run in the emulator, with the definition that their file holds."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from devstack.template import Template, TemplateError

MACHINE = {"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}


def load(folder: Path, properties: Mapping[str, object], definition: str | None = None) -> Template:
    if definition is not None:
        (folder / "machine.asl.json").write_text(definition)
    resources = {"Machine": {"Type": "AWS::Serverless::StateMachine", "Properties": properties}}
    (folder / "template.yaml").write_text(yaml.safe_dump({"Resources": resources}))
    return Template.load(folder / "template.yaml")


def test_a_state_machine_has_the_definition_of_its_file(tmp_path: Path) -> None:
    properties = {"DefinitionUri": "machine.asl.json", "DefinitionSubstitutions": {"A": "b"}, "Name": "process"}

    plane = load(tmp_path, properties, json.dumps(MACHINE)).data_plane()

    found = plane["Resources"]["Machine"]["Properties"]
    assert json.loads(found["DefinitionString"]) == MACHINE
    assert (found["DefinitionSubstitutions"], found["StateMachineName"]) == ({"A": "b"}, "process")


@pytest.mark.parametrize(
    ("properties", "definition", "complaint"),
    [
        ({"Definition": MACHINE}, None, "reads state machines from DefinitionUri"),
        ({"DefinitionUri": "machine.asl.json"}, None, "cannot be read"),
        ({"DefinitionUri": "machine.asl.json"}, "{", "is not JSON"),
    ],
)
def test_what_cannot_run_is_refused_by_name(
    tmp_path: Path, properties: Mapping[str, object], definition: str | None, complaint: str
) -> None:
    with pytest.raises(TemplateError, match=f"Machine: .*{complaint}"):
        load(tmp_path, properties, definition)


def test_one_that_needs_what_does_not_run_here_is_left_out(tmp_path: Path) -> None:
    """A function is devstack's own, and unknown to the emulator."""
    (tmp_path / "machine.asl.json").write_text(json.dumps(MACHINE))
    resources = {
        "Work": {"Type": "AWS::Serverless::Function", "Properties": {"Handler": "a.b"}},
        "Machine": {
            "Type": "AWS::Serverless::StateMachine",
            "Properties": {
                "DefinitionUri": "machine.asl.json",
                "DefinitionSubstitutions": {"Work": {"Fn::GetAtt": ["Work", "Arn"]}},
            },
        },
    }
    (tmp_path / "template.yaml").write_text(yaml.safe_dump({"Resources": resources}))

    template = Template.load(tmp_path / "template.yaml")

    assert "Machine" not in template.data_plane()["Resources"]
    assert "Machine" in {left_out.name for left_out in template.left_out}
