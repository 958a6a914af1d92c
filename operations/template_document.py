"""A template of SAM or CloudFormation, as a document: its intrinsics in their long form."""

from __future__ import annotations

import yaml

from operations.intrinsics import Node

try:
    # libyaml parses a template in an eighth of the time, where PyYAML was built with it: all its wheels are.
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]


class NoTemplateError(Exception):
    """A text that is no template; the message says why."""


class _Loader(SafeLoader):
    """YAML with CloudFormation's tags in their long form, and dates left as text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _construct_intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> Node:
    value: Node
    if isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_object(yaml.ScalarNode("tag:yaml.org,2002:str", node.value))
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _construct_intrinsic)


def parsed(text: bytes | str, name: str) -> dict[str, Node]:
    """A template's document, with intrinsics in their long form; ``name`` is what errors call it.

    Raises
    ------
    NoTemplateError
        It is not YAML, or not a template.
    """
    try:
        document = yaml.load(text.decode() if isinstance(text, bytes) else text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise NoTemplateError(f"{name} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
        raise NoTemplateError(f"{name} is no CloudFormation template: it has no Resources")
    return document
