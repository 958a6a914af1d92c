"""What one run of the local stack leaves to the next: the emulator's state and the mappings' checkpoints, together.

A run works on a copy, and a graceful stop puts its own in place of what was saved, in one rename. After a kill the
state of the last graceful stop is still there, whole: a checkpoint is never newer or older than its streams.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TextIO

from devstack.checkpoints import Checkpoints, set_aside
from devstack.errors import DevstackError

_FORMAT: Final = 1
_MANIFEST: Final = "state.json"
_CHECKPOINTS: Final = "checkpoints.json"
_EMULATOR: Final = "emulator"
_SERVICES: Final = "state"
"""The emulator's folder of one JSON file per service."""

_PARTS: Final = (_SERVICES, "s3")


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a run goes on from. ``port`` is the emulator's, which its queues' URLs name."""

    port: int
    saved_at: str
    checkpoints: Checkpoints


class KeptState:
    """A folder that holds the state of a stack which is not running, or which runs on a copy of it.

    ``say`` gets one line for each thing that a person should know. One stack at a time may hold the folder.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self._say = say
        self._saved = folder / "saved"
        self._services: set[str] = set()
        self._lock: TextIO | None = None

    def resume(self, emulator_folder: Path) -> Resumed | None:
        """Take the folder, and copy what it holds for an emulator that is about to start; None if it holds nothing.

        Raises
        ------
        DevstackError
            Another stack has the folder.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise DevstackError(f"another stack keeps its state in {self.folder}: stop it, or name another") from None
        self._lock = lock
        before = self.folder / "saved.old"
        if before.exists() and not self._saved.exists():
            before.rename(self._saved)  # The last stop ended between two renames.
        for leftover in (before, self.folder / "saved.new"):
            shutil.rmtree(leftover, ignore_errors=True)
        if not self._saved.exists():
            return None
        try:
            manifest = _checked(self._saved)
        except (OSError, ValueError, KeyError, TypeError) as error:
            aside = set_aside(self._saved)
            reason = " ".join(str(error).split()) or type(error).__name__
            self._say(f"the state in {self._saved} cannot be used ({reason}): it is now {aside.name}, and this is new")
            return None
        checkpoints = Checkpoints.load(self._saved / _CHECKPOINTS, self._say)
        for part in _PARTS:
            if (self._saved / _EMULATOR / part).exists():
                shutil.copytree(self._saved / _EMULATOR / part, emulator_folder / part, dirs_exist_ok=True)
        self._services = _services(emulator_folder)
        return Resumed(manifest["port"], manifest["saved_at"], checkpoints)

    def loaded(self, emulator_folder: Path) -> None:
        """The emulator has read its copy. What it does not write anew at its stop must not pass for it."""
        for path in (emulator_folder / _SERVICES).glob("*.json"):
            path.unlink()

    def save(self, emulator_folder: Path, checkpoints: Checkpoints, *, port: int, saved_at: str) -> None:
        """Put what a stopped emulator wrote, and the checkpoints, in place of what was saved before.

        Raises
        ------
        DevstackError
            The emulator did not write everything; what was saved before is still there.
        """
        written = _services(emulator_folder)
        if missing := sorted(({"cloudformation", "dynamodb"} | self._services) - written):
            raise DevstackError(f"the emulator did not save its {missing[0]}: {self.folder} stays as it was")
        new = self.folder / "saved.new"
        shutil.rmtree(new, ignore_errors=True)
        (new / _EMULATOR).mkdir(parents=True)
        for part in _PARTS:
            if (emulator_folder / part).exists():
                shutil.move(emulator_folder / part, new / _EMULATOR / part)
        checkpoints.save(new / _CHECKPOINTS)
        manifest = {"format": _FORMAT, "emulator": version("ministack"), "port": port, "saved_at": saved_at}
        (new / _MANIFEST).write_text(json.dumps(manifest) + "\n", encoding="utf-8")
        before = self.folder / "saved.old"
        if self._saved.exists():
            self._saved.rename(before)
        new.rename(self._saved)
        shutil.rmtree(before, ignore_errors=True)

    def release(self) -> None:
        """Let another stack have the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _checked(saved: Path) -> dict[str, Any]:
    """The manifest, if everything beside the checkpoints can be read by this emulator."""
    manifest: dict[str, Any] = json.loads((saved / _MANIFEST).read_bytes())
    if manifest["format"] != _FORMAT:
        raise ValueError(f"its format is {manifest['format']!r}, not {_FORMAT}")
    if manifest["emulator"] != version("ministack"):
        raise ValueError(f"it was saved by ministack {manifest['emulator']}, and this is {version('ministack')}")
    if not isinstance(manifest["port"], int) or not isinstance(manifest["saved_at"], str):
        raise TypeError(f"{_MANIFEST} has a member of another type")
    for path in (saved / _EMULATOR / _SERVICES).glob("*.json"):
        try:
            json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path.name} is no JSON: {error}") from error
    if missing := sorted({"cloudformation", "dynamodb"} - _services(saved / _EMULATOR)):
        raise ValueError(f"the emulator's {missing[0]}.json is missing")
    return manifest


def _services(emulator_folder: Path) -> set[str]:
    return {path.stem for path in (emulator_folder / _SERVICES).glob("*.json")}
