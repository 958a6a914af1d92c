"""The file that holds how far each mapping has come."""

import json
from pathlib import Path
from typing import Any

import pytest

from devstack.checkpoints import Checkpoints, Position, StreamPositions, set_aside

SAVED = Checkpoints(
    {
        "Worker.In": StreamPositions("arn:s", {"shard-0": Position("0042", drained=True), "shard-1": Position("0077")}),
        "Other.In": StreamPositions("arn:t", {"shard-0": Position()}),
    }
)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    SAVED.save(tmp_path / "checkpoints.json")
    said: list[str] = []
    assert Checkpoints.load(tmp_path / "checkpoints.json", said.append) == SAVED
    assert said == []


def test_no_file_is_no_checkpoint(tmp_path: Path) -> None:
    said: list[str] = []
    assert Checkpoints.load(tmp_path / "checkpoints.json", said.append) == Checkpoints()
    assert said == []


def test_a_checkpoint_is_for_its_own_stream_alone() -> None:
    """A table that was made anew has another stream ARN: the mapping starts over, as on AWS."""
    assert SAVED.of("Worker.In", "arn:s") == {"shard-0": Position("0042", drained=True), "shard-1": Position("0077")}
    assert SAVED.of("Worker.In", "arn:new") is None
    assert SAVED.of("New.In", "arn:s") is None


def document(**shard: Any) -> str:
    place = {"after": "1", "drained": False, **shard}
    return json.dumps({"format": 1, "mappings": {"Worker.In": {"stream": "arn:s", "shards": {"shard-0": place}}}})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": 1}',
        '{"format": 2, "mappings": {}}',
        '{"format": 1, "mappings": {"Worker.In": "0042"}}',
        document(after=42),
        document(drained="no"),
        "\x00\xff",
    ],
)
def test_a_corrupt_file_is_set_aside_with_a_message(tmp_path: Path, text: str) -> None:
    path = tmp_path / "checkpoints.json"
    path.write_text(text, encoding="utf-8")
    said: list[str] = []
    assert Checkpoints.load(path, said.append) == Checkpoints()
    (line,) = said
    assert "\n" not in line
    assert "it is now checkpoints.json.set-aside, mappings begin at StartingPosition" in line
    assert not path.exists()
    assert (tmp_path / "checkpoints.json.set-aside").read_text(encoding="utf-8") == text


def test_what_was_set_aside_before_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "state"
    for number in range(3):
        path.write_text(str(number))
        set_aside(path)
    kept = {found.name: found.read_text() for found in tmp_path.iterdir()}
    assert kept == {"state.set-aside": "0", "state.set-aside-1": "1", "state.set-aside-2": "2"}
