"""``python -m devstack try``: files in, what became of their records out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from devstack.simulator.graph import Blueprint
from devstack.try_input import inputs, report
from devstack.try_input.bench import opened
from devstack.try_input.callees import Callees
from devstack.try_input.errors import UsageError
from devstack.try_input.report import Asked, Tried


def run(
    path: Path,
    function: str | None,
    *,
    paths: Sequence[str] = (),
    post: str | None = None,
    follow: bool = False,
    as_json: bool = False,
    blueprint: Blueprint | None = None,
) -> int:
    """Tries a file, or each file of a folder in a world of its own, and prints what became of the records.

    The exit code is 1 if Lambda would deliver a record again or one is lost, and 2 if something could not be tried.

    Raises
    ------
    UsageError
        Nothing could be tried at all.
    """
    files = inputs.found(path)
    if wrong := [each for each in paths if not each.startswith("/")]:
        raise UsageError(f"GET= takes paths that begin with /, several with commas between; {wrong[0]!r} is none")
    blueprint = blueprint or Blueprint.load()
    callees = Callees.of(blueprint.hosted)
    if function is not None:
        callees.named(function)
    tried = [
        _tried(blueprint, file, function, paths, post=post, follow=follow, alone=len(files) == 1) for file in files
    ]
    if all(each.left_out for each in tried):
        raise UsageError(f"no file in {path} is for {function}: {tried[0].left_out}")
    if as_json:
        print(report.to_json(tried))
    else:
        print(report.to_text(tried, colour=sys.stdout.isatty()), end="")
    for each in tried:
        if each.error:
            print(f"try: {each.error}", file=sys.stderr)
    return max(each.exit_code for each in tried)


def _tried(
    blueprint: Blueprint,
    file: Path,
    function: str | None,
    paths: Sequence[str],
    *,
    post: str | None,
    follow: bool,
    alone: bool,
) -> Tried:
    try:
        tried = inputs.read(file, post=post)
        with opened(blueprint, tried) as bench:
            if function is None:
                callees = bench.callees.taking(tried, bench.tables)
            else:
                callees = [bench.callees.named(function)]
                try:
                    bench.callees.check(callees[0], tried)
                except UsageError as error:
                    return Tried(file.name, error=str(error) if alone else None, left_out=None if alone else str(error))
            bench.append(tried)
            runs = [bench.run(callee, tried) for callee in callees]
            if follow:
                runs += bench.follow()
            return Tried(file.name, runs, [Asked(each, *bench.ask(each)) for each in paths])
    except UsageError as error:
        return Tried(file.name, error=str(error))
