"""The command as `uv tool install .` and `pipx install .` have it: what the wheel holds is all that it needs.

Built without a network: by the development environment's own setuptools.
"""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

#: It builds the wheel, and imports all of the command.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
#: Of the project, what a build takes: no environment, and nothing that an earlier build left.
PARTS = ("analytics", "cli", "devstack", "operations", "requirements", "src", "LICENSE", "README.md", "pyproject.toml")
LISTS = ("runtime.in", "duckdb.in", "command.in")
#: The folders that the wheel holds whole, with their place in it.
PLACES = {
    "analytics": "analytics",
    "cli": "cli",
    "devstack": "devstack",
    "operations": "operations",
    "src/arcade": "arcade",
    "src/headwater": "headwater",
}

#: Imports every module of the command; tells where it came from, then what packages the wheel's modules ask for.
IMPORTS = """
import builtins, importlib, pkgutil, sys
folder, asked, import_ = sys.argv[1], set(), builtins.__import__

def noting(name, globals=None, locals=None, fromlist=(), level=0):
    if not level and globals and str(globals.get("__file__")).startswith(folder):
        asked.add(name.partition(".")[0])
    return import_(name, globals, locals, fromlist, level)

builtins.__import__ = noting
import cli, operations
for package in cli, operations:
    for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(each.name)
print(cli.__file__)
print(*sorted(asked - sys.stdlib_module_names))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    project, built = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("built")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(ROOT / part, project / part)
    options = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation")
    built_by = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(built), str(project)]
    subprocess.run(built_by, check=True, cwd=project)
    (path,) = built.glob("headwater-*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    wheel.extractall(folder)
    return folder


def python(installed: Path, folder: Path, *arguments: str) -> str:
    """What Python prints that has the wheel before anything of this project, from another folder."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=True, cwd=folder, env=environment, capture_output=True, text=True).stdout


def headwater(installed: Path, folder: Path, *arguments: str) -> str:
    return python(installed, folder, "-c", "from cli.main import main; main(prog_name='headwater')", *arguments)


def test_the_wheel_holds_every_file_of_its_packages(wheel: zipfile.ZipFile) -> None:
    kept = {
        f"{place}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, place in PLACES.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert "cli/console/templates/base.html" in held
    assert "analytics/queries/top-players.sql" in held
    assert held == kept


def test_it_requires_what_the_files_of_requirements_list(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    required = Parser().parsestr(wheel.read(name).decode()).get_all("Requires-Dist") or []

    assert sorted(str(Requirement(each)) for each in required) == sorted(
        str(Requirement(line)) for file in LISTS for line in listed(ROOT / "requirements" / file)
    )


def test_the_command_runs_from_any_folder(wheel: zipfile.ZipFile, installed: Path, tmp_path: Path) -> None:
    assert headwater(installed, tmp_path, "--version").startswith("headwater, version ")
    told = headwater(installed, tmp_path, "archive", "query", "--list")

    queries = {Path(name).stem for name in wheel.namelist() if name.startswith("analytics/queries/")}
    assert {line for line in told.splitlines() if not line.startswith(" ")} == queries


def test_the_command_imports_nothing_that_it_does_not_require(installed: Path, tmp_path: Path) -> None:
    """What the local stack and the tests take more, such as ministack, is not there for it."""
    place, packages = python(installed, tmp_path, "-c", IMPORTS, str(installed)).splitlines()
    distributions = metadata.packages_distributions()
    asked = {
        *packages.split(),
        *(name for folder in ("cli", "operations") for name in imported_late(installed / folder)),
    }
    taken = {canonicalize_name(name) for package in asked for name in distributions.get(package, ())}

    assert Path(place).is_relative_to(installed)
    required = {Requirement(line).name for file in LISTS for line in listed(ROOT / "requirements" / file)}
    assert {"boto3", "duckdb", "rich", "uvicorn"} <= taken
    assert taken <= {*closure({canonicalize_name(name) for name in required}), "headwater"}


def imported_late(folder: Path) -> Iterator[str]:
    """The packages that functions import when they are called."""
    for path in folder.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.Import):
                        yield from (each.name.partition(".")[0] for each in node.names)
                    elif isinstance(node, ast.ImportFrom) and node.module:
                        yield node.module.partition(".")[0]


def listed(path: Path) -> Iterator[str]:
    """The requirements of a file, without its comments."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if text := line.partition("#")[0].strip():
            yield text


def closure(names: set[str]) -> set[str]:
    """The distributions with all that they require, in turn."""
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        for line in metadata.requires(name) or ():
            required = Requirement(line)
            if required.marker is None or required.marker.evaluate({"extra": ""}):
                waiting |= {canonicalize_name(required.name)} - found
    return found
