"""The console in a browser: every page, with a stack behind it, as an operator walks through it.

`make screenshots` has these tests write the pictures of docs/images.
"""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from cli.console.pages.shared import fragment
from cli.observation import Figures
from devstack.demo import traffic
from devstack.emulator import free_port
from devstack.served_console import Served
from devstack.stack import LocalStack
from tests.e2e.stacks import templates_in

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
#: The pages of the menu, with an id where one is wanted.
PAGES = {
    "Flow": "/",
    "Events": "/events",
    "Aggregates": "/aggregates",
    "Read models": "/read-models",
    "Dead letters": "/dead-letters",
    "Query": "/query",
    "Runbook": "/runbook",
    "Rehearse": "/rehearse",
}
PHONE = {"width": 390, "height": 800}
#: As long as something that is to come may take, in milliseconds; it comes in a second or two.
PATIENCE = 30_000
_SHOTS = os.environ.get("HEADWATER_SCREENSHOTS")


@dataclass
class Console:
    """A console with a stack behind it, and people who have played."""

    stack: LocalStack
    url: str
    people: list[traffic.User]

    def play(self, times: int = 1) -> None:
        api = traffic.Api(self.stack.url)
        for person in self.people[:4]:
            for _ in range(times):
                body = {"game": traffic.GAMES[0], "score": 7}
                api.send(traffic.Request("POST", "/users/{user_id}/plays", body), person.user_id)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = templates_in(tmp_path_factory.mktemp("console"))
    with LocalStack(folder) as stack, Served(stack, free_port()) as served:
        people = traffic.cast(8, 200)[:-1]
        traffic.play_out(traffic.Api(stack.url), people, lambda: None, threading.Event())
        stack.wait_until_quiet(120)
        yield Console(stack, served.url, people)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    # What was refused on purpose is told on the page, and by the browser too.
    assert [each for each in said if "400 (Bad Request)" not in each] == []


@pytest.fixture
def violations(tools: Path) -> Callable[[Page], list[str]]:
    script = (tools / "axe-core" / "axe.min.js").read_text(encoding="utf-8")

    def check(page: Page) -> list[str]:
        page.evaluate(script)
        found: Any = page.evaluate("() => axe.run()")
        assert found["passes"]
        return [f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in found["violations"]]

    return check


def shot(page: Page, name: str) -> None:
    """A picture for the docs, if they are being made."""
    if _SHOTS:
        page.screenshot(path=ROOT / "docs" / "images" / f"{name}.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_no_page_shuts_anybody_out(
    console: Console, page: Page, violations: Callable[[Page], list[str]], name: str, scheme: str
) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type] # one of the two
    page.goto(console.url + PAGES[name])
    expect(page.get_by_role("navigation").get_by_role("link", name=name)).to_have_attribute("aria-current", "page")

    assert violations(page) == []
    if (name, scheme) == ("Flow", "dark"):
        shot(page, "console-dark")


@pytest.mark.parametrize("name", PAGES)
def test_every_page_fits_a_phone(
    console: Console, page: Page, violations: Callable[[Page], list[str]], name: str
) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto(console.url + PAGES[name])

    # Nothing but what scrolls by itself is wider than the screen.
    assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"]
    assert violations(page) == []


def test_an_event_is_a_card_on_a_phone(console: Console, page: Page) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto(f"{console.url}/events")
    link = page.locator("#tail tr").first.get_by_role("link", name="journey")

    box = link.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] < PHONE["width"]
    link.click()
    expect(page.get_by_role("heading", name="The journey of one event")).to_be_visible()


def test_a_read_model_is_a_card_on_a_phone(console: Console, page: Page) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto(f"{console.url}/read-models")
    table = page.locator("table.cards")

    # Neither is a name broken within, nor a value without what names it.
    assert table.evaluate("each => each.querySelector('a').getClientRects().length") == 1
    expect(table.locator("td[data-name='kept by']").first).to_be_visible()


def test_a_wide_answer_scrolls_by_itself_on_a_phone_and_breaks_no_id(console: Console, page: Page) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto(f"{console.url}/query")
    page.get_by_label("One SELECT").fill(
        "SELECT user_id, event_id, game, played_at, recorded_at, dt FROM plays LIMIT 3"
    )
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("heading", name="3 rows")).to_be_visible(timeout=PATIENCE)

    assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"]
    lines = "cells => cells.map(cell => { const all = document.createRange(); all.selectNodeContents(cell); "
    lines += "return all.getClientRects().length; })"
    assert set(page.locator(".answer td").evaluate_all(lines)) == {1}


def test_events_that_nothing_fits_are_told_so(console: Console, page: Page) -> None:
    page.goto(f"{console.url}/events?text=nobody")
    expect(page.get_by_text("No event that this console has seen fits.")).to_be_visible()

    page.goto(f"{console.url}/events")
    expect(page.locator("#tail tr").first).to_be_visible()
    expect(page.locator(".none")).to_be_hidden()


