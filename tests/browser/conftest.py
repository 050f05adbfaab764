"""A real Chromium, driven as a person would: by what is on the page and by the keyboard."""

import importlib.util
import os
import shutil

import pytest

CANDIDATES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def chromium():
    """The browser; each test opens its own window in it. It ends with the module, for it runs a loop in this thread."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CANDIDATES)), None)
    if found is None or importlib.util.find_spec("playwright") is None:
        pytest.skip("no Chromium: install one (Debian: apt-get install chromium), or name it in CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def window(chromium, label_studio):
    """An annotator's browser window, logged in to Label Studio; ``window.errors`` are those of scripts on its pages."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(f"{label_studio.url}/user/login/")
    page.fill("input[name=email]", "ann@example.com")
    page.fill("input[name=password]", "password of ann")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "login" not in url)
    yield page
    context.close()
