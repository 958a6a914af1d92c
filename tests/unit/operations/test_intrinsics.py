"""What a node of a template refers to, and what it comes to."""

from typing import Any

import pytest

from operations.intrinsics import Intrinsics, UnknownIntrinsicError, outermost, pseudo_parameters, references, resources
from operations.template_document import parsed

NAMES = {"Stage": "dev", "Size": "2", **pseudo_parameters(region="eu-west-1", account="1", stack="shop")}
DOCUMENT = {
    "Conditions": {
        "IsDev": {"Fn::Equals": [{"Ref": "Stage"}, "dev"]},
        "IsLarge": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Size"}, 2]}]},
        "IsLargeDev": {"Fn::And": [{"Condition": "IsDev"}, {"Condition": "IsLarge"}]},
        "IsEither": {"Fn::Or": [{"Condition": "IsDev"}, {"Condition": "IsLarge"}]},
    },
    "Mappings": {"Hours": {"dev": {"Kept": 24}}},
}


def intrinsics() -> Intrinsics:
    return Intrinsics.over(NAMES, DOCUMENT)


@pytest.mark.parametrize(
    ("node", "value"),
    [
        ("plain", "plain"),
        (7, 7),
        ({"Ref": "Stage"}, "dev"),
        ({"Ref": "AWS::Region"}, "eu-west-1"),
        ({"Fn::Sub": "${AWS::StackName}-${Stage}"}, "shop-dev"),
        ({"Fn::Sub": "${!Stage} is ${Stage}"}, "${Stage} is dev"),
        ({"Fn::Sub": ["${Who}-${Stage}", {"Who": {"Fn::If": ["IsDev", "me", "us"]}}]}, "me-dev"),
        ({"Fn::Sub": ["${Stage}", {"Stage": ""}]}, ""),
        ({"Fn::If": ["IsLarge", "large", "small"]}, "small"),
        ({"Fn::If": ["IsLargeDev", "both", "not both"]}, "not both"),
        ({"Fn::If": ["IsEither", "either", "neither"]}, "either"),
        ({"Fn::FindInMap": ["Hours", {"Ref": "Stage"}, "Kept"]}, 24),
    ],
    ids=str,
)
def test_a_node_comes_to_its_value(node: Any, value: Any) -> None:
    assert intrinsics().value(node) == value


def test_a_resources_attribute_is_asked_for_in_both_forms() -> None:
    with_attributes = Intrinsics(lambda name: name, lambda resource, attribute: f"{attribute} of {resource}")

    assert with_attributes.text({"Fn::GetAtt": ["Table", "Stream.Arn"]}) == "Stream.Arn of Table"
    assert with_attributes.text({"Fn::Sub": "<${Table.Stream.Arn}>"}) == "<Stream.Arn of Table>"


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ({"Ref": "Table"}, "'Table' is not known"),
        ({"Fn::Sub": "${Table}"}, "'Table' is not known"),
        ({"Fn::GetAtt": ["Table", "Arn"]}, "Arn of Table is not known"),
        ({"Fn::If": ["IsNew", 1, 2]}, "condition 'IsNew' is not known"),
        ({"Fn::Join": ["-", ["a", "b"]]}, "'Fn::Join'.* cannot be computed"),
    ],
    ids=str,
)
def test_what_nobody_knows_is_named(node: Any, says: str) -> None:
    with pytest.raises(UnknownIntrinsicError, match=says):
        intrinsics().value(node)


def test_names_are_found_wherever_they_stand() -> None:
    document = parsed(
        """
        Resources:
          Role:
            DependsOn: Late
            Properties:
              Name: !Ref Stage
              Arn: !GetAtt Table.StreamArn
              Text: !Sub [ "${Table.Arn}/${Own}/${!Left}/${AWS::Region}", { Own: !Ref Topic } ]
        """,
        "template.yaml",
    )

    assert sorted(references(document["Resources"])) == ["AWS::Region", "Stage", "Table", "Table", "Topic"]
    assert resources(document["Resources"]) == {"Stage", "Table", "Topic"}
    assert len(list(outermost(document["Resources"]))) == 3
