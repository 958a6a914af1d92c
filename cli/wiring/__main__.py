"""Writes the wiring: what follows from the declarations, in the template, in the docs and in schemas/.

``python -m cli.wiring`` writes, ``--check`` only names what is not as its sources say, and ends with 1 then.
"""

import argparse
import sys
from collections.abc import Sequence

from cli import event_schemas
from cli.declared import ROOT, TEMPLATE
from cli.wiring import regions, sql, template

PAGE = ROOT / "docs" / "archive.md"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="cli.wiring", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, and name what is stale")
    check = parser.parse_args(arguments).check
    stale: list[str] = []
    for path, writers in ((TEMPLATE, template.writers()), (PAGE, sql.page_writers())):
        text = path.read_text("utf-8")
        anew = regions.written(text, writers, path.name)
        stale += [f"{path.relative_to(ROOT)}: {name}" for name in regions.stale(text, anew)]
        if not check and anew != text:
            path.write_text(anew, "utf-8")
    for path, anew in event_schemas.written().items():
        if not path.exists() or path.read_text("utf-8") != anew:
            stale.append(str(path.relative_to(ROOT)))
            if not check:
                path.write_text(anew, "utf-8")
    for each in stale:
        sys.stdout.write(f"{each} {'is stale' if check else 'is written anew'}\n")
    if check and stale:
        sys.stderr.write("Run make wiring.\n")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
