"""One suite against the simulator's S3 and moto's.

Where moto does otherwise than AWS documents, its case is skipped with what moto does.
"""

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError, ParamValidationError

from tests.fakes.cloud import FakeAws
from tests.fakes.moto import mock_aws

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def in_memory() -> "S3Client":
    return FakeAws().s3


def on_moto() -> "S3Client":
    client: S3Client = boto3.client("s3")
    client.create_bucket(Bucket="archive", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return client


@pytest.fixture(params=[in_memory, on_moto])
def s3(request: pytest.FixtureRequest) -> Iterator["S3Client"]:
    build: Callable[[], S3Client] = request.param
    with mock_aws():
        yield build()


def skip_moto(request: pytest.FixtureRequest, what_moto_does: str) -> None:
    if "on_moto" in request.node.name:
        pytest.skip(f"moto {what_moto_does}")


def put(client: "S3Client", key: str = "raw/a", body: Any = b"x", **request: Any) -> Any:
    return client.put_object(Bucket="archive", Key=key, Body=body, **request)


def get(client: "S3Client", key: str = "raw/a") -> Any:
    return client.get_object(Bucket="archive", Key=key)


def error(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize("body", [bytes, io.BytesIO])
@pytest.mark.parametrize("expected", [b"", b"\x00\xff", b"x" * 100_000])
def test_an_object_comes_back_as_it_went_in(s3: "S3Client", body: Callable[[bytes], Any], expected: bytes) -> None:
    put(s3, body=body(expected), ContentType="application/zstd")

    answer = get(s3)

    assert answer["Body"].read() == expected
    assert (answer["ContentLength"], answer["ContentType"]) == (len(expected), "application/zstd")


def test_a_put_replaces_the_object_and_the_tag_is_the_contents_digest(s3: "S3Client") -> None:
    put(s3, body=b"first")

    answer = put(s3, body=b"x")

    assert answer["ETag"] == get(s3)["ETag"] == '"9dd4e461268c8034f5c8564e155c67a6"'
    assert get(s3)["Body"].read() == b"x"


def test_if_none_match_takes_a_key_once(s3: "S3Client") -> None:
    """FAULTS row 16: what was written before the answer was lost is not written again."""
    put(s3, body=b"first", IfNoneMatch="*")

    with pytest.raises(ClientError) as caught:
        put(s3, body=b"second", IfNoneMatch="*")

    assert error(caught) == ("PreconditionFailed", 412)
    assert get(s3)["Body"].read() == b"first"


def test_if_none_match_of_a_tag_does_not_exist_for_a_put(request: pytest.FixtureRequest, s3: "S3Client") -> None:
    skip_moto(request, "ignores it")

    with pytest.raises(ClientError) as caught:
        put(s3, IfNoneMatch='"tag"')

    assert error(caught) == ("NotImplemented", 501)


def test_what_is_not_there_is_told(s3: "S3Client") -> None:
    with pytest.raises(s3.exceptions.NoSuchKey) as caught:
        get(s3)
    assert error(caught) == ("NoSuchKey", 404)

    calls: list[Callable[[], object]] = [
        lambda: s3.get_object(Bucket="nowhere", Key="a"),
        lambda: s3.put_object(Bucket="nowhere", Key="a", Body=b""),
        lambda: s3.list_objects_v2(Bucket="nowhere"),
    ]
    for call in calls:
        with pytest.raises(s3.exceptions.NoSuchBucket) as caught:
            call()
        assert error(caught) == ("NoSuchBucket", 404)


def test_a_key_has_1024_bytes_at_the_most(request: pytest.FixtureRequest, s3: "S3Client") -> None:
    skip_moto(request, "takes longer ones")

    put(s3, "k" * 1024)
    with pytest.raises(ClientError) as caught:
        put(s3, "ü" * 513)

    assert error(caught) == ("KeyTooLongError", 400)


def test_a_key_is_not_empty(s3: "S3Client") -> None:
    with pytest.raises(ParamValidationError):
        put(s3, "")


def test_a_list_is_in_the_order_of_the_keys_bytes_and_within_its_prefix(s3: "S3Client") -> None:
    keys = ["raw/b", "raw/\U0001f3c6", "raw/\uffee", "raw/a", "raw", "claims/a", "raw0"]
    for key in keys:
        put(s3, key)

    answer = s3.list_objects_v2(Bucket="archive", Prefix="raw/")

    assert [entry["Key"] for entry in answer["Contents"]] == ["raw/a", "raw/b", "raw/\uffee", "raw/\U0001f3c6"]
    assert (answer["KeyCount"], answer["IsTruncated"]) == (4, False)
    assert answer["Contents"][0]["Size"] == 1
    assert "Contents" not in s3.list_objects_v2(Bucket="archive", Prefix="nothing/")


def test_a_list_goes_on_where_its_page_ended(s3: "S3Client") -> None:
    for number in range(5):
        put(s3, f"raw/{number}")

    small: Any = {"MaxKeys": 2}

    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket="archive", Prefix="raw/", **small))
    after = s3.list_objects_v2(Bucket="archive", StartAfter="raw/2")

    assert [[entry["Key"][-1] for entry in page["Contents"]] for page in pages] == [["0", "1"], ["2", "3"], ["4"]]
    assert [page["IsTruncated"] for page in pages] == [True, True, False]
    assert [entry["Key"] for entry in after["Contents"]] == ["raw/3", "raw/4"]


def test_a_page_of_a_list_has_a_thousand_keys(request: pytest.FixtureRequest, s3: "S3Client") -> None:
    skip_moto(request, "answers as many as are asked for")
    for number in range(1001):
        put(s3, f"raw/{number:04d}")

    answer = s3.list_objects_v2(Bucket="archive", MaxKeys=5000)

    assert (len(answer["Contents"]), answer["IsTruncated"]) == (1000, True)


def test_what_is_deleted_is_gone_and_what_is_not_there_may_be_deleted(s3: "S3Client") -> None:
    for key in ("raw/a", "raw/b", "raw/c"):
        put(s3, key)

    answer = s3.delete_objects(
        Bucket="archive", Delete={"Objects": [{"Key": "raw/a"}, {"Key": "raw/c"}, {"Key": "raw/z"}], "Quiet": True}
    )

    assert not answer.get("Errors")
    assert [found["Key"] for found in s3.list_objects_v2(Bucket="archive")["Contents"]] == ["raw/b"]
    with pytest.raises(s3.exceptions.NoSuchKey):
        get(s3, "raw/a")


def test_a_thousand_objects_are_deleted_at_once_and_no_more(request: pytest.FixtureRequest, s3: "S3Client") -> None:
    skip_moto(request, "deletes any number")
    with pytest.raises(ClientError) as caught:
        s3.delete_objects(
            Bucket="archive", Delete={"Objects": [{"Key": str(number)} for number in range(1_001)], "Quiet": True}
        )

    assert error(caught)[0] == "MalformedXML"


def test_a_copy_has_the_content_and_takes_the_place_of_what_was_there(s3: "S3Client") -> None:
    put(s3, "raw/a", b"one")
    put(s3, "raw/b", b"two")

    s3.copy({"Bucket": "archive", "Key": "raw/a"}, "archive", "raw/b")

    assert get(s3, "raw/b")["Body"].read() == get(s3, "raw/a")["Body"].read() == b"one"
