"""The frame around every screen."""

import pytest

from tests.browser.conftest import VIEWS
from tests.waiting import wait_for


@pytest.mark.parametrize("view", VIEWS)
def test_the_admin_opens_without_an_outside_asset_or_an_error(page):
    page.goto("/admin/")

    assert "Earshot" in page.title()


def test_a_request_to_an_outside_host_is_refused_and_told(page, problems):
    page.goto("about:blank")  # the site's own pages may not even try

    page.evaluate("fetch('https://example.org/font.woff2').catch(() => null)")

    assert any("outside host: https://example.org/font.woff2" in problem for problem in problems)
    problems.clear()


@pytest.mark.parametrize(
    "attempt",
    [
        "fetch('https://example.org/').catch(() => null)",
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = true'}))",
        "document.body.insertAdjacentHTML('beforeend', '<img src=/static/nothing.png onerror=\"window.ran = true\">')",
    ],
)
def test_a_page_runs_no_script_that_got_into_it(page, problems, attempt):
    page.goto("/admin/")

    page.evaluate(attempt)

    wait_for(lambda: page.wait_for_timeout(20) or any("Content Security Policy" in problem for problem in problems))
    assert page.evaluate("window.ran") is None
    problems.clear()


def test_somebody_who_is_not_signed_in_is_asked_to_sign_in(open_page):
    page = open_page(None)

    page.goto("/admin/")

    assert page.get_by_role("textbox", name="Username").is_visible()


def test_the_documentation_of_the_api_opens_without_an_outside_asset(open_page):
    page = open_page(None)

    page.goto("/api/docs/")

    page.get_by_text("Evaluation of speech models.").wait_for()
