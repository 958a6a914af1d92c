"""How far each stream mapping has come, kept in a file between two runs of the local stack."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Position:
    """A mapping's place in a shard: after a sequence number, or at the shard's beginning if there is none.

    ``drained`` says that the shard is closed and everything in it is settled.
    """

    after: str | None = None
    drained: bool = False


@dataclass(frozen=True, slots=True)
class StreamPositions:
    """A mapping's places in a stream, by shard. A stream of another ARN is another stream."""

    stream_arn: str
    shards: Mapping[str, Position] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The places of all stream mappings, by title (``<function>.<event>``)."""

    mappings: Mapping[str, StreamPositions] = field(default_factory=dict)

    def of(self, title: str, stream_arn: str) -> Mapping[str, Position] | None:
        """A mapping's shards, or None if it has not read this stream before."""
        found = self.mappings.get(title)
        return found.shards if found is not None and found.stream_arn == stream_arn else None

    @classmethod
    def load(cls, path: Path, say: Callable[[str], None]) -> Self:
        """Read the file; none there is no checkpoint.

        A file that cannot be read is renamed and reported with ``say``, and there is no checkpoint: every mapping
        begins at its StartingPosition, which repeats what was delivered and loses nothing (TRIM_HORIZON).
        """
        if not path.exists():
            return cls()
        try:
            return cls(_read(json.loads(path.read_bytes())))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            aside = set_aside(path)
            reason = " ".join(str(error).split()) or type(error).__name__
            say(f"{path} is no checkpoint file ({reason}): it is now {aside.name}, mappings begin at StartingPosition")
            return cls()

    def save(self, path: Path) -> None:
        """Write the file anew."""
        document = {
            "format": _FORMAT,
            "mappings": {
                title: {
                    "stream": positions.stream_arn,
                    "shards": {
                        shard: {"after": position.after, "drained": position.drained}
                        for shard, position in positions.shards.items()
                    },
                }
                for title, positions in self.mappings.items()
            },
        }
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def set_aside(path: Path) -> Path:
    """Rename a file or folder that cannot be used, so that a person can look at it; returns its new path."""
    number = 0
    while (aside := path.with_name(f"{path.name}.set-aside{f'-{number}' if number else ''}")).exists():
        number += 1
    path.rename(aside)
    return aside


def _read(document: Any) -> dict[str, StreamPositions]:
    if document["format"] != _FORMAT:
        raise ValueError(f"its format is {document['format']!r}, not {_FORMAT}")
    return {
        title: StreamPositions(
            _of_type(str, entry["stream"]),
            {
                shard: Position(
                    None if place["after"] is None else _of_type(str, place["after"]), _of_type(bool, place["drained"])
                )
                for shard, place in entry["shards"].items()
            },
        )
        for title, entry in document["mappings"].items()
    }


def _of_type[T](wanted: type[T], value: object) -> T:
    if not isinstance(value, wanted):
        raise ValueError(f"{value!r} is no {wanted.__name__}")
    return value
