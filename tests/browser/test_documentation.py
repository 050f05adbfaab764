"""The documentation at the screen: nothing is cut off on a telephone or comes from elsewhere, and the search finds."""

import functools
import http.server
import subprocess
import sys
import threading
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PHONE = {"width": 390, "height": 844}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "built"
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)], cwd=CHECKOUT, check=True
    )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_no_page_is_wider_than_a_telephone_or_asks_elsewhere(chromium, site):
    folder, address = site
    context = chromium.new_context(viewport=PHONE)
    page, faults, asked = context.new_page(), [], []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    for path in sorted(folder.rglob("*.html")):
        page.goto(address + str(path.relative_to(folder)))
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], f"{path.name} is {width} pixels wide"
    context.close()
    assert faults == []
    assert {url for url in asked if not url.startswith((address, "data:", "blob:"))} == set()


@pytest.mark.slow
def test_the_search_finds_a_word_of_the_glossary(chromium, site):
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(site[1] + "index.html")
    page.click(".md-search__input")
    page.locator(".md-search__input").press_sequentially("prototype")
    page.wait_for_selector(".md-search-result__item a[href*='glossary.html']", timeout=30_000)
    context.close()