def test_the_flow_moves_as_events_pass(console: Console, page: Page, violations: Callable[[Page], list[str]]) -> None:
    page.goto(console.url)
    station = page.locator("a.station", has_text="Fan out").first
    expect(station.locator(".rate")).to_have_text("0.0/s")

    console.play(25)

    expect(station.locator(".rate")).not_to_have_text("0.0/s")
    shot(page, "console-flow")
    expect(page.locator("path.moves").first).to_be_attached()
    console.stack.wait_until_quiet(60)

    # By keyboard: the station's last events, log lines and alarms beside it.
    station.focus()
    page.keyboard.press("Enter")
    panel = page.locator("#panel")
    expect(panel.get_by_role("heading", name="Fan out")).to_be_visible()
    expect(panel.get_by_role("link", name="journey").first).to_be_visible()
    expect(panel.locator("pre.log")).to_contain_text("RequestId")
    assert page.url.rstrip("/") == console.url
    assert violations(page) == []


@pytest.mark.parametrize("size", [{"width": 1440, "height": 900}, PHONE])
def test_no_station_is_cut_off_by_what_it_tells(console: Console, page: Page, size: dict[str, int]) -> None:
    page.set_viewport_size(size)  # type: ignore[arg-type]
    page.goto(console.url)
    worst = Figures(rate=0.0, waiting=1234, lag=754.0, retries=12, retrying=True, parked=13, paused=True)

    # At once, as the next figures that come replace these.
    found = page.evaluate(
        """told => {
            const stations = [...document.querySelectorAll("a.station")];
            stations.forEach(each => { each.querySelector(".figures").innerHTML = told; });
            const cut = stations.filter(
                each => each.scrollHeight > each.clientHeight || each.scrollWidth > each.clientWidth
            );
            const boxes = stations.map(each => each.getBoundingClientRect());
            const covered = stations.filter((_, one) => boxes.some((other, two) => one !== two
                && boxes[one].left < other.right && other.left < boxes[one].right
                && boxes[one].top < other.bottom && other.top < boxes[one].bottom));
            return [stations.length, cut.map(each => each.id), covered.map(each => each.id)];
        }""",
        fragment("station_figures.html", figures=worst),
    )

    assert found[0] > 0
    assert found[1:] == [[], []]


def test_a_read_models_panel_lists_the_events_that_it_follows(console: Console, page: Page) -> None:
    page.goto(f"{console.url}/flow/LeaderboardFunction")

    expect(page.get_by_text("Those of player, user.")).to_be_visible()
    listed = page.locator("table.cards tbody td:nth-child(2)").all_inner_texts()
    assert listed
    assert {each.partition("#")[0] for each in listed} <= {"player", "user"}


def test_the_first_tab_skips_the_menu(console: Console, page: Page) -> None:
    page.goto(console.url)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert page.evaluate("() => document.activeElement.id") == "main"


def test_one_event_is_followed_to_its_end(
    console: Console, page: Page, violations: Callable[[Page], list[str]]
) -> None:
    page.goto(f"{console.url}/events")
    page.get_by_label("Type").select_option("UserRegistered")
    page.get_by_role("button", name="Filter").click()
    rows = page.locator("#tail tr")
    expect(rows).to_have_count(len(console.people))
    rows.first.get_by_role("link", name="journey").click()

    answers = page.locator("tr.done")
    expect(answers.filter(has_text="Archiver")).to_contain_text("archived in raw/source=events/")
    expect(answers.filter(has_text="Fan out")).to_contain_text("passed it on")
    expect(answers.filter(has_text="Welcome email")).to_contain_text("sent at")
    expect(answers.filter(has_text="Leaderboard")).to_contain_text("applied: its row has this aggregate up to version")
    shot(page, "console-journey")
    assert violations(page) == []

    page.get_by_role("link", name="Search the consumers' logs for it").click()
    expect(page.locator("#logs")).to_contain_text("No log line names it")

    answers.filter(has_text="Leaderboard").get_by_role("link", name="See its row").click()
    expect(page.locator(".gate").first).to_contain_text("user at")


def test_new_events_come_by_themselves(console: Console, page: Page) -> None:
    page.goto(f"{console.url}/events")
    rows = page.locator("#tail tr")
    before = rows.count()

    console.play()

    expect(rows.first).to_contain_text("PlayCompleted")
    page.wait_for_function("count => document.querySelectorAll('#tail tr').length > count", arg=before)


def test_a_cause_leads_to_what_it_caused_and_back(console: Console, page: Page) -> None:
    page.goto(f"{console.url}/events?type=BadgeEarned")
    page.locator("#tail tr").first.get_by_role("link", name="journey").click()

    page.locator("li", has_text="Caused by").get_by_role("link").first.click()
    expect(page.locator("main")).to_contain_text("PlayCompleted")
    expect(page.locator("li", has_text="It caused").get_by_role("link", name="BadgeEarned").first).to_be_visible()


