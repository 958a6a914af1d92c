"""A browser for the tests of pages: Debian's chromium, or whichever is on the PATH; they skip by name without one."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

TOOLS = Path(__file__).parent / "node_modules"
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = os.environ.get("HEADWATER_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("no chromium is on the PATH: install it, or name it in HEADWATER_CHROMIUM")
    # A limit that only a hang reaches: its own is five seconds.
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        # No sandbox: what it opens are this project's own pages, and root may not have one.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def tools() -> Path:
    """The scripts of package.json."""
    if not TOOLS.exists():
        pytest.skip("the browser tests' scripts are not installed: make browser-tools")
    return TOOLS
