"""What is written of settings outside of config/settings.py says the same as it does."""

import ast
import re

import pytest

from tests.docs.pages import DOCS, ROOT, section
from tests.ops.conftest import Site

SETTINGS = ROOT / "config" / "settings.py"
EXAMPLE = ROOT / ".env.example"
ASSIGNMENT = re.compile(r"^(?:# )?([A-Z][A-Z0-9_]*)=(.*)$")
# Defaults that depend on where the site is.
COMPUTED = {"DATABASE_URL": "sqlite:///earshot.sqlite3", "MEDIA_ROOT": "media"}


def read_by_settings():
    """{name: default as one would write it in a file} of everything that config/settings.py reads."""
    found = {}
    for node in ast.walk(ast.parse(SETTINGS.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id == "env":
                name = ast.literal_eval(node.args[0])
                [default] = [keyword.value for keyword in node.keywords if keyword.arg == "default"]
                found[name] = COMPUTED.get(name) or as_written(ast.literal_eval(default))
    return found


def as_written(default):
    if isinstance(default, list):
        return ",".join(default)
    if isinstance(default, bool):
        return str(int(default))
    return "" if default is None else str(default)


def given_in_example():
    found = [ASSIGNMENT.match(line) for line in EXAMPLE.read_text().splitlines()]
    return {match[1]: match[2] for match in found if match}


def test_the_example_has_every_setting_with_its_default_and_no_other():
    assert given_in_example() == read_by_settings()


def test_the_example_says_a_line_about_each_setting():
    for block in EXAMPLE.read_text().strip().split("\n\n"):
        lines = block.splitlines()
        assert lines[0].startswith("# "), block
        assert not ASSIGNMENT.match(lines[0]), block


def test_a_copy_of_the_example_with_a_key_is_a_site_that_works(tmp_path):
    site = Site(tmp_path, f"sqlite:///{tmp_path}/site.sqlite3")
    (tmp_path / ".env").write_text(EXAMPLE.read_text().replace("SECRET_KEY=\n", "SECRET_KEY=of-this-test\n"))

    assert site.manage("check").stdout == "System check identified no issues (0 silenced).\n"


def test_the_page_for_operators_has_every_setting_and_no_other():
    rows = [line for line in section(DOCS / "operate.md", "Settings").splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", row.split("|")[1])}

    assert named == set(read_by_settings())


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_no_page_names_a_setting_that_is_not_there(page):
    named = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`", page.read_text()))

    assert named - set(read_by_settings()) <= {
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),  # boto3 reads them
        "FORWARDED_ALLOW_IPS",  # uvicorn reads it
        *("POSTGRES_PASSWORD", "STORAGE_USER", "STORAGE_PASSWORD"),  # compose.yaml reads them
    }
