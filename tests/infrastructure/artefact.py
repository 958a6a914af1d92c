"""Prints how large each function's and layer's artefact is, unzipped, and fails above the limit.

Standard library only: `make build` runs it with the interpreter of the deployment tools.
"""

import sys
from pathlib import Path
from typing import Final

LIMIT_BYTES: Final = 20_000_000
"""Lambda allows 250 MB, layers included; what is large starts slowly."""

LAYER_LIMIT_BYTES: Final = 100_000_000

RUNTIME_PROVIDES: Final = ("boto3", "botocore", "s3transfer")


def size(folder: Path) -> int:
    """Bytes of the files below ``folder``."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main(build: Path) -> int:
    """Print a line per function and layer in ``build``; answer the exit code."""
    artefacts = sorted(folder for folder in build.iterdir() if folder.is_dir())
    if not artefacts:
        print(f"{build} holds no artefact: run sam build", file=sys.stderr)
        return 1
    failed = False
    for artefact in artefacts:
        shipped = [name for name in RUNTIME_PROVIDES if (artefact / name).exists()]
        total = size(artefact)
        # A layer for Python is one folder, python/.
        limit = LAYER_LIMIT_BYTES if (artefact / "python").is_dir() else LIMIT_BYTES
        print(f"{artefact.name:29} {total / 1e6:6.1f} MB unzipped, limit {limit / 1e6:.0f} MB")
        largest = sorted(artefact.iterdir(), key=lambda path: -_size(path))[:4]
        if artefact is artefacts[0]:
            print("  largest: " + ", ".join(f"{path.name} {_size(path) / 1e6:.1f}" for path in largest))
        if shipped:
            print(f"  it ships {', '.join(shipped)}, which the runtime brings itself", file=sys.stderr)
        if shipped or total > limit:
            failed = True
    return int(failed)


def _size(path: Path) -> int:
    return size(path) if path.is_dir() else path.stat().st_size


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
