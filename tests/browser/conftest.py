"""A real browser on the live site. It may reach nothing but the site, and a page may not log an error.

`page` is signed in as an evaluator of `workspace`; What the browser complains of lands in
`problems` and fails the test at its end: a test that provokes an error (a 404, say) reads it there and clears the list.
`@pytest.mark.parametrize("view", VIEWS)` runs a test wide and narrow, light and dark.
"""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import expect, sync_playwright

PATIENCE = 120_000  # milliseconds: machines that run tests are busy
expect.set_options(timeout=PATIENCE)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WIDE: dict[str, object] = {"viewport": {"width": 1280, "height": 900}}
NARROW: dict[str, object] = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
VIEWS = [
    pytest.param({**size, "color_scheme": scheme}, id=f"{name}-{scheme}")
    for name, size in [("wide", WIDE), ("narrow", NARROW)]
    for scheme in ["light", "dark"]
]


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="package")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright keeps an event loop in this thread; Django would refuse the tests' database access beside it.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def view():
    """Size and colour scheme of the page."""
    return {**WIDE, "color_scheme": "light"}


@pytest.fixture
def problems():
    """What the browser complained of: lines of text."""
    return []


@pytest.fixture
def evaluator(make_member):
    return make_member()


@pytest.fixture
def open_page(browser, live_server, view, problems):
    """open_page(user) -> a page in which `user` is signed in (nobody, where it is None)."""
    contexts = []

    def open_as(user):
        context = browser.new_context(base_url=live_server.url, **view)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        context.route(lambda url: not _is_of(live_server, url), lambda route: _refuse(route, problems))
        if user is not None:
            client = Client()
            client.force_login(user)
            name = settings.SESSION_COOKIE_NAME
            context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(f"page error: {error}"))
        page.on("console", lambda line: problems.append(f"console: {line.text}") if line.type == "error" else None)
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def page(open_page, evaluator):
    return open_page(evaluator)


def _is_of(live_server, url):
    return urlsplit(url).netloc == urlsplit(live_server.url).netloc


def _refuse(route, problems):
    problems.append(f"request to an outside host: {route.request.url}")
    route.abort()
