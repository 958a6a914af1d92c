"""docs/delivery-semantics.md names tests and code; each has to be there."""

import ast
import pkgutil
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
PAGE = (TESTS.parent / "docs" / "delivery-semantics.md").read_text(encoding="utf-8")
ROWS = [line.strip("|").split("|") for line in PAGE.splitlines() if re.match(r"\| (?!rule|question|-)", line)]
RULES = [[cell.strip() for cell in row] for row in ROWS if len(row) == 4]


def names_of_tests() -> set[str]:
    names = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_the_page_has_its_tables() -> None:
    assert len(RULES) > 40


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`((?:test_|Test)\w+)`", PAGE))
    assert named - names_of_tests() == set()


@pytest.mark.parametrize("row", RULES, ids=lambda row: row[0])
def test_every_rule_names_its_code_and_a_test(row: list[str]) -> None:
    _, _, code, held_by = row
    assert re.search(r"`(test_|Test)\w+`", held_by)
    path = code.strip("`") if code.startswith("`headwater.") else f"devstack.{code.strip('`')}"
    assert pkgutil.resolve_name(path) is not None
