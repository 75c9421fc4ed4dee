"""Every command and every snippet of the documentation, run page by page as a reader would, against one fresh site.

Each page has a shell and a folder of its own: it must stand by itself. Blocks that cannot be run here are preceded by
`<!-- not run: why -->`, which the rendered page does not show.
"""

import shlex
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from tests.docs.pages import DOCS, README, ROOT, blocks, pages
from tests.ops.conftest import Site, living, new_database
from tests.servers.gemini import API_KEY, GeminiServer
from tests.servers.openai import OpenAIServer
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

RUNNABLE = {"sh", "python"}
PRELUDE = """\
set -euo pipefail
curl() { command curl --fail-with-body --silent --show-error --max-time 120 "$@"; }
make() { echo "make installs into the environment that runs the tests"; return 1; }
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A site with a worker, set up in the way that the install page says, with stand-ins of the paid providers."""
    folder = tmp_path_factory.mktemp("docs")
    with GeminiServer.start() as gemini, OpenAIServer.start() as openai:
        site = Site(folder, new_database(folder))
        site.asr = openai.url
        site.environment |= {
            "GEMINI_API_KEY": API_KEY,
            "GEMINI_BASE_URL": gemini.base_url,
            "OPENAI_API_KEY": "any",
            "OPENAI_BASE_URL": openai.url,
            "ALLOW_PRIVATE_ADDRESSES": "1",  # the stand-ins are on loopback
            "SWEEP_SECONDS": "1",
            "BATCH_POLL_SECONDS": "0.2",
            "LOG_LEVEL": "WARNING",
        }
        with contextmanager(living)(site):
            site.manage("setup", check=True)
            process = site.start("serve", "--port", str(site.port))
            wait_for(lambda: process.poll() is not None or "Serving" in site.log.read_text())
            yield site


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_command_of_the_page_works(site, page, tmp_path):
    checkout = tmp_path / "earshot"
    checkout.mkdir()
    for entry in ROOT.iterdir():
        if not entry.name.startswith(".") and entry.suffix != ".sqlite3":
            (checkout / entry.name).symlink_to(entry)
    (checkout / ".venv").symlink_to(sys.prefix)
    (checkout / "run.sh").write_text(script(page, site))

    outcome = subprocess.run(
        ["bash", "run.sh"],
        cwd=checkout,
        env=site.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )

    assert outcome.returncode == 0, outcome.stdout


def script(page, site):
    """The page's blocks as one program for bash, which says where it is before each."""
    parts = [PRELUDE]
    for block in blocks(page):
        if block.language in RUNNABLE and not block.not_run:
            parts.append(f"echo {shlex.quote(f'== {block.page}, line {block.line}')}\n")
            parts.append(as_shell(block))
    text = "".join(parts)
    for documented, here in {
        "localhost:8000": f"127.0.0.1:{site.port}",
        "https://asr.example.org/v1": site.asr,
    }.items():
        text = text.replace(documented, here)
    return text


def as_shell(block):
    if block.language == "sh":
        return block.text
    return f".venv/bin/python -W error - <<'END OF SNIPPET'\n{block.text}END OF SNIPPET\n"


def test_the_site_still_works_after_all_of_it(site):
    assert httpx.get(f"http://127.0.0.1:{site.port}/readyz").status_code == 200


@pytest.mark.parametrize("page", [*sorted(DOCS.glob("*.md")), README], ids=lambda page: page.name)
def test_every_block_of_code_is_run_or_says_why_not(page):
    text = page.read_text()
    found = blocks(page)

    assert text.count("\n```") == 2 * len(found), "a block without a fence at its end, or an indented one"
    assert [block for block in found if not block.language] == []
    assert text.count("<!-- not run: ") == len([block for block in found if block.not_run]), "not right above a block"
