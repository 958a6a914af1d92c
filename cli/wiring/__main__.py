"""Writes the wiring: what follows from the declarations, in the template, in the docs, in schemas/ and events/.

``python -m cli.wiring`` writes, ``--check`` only names what is not as its sources say, and ends with 1 then.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.wiring import fixtures, regions, schemas, sql, template
from cli.wiring.declared import ROOT, TEMPLATE, application
from cli.wiring.facts import Facts
from cli.wiring.regions import MarkError
from headwater.declarations import DeclarationError

PAGE = ROOT / "docs" / "archive.md"


@dataclass(frozen=True)
class _File:
    """A file as it is to be; ``wrong``: what is not as its sources say, by what is wrong with it."""

    path: Path
    text: str
    wrong: Mapping[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="cli.wiring", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, and name what is stale")
    check = parser.parse_args(arguments).check
    try:
        # All before the first is written: an error leaves everything as it is.
        files = list(_files())
    except (DeclarationError, MarkError, LookupError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for file in files:
        for name, wrong in file.wrong.items():
            sys.stdout.write(f"{name} {wrong}\n" if check else f"wrote {name}\n")
        if file.wrong and not check:
            file.path.write_text(file.text, "utf-8")
    stale = any(file.wrong for file in files)
    if check and stale:
        sys.stderr.write("Run make wiring.\n")
    return int(check and stale)


def _files() -> Iterator[_File]:
    for path, writers in ((TEMPLATE, template.writers()), (PAGE, sql.page_writers())):
        text = path.read_text("utf-8")
        anew = regions.written(text, writers, path.name)
        yield _File(path, anew, {f"{_shown(path)}: {name}": "is stale" for name in regions.stale(text, anew)})
    for path, anew in [*schemas.written().items(), *fixtures.missing(Facts(application()), ROOT / "events")]:
        wrong = "is missing" if not path.exists() else "is stale" if path.read_text("utf-8") != anew else ""
        yield _File(path, anew, {_shown(path): wrong} if wrong else {})


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main())
