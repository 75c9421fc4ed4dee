"""The documentation as a site: built without a warning, whole, and without anything from elsewhere."""

import os
import re
import subprocess
import sys

import pytest

from tests.docs.pages import DOCS, README, ROOT

EXTERNAL = re.compile(r"""<(?:script|img|link|iframe)\b[^>]*?\b(?:src|href)=["']?(https?:)?//[^>]*>""")
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    outcome = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert outcome.returncode == 0, outcome.stderr
    return folder


def test_every_page_is_built(built):
    assert {path.stem for path in DOCS.glob("*.md")} <= {path.stem for path in built.glob("*.html")}


def test_the_site_loads_nothing_from_elsewhere(built):
    for page in built.rglob("*.html"):
        assert EXTERNAL.findall(page.read_text()) == [], page
    for style in built.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", style.read_text()) == [], style


def test_why_a_block_is_not_run_is_not_shown(built):
    page = (built / "install.html").read_text()

    assert "not run:" not in re.sub(r"<!--.*?-->", "", page, flags=re.DOTALL)


def anchors(page):
    """What its headings can be linked by."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_of_files_beside_the_site_lead_somewhere(name):
    for link in LINK.findall((ROOT / name).read_text()):
        if not link.startswith("http"):
            path, _, anchor = link.partition("#")
            assert (ROOT / path).exists(), link
            assert not anchor or anchor in anchors(ROOT / path), link


def test_the_readme_is_short_and_leads_to_every_page():
    text = README.read_text()

    assert len(text.splitlines()) <= 150
    assert {f"docs/{path.name}" for path in DOCS.glob("*.md")} - {"docs/index.md"} <= set(LINK.findall(text))
