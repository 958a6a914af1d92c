"""What follows from the declarations is in the template, and is what they say."""

import shutil
from pathlib import Path

import pytest

from cli.wiring import __main__ as wiring
from cli.wiring import schemas
from tests.infrastructure.expansion import PROJECT


def test_what_is_written_is_as_its_sources_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert wiring.main(["--check"]) == 0, capsys.readouterr().out


def test_what_is_stale_is_named_and_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    template = tmp_path / "template.yaml"
    text = (PROJECT / "template.yaml").read_text("utf-8").replace('["failing#leaderboard#*"]', '["failing#*"]')
    template.write_text(text, "utf-8")
    monkeypatch.setattr(wiring, "TEMPLATE", template)
    monkeypatch.setattr(wiring, "PAGE", tmp_path / "archive.md")
    (tmp_path / "archive.md").write_text((PROJECT / "docs" / "archive.md").read_text("utf-8"), "utf-8")
    monkeypatch.setattr(wiring, "ROOT", tmp_path)
    shutil.copytree(PROJECT / "events", tmp_path / "events")
    (tmp_path / "events" / "LeaderboardFunction.json").unlink()
    monkeypatch.setattr(schemas, "written", dict)

    assert wiring.main(["--check"]) == 1
    told = capsys.readouterr()
    stale = ["template.yaml: projections is stale", "events/LeaderboardFunction.json is missing"]
    assert (told.out.splitlines(), told.err) == (stale, "Run make wiring.\n")
    assert template.read_text("utf-8") == text

    assert wiring.main([]) == 0
    assert capsys.readouterr().out == "".join(f"wrote {each.rpartition(' is ')[0]}\n" for each in stale)
    assert template.read_text("utf-8") == (PROJECT / "template.yaml").read_text("utf-8")


def test_where_a_declaration_is_wrong_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    template, page = tmp_path / "template.yaml", tmp_path / "archive.md"
    text = (PROJECT / "template.yaml").read_text("utf-8").replace('["failing#leaderboard#*"]', '["failing#*"]')
    template.write_text(text, "utf-8")
    page.write_text("no marks\n", "utf-8")
    monkeypatch.setattr(wiring, "ROOT", tmp_path)
    monkeypatch.setattr(wiring, "TEMPLATE", template)
    monkeypatch.setattr(wiring, "PAGE", page)

    assert wiring.main([]) == 2
    assert (
        capsys.readouterr().err == "archive.md: each of the regions queries must be written, and have its marks once\n"
    )
    assert template.read_text("utf-8") == text
