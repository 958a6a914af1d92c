"""A folder with what one run left: whole, or set aside."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.checkpoints import Checkpoints, Position, StreamPositions
from devstack.errors import DevstackError
from devstack.kept_state import KeptState

CHECKPOINTS = Checkpoints({"Worker.In": StreamPositions("arn:s", {"shard-0": Position("0042")})})
SAVED_AT = "2026-01-02 03:04:05"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def kept(tmp_path: Path, said: list[str]) -> Iterator[KeptState]:
    kept = KeptState(tmp_path / "state", said.append)
    yield kept
    kept.release()


@pytest.fixture
def emulator(tmp_path: Path) -> Path:
    """The folder of an emulator that has stopped in order."""
    return emulator_folder(tmp_path / "run", "1")


def emulator_folder(folder: Path, content: str) -> Path:
    (folder / "state").mkdir(parents=True)
    (folder / "s3" / "bucket").mkdir(parents=True)
    for service in ("cloudformation", "dynamodb", "kinesis"):
        (folder / "state" / f"{service}.json").write_text(content)
    (folder / "s3" / "bucket" / "object").write_text(content)
    return folder


def save(kept: KeptState, folder: Path) -> None:
    kept.save(folder, CHECKPOINTS, port=4566, saved_at=SAVED_AT)


def test_an_empty_folder_resumes_nothing(kept: KeptState, tmp_path: Path) -> None:
    assert kept.resume(tmp_path / "next") is None


def test_what_was_saved_is_resumed_as_a_copy(kept: KeptState, emulator: Path, tmp_path: Path) -> None:
    kept.resume(tmp_path / "none")
    save(kept, emulator)
    kept.release()

    resumed = kept.resume(tmp_path / "next")

    assert resumed is not None
    assert (resumed.port, resumed.saved_at, resumed.checkpoints) == (4566, SAVED_AT, CHECKPOINTS)
    assert (tmp_path / "next" / "state" / "dynamodb.json").read_text() == "1"
    assert (tmp_path / "next" / "s3" / "bucket" / "object").read_text() == "1"
    (tmp_path / "next" / "s3" / "bucket" / "object").write_text("changed by the next run")
    assert (kept.folder / "saved" / "emulator" / "s3" / "bucket" / "object").read_text() == "1"


def test_a_service_that_the_emulator_did_not_save_again_keeps_the_state_as_it_was(
    kept: KeptState, emulator: Path, tmp_path: Path
) -> None:
    kept.resume(tmp_path / "none")
    save(kept, emulator)
    kept.release()
    following = tmp_path / "next"
    kept.resume(following)
    kept.loaded(following)
    for service in ("cloudformation", "dynamodb"):
        (following / "state" / f"{service}.json").write_text("2")

    with pytest.raises(DevstackError, match="the emulator did not save its kinesis"):
        save(kept, following)

    assert (kept.folder / "saved" / "emulator" / "state" / "dynamodb.json").read_text() == "1"


@pytest.mark.parametrize("ended_after", ["the first rename", "the copy"])
def test_a_stop_that_was_cut_short_leaves_a_whole_state(
    kept: KeptState, emulator: Path, tmp_path: Path, ended_after: str
) -> None:
    """FAULTS row 40."""
    kept.resume(tmp_path / "none")
    save(kept, emulator)
    kept.release()
    (kept.folder / "saved.new").mkdir()
    if ended_after == "the first rename":
        (kept.folder / "saved").rename(kept.folder / "saved.old")

    assert kept.resume(tmp_path / "next") is not None

    assert [path.name for path in sorted(kept.folder.iterdir())] == ["lock", "saved"]


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("state.json", "{", "Expecting property name"),
        ("state.json", "[]", "indices must be integers"),
        ("state.json", '{"format": 7}', "its format is 7, not 1"),
        ("state.json", '{"format": 1, "emulator": "0.1"}', "it was saved by ministack 0.1, and this is"),
        ("emulator/state/kinesis.json", "{", "kinesis.json is no JSON"),
        ("emulator/state/dynamodb.json", None, "the emulator's dynamodb.json is missing"),
        ("state.json", None, "No such file"),
    ],
)
def test_a_state_that_cannot_be_used_is_set_aside_with_a_message(
    kept: KeptState, emulator: Path, tmp_path: Path, said: list[str], file: str, text: str | None, reason: str
) -> None:
    kept.resume(tmp_path / "none")
    save(kept, emulator)
    kept.release()
    broken = kept.folder / "saved" / file
    if text is None:
        broken.unlink()
    else:
        broken.write_text(text)

    assert kept.resume(tmp_path / "next") is None

    (line,) = said
    assert reason in line
    assert line.endswith("it is now saved.set-aside, and this is new")
    assert (kept.folder / "saved.set-aside").exists()
    assert not (kept.folder / "saved").exists()


def test_a_corrupt_checkpoint_file_does_not_cost_the_tables(
    kept: KeptState, emulator: Path, tmp_path: Path, said: list[str]
) -> None:
    kept.resume(tmp_path / "none")
    save(kept, emulator)
    kept.release()
    (kept.folder / "saved" / "checkpoints.json").write_text("{")

    resumed = kept.resume(tmp_path / "next")

    assert resumed is not None
    assert resumed.checkpoints == Checkpoints()
    assert "is no checkpoint file" in said[0]
    assert json.loads((tmp_path / "next" / "state" / "dynamodb.json").read_text()) == 1


def test_one_stack_at_a_time_has_the_folder(kept: KeptState, tmp_path: Path, said: list[str]) -> None:
    kept.resume(tmp_path / "next")
    other = KeptState(kept.folder, said.append)
    with pytest.raises(DevstackError, match="another stack keeps its state in"):
        other.resume(tmp_path / "other")
    kept.release()
    assert other.resume(tmp_path / "other") is None
    other.release()