def test_a_history_shows_each_event_beside_the_one_before(
    console: Console, page: Page, violations: Callable[[Page], list[str]]
) -> None:
    page.goto(f"{console.url}/aggregates")
    page.get_by_label("Its id").fill(f"player#{console.people[0].user_id}")
    page.get_by_role("button", name="Show its history").click()

    steps = page.locator("section.step")
    expect(steps.nth(1).get_by_role("row", name="score").get_by_role("cell").first).to_have_text(
        steps.nth(0).get_by_role("row", name="score").get_by_role("cell").nth(1).inner_text()
    )
    shot(page, "console-aggregate")
    assert violations(page) == []


def test_sql_is_answered_with_a_table_and_a_chart(
    console: Console, page: Page, violations: Callable[[Page], list[str]]
) -> None:
    page.goto(f"{console.url}/query")
    page.get_by_role("link", name="Plays by game and day").click()
    page.get_by_role("button", name="Ask").click()

    expect(page.locator("#answer img.chart")).to_be_visible()
    expect(page.locator("#answer tbody tr").first).to_be_visible()
    shot(page, "console-query")
    assert violations(page) == []

    page.goto(f"{console.url}/query")
    page.get_by_label("One SELECT").fill("DELETE FROM events_all")
    # Held back, as an answer of Athena is.
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/query", hold)
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("button", name="Asking…")).to_be_disabled()
    page.wait_for_function("() => document.querySelector('form.htmx-request')")
    held[0].continue_()
    expect(page.get_by_role("alert")).to_contain_text("nothing is written")


def test_a_stopped_consumer_falls_behind_and_catches_up(console: Console, page: Page) -> None:
    page.goto(f"{console.url}/rehearse")
    stop = page.locator("section.step", has_text="A consumer gets nothing any more")
    stop.get_by_label("Which").select_option("LeaderboardFunction")
    stop.get_by_role("button", name="Start").click()
    expect(page.get_by_text("LeaderboardFunction gets nothing")).to_be_visible()

    page.goto(console.url)
    station = page.locator("#s-LeaderboardFunction")
    console.play()
    expect(station).to_contain_text("stopped")
    expect(station).to_contain_text("wait")
    expect(page.locator("#verdict")).to_contain_text("Leaderboard is stopped")
    shot(page, "console-stopped")

    page.goto(f"{console.url}/rehearse")
    page.get_by_role("button", name="Undo stop LeaderboardFunction").click()
    page.goto(console.url)
    expect(station).not_to_contain_text("wait")
    expect(station).not_to_contain_text("stopped")


def test_a_poison_record_is_found_mended_and_redriven_in_the_console_alone(
    console: Console, page: Page, violations: Callable[[Page], list[str]]
) -> None:
    page.goto(f"{console.url}/rehearse")
    page.get_by_role("button", name="Start poison").click()
    expect(page.get_by_text("which nobody knows")).to_be_visible()
    page.goto(console.url)
    expect(page.locator("#verdict")).to_contain_text("1 dead letter of fan_out waits")

    page.get_by_role("link", name="Dead letters").last.click()
    cause = page.locator(".cause")
    expect(cause).to_contain_text("has schema version 2; this code knows 1")
    shot(page, "console-dead-letters")
    assert violations(page) == []
    as_it_was = page.viewport_size
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert page.locator("section.step .scroll").evaluate("each => each.scrollWidth <= each.clientWidth")
    expect(page.locator("section.step td[data-name=left]")).to_be_in_viewport(ratio=1)
    page.set_viewport_size(as_it_was)  # type: ignore[arg-type]
    page.locator("section.step tbody a").first.click()
    expect(page.get_by_role("button", name="Discard it")).to_be_visible()
    assert violations(page) == []
    letter = page.url
    page.get_by_role("button", name="Redrive it").click()
    expect(page.locator("tr.parked")).to_contain_text("this code knows 1")

    page.goto(f"{console.url}/rehearse")
    page.get_by_role("button", name="Undo poison").click()
    page.goto(letter)
    page.get_by_role("button", name="Redrive it").click()
    expect(page.locator("tr.done")).to_contain_text("applied")
    page.get_by_role("link", name="Back to what waits").click()
    expect(page.get_by_text("Nothing waits.")).to_be_visible()


def test_what_a_page_cannot_do_is_one_line(console: Console, page: Page) -> None:
    for path, says in {
        "/journey?aggregate=user%23nobody&version=1": "there is no version 1 of user#nobody",
        "/journey?aggregate=user&version=1": "an event is named by its aggregate",
        "/aggregates?id=user%23nobody": "has no events of user#nobody",
        "/events/by-id?id=nothing": "no event 'nothing'",
        "/read-models/nothing": "there is no read model 'nothing'",
        "/dead-letters/nothing": "no dead letter 'nothing' waits",
        "/flow/Nothing": "the stack has no station 'Nothing'",
        "/query?name=nothing": "there is no saved query 'nothing'",
        "/nowhere": "there is no page /nowhere",
    }.items():
        answer = page.request.get(console.url + path)
        assert answer.status in {400, 404}, path
        assert says in answer.text().replace("&#39;", "'"), path
