"""The recipe for a badge in docs/extend.md, followed to the letter."""

import re
import textwrap
from pathlib import Path
from typing import Any

from headwater.domain import badges
from headwater.domain.badges import BADGES, goals, no_progress, record_play
from headwater.domain.events import PlayCompleted

PAGE = Path(__file__).parents[3] / "docs" / "extend.md"


def recipe() -> list[str]:
    section = PAGE.read_text().partition("## Add a badge")[2].partition("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def test_a_badge_is_one_function_and_one_entry() -> None:
    rule, entry = recipe()
    namespace: dict[str, Any] = dict(vars(badges))
    exec(rule, namespace)
    (badge,) = eval(f"({textwrap.dedent(entry)})", namespace)
    registry = [*BADGES, badge]

    progress, earned = no_progress(), set[str]()
    for number in range(1, 1001):
        play = PlayCompleted(game=f"game-{number % 3}", score=7, played_at="2026-03-01T12:00:00.000Z")
        progress, awards = record_play(progress, play, f"play-{number}", registry)
        earned |= awards.keys()
        if number == 998:
            [told] = [goal for goal in goals(progress, earned, 0, registry) if goal["badge"] == badge.id]
            assert (told["have"], told["need"]) == (998, 1000)
            assert told["description"] == "Finished a thousand plays, whatever the games."

    assert awards["thousand-plays"]["play_event_id"] == "play-1000"
    assert awards.keys() == {"thousand-plays"}


def test_the_entry_needs_no_other_change() -> None:
    """The registry is all that knows badges by name: its ids are nowhere else in what ships."""
    source = Path(badges.__file__).parents[1]
    others = [path for path in source.rglob("*.py") if path != Path(badges.__file__)]

    named = {badge.id for badge in BADGES for path in others if f'"{badge.id}"' in path.read_text()}

    assert named == set()
