"""An earlier version's template around today's code: what `make deploy-local FROM=` deploys first."""

import json
from pathlib import Path

import pytest

from devstack.deploy import as_built
from devstack.errors import DevstackError

TEMPLATE = """
Resources:
  Echo:
    Type: AWS::Serverless::Function
    Properties: {Handler: toy.handler, CodeUri: src/}
  Wheels:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: layer/}
  Process:
    Type: AWS::Serverless::StateMachine
    Properties: {DefinitionUri: process.asl.json}
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "released" / "template.yaml"
    path.parent.mkdir()
    path.write_text(TEMPLATE, encoding="utf-8")
    path.with_name("process.asl.json").write_text("{}", encoding="utf-8")
    return path


def test_functions_and_layers_are_those_that_were_built(template: Path, tmp_path: Path) -> None:
    build = tmp_path / "build"
    for name in ("Echo", "Wheels"):
        (build / name).mkdir(parents=True)

    resources = json.loads(as_built(template, build, tmp_path).read_text("utf-8"))["Resources"]

    assert resources["Echo"]["Properties"] == {"Handler": "toy.handler", "CodeUri": str(build / "Echo")}
    assert resources["Wheels"]["Properties"] == {"ContentUri": str(build / "Wheels")}
    assert resources["Process"]["Properties"] == {"DefinitionUri": str(template.with_name("process.asl.json"))}


def test_a_definition_that_lies_in_a_bucket_is_told(template: Path, tmp_path: Path) -> None:
    text = TEMPLATE.replace("DefinitionUri: process.asl.json", "DefinitionUri: {Bucket: releases, Key: process}")
    template.write_text(text, encoding="utf-8")

    with pytest.raises(DevstackError, match="Process: the local stack reads state machines from DefinitionUri, a file"):
        as_built(template, tmp_path, tmp_path)


def test_a_template_that_is_no_text_is_told(template: Path, tmp_path: Path) -> None:
    template.write_bytes(b"\xff\xfe")

    with pytest.raises(DevstackError, match="is not YAML"):
        as_built(template, tmp_path, tmp_path)


def test_a_function_that_was_not_built_is_named(template: Path, tmp_path: Path) -> None:
    with pytest.raises(DevstackError, match=r"build/Echo is missing: `make build-main`"):
        as_built(template, tmp_path / "build", tmp_path)

    assert not (tmp_path / "template.json").exists()
