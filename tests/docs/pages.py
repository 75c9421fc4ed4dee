"""The pages of the documentation, and the code in them."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"

_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<why>[^\n]+) -->\n)?^```(?P<language>[a-z]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """Code between fences."""

    page: str
    line: int  # of its first line of code
    language: str
    text: str
    not_run: str  # why it cannot be run in a test; empty: it is


def pages():
    """The Markdown files in the order of the site's navigation, the README first."""
    return [README, *(DOCS / name for entry in _navigation() for name in entry.values())]


def _navigation():
    # The file has tags for Python objects in some sites; ours is plain YAML.
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]


def blocks(page):
    text = page.read_text()
    return [
        Block(
            page=page.name,
            line=text.count("\n", 0, found.start("text")) + 1,
            language=found["language"],
            text=found["text"],
            not_run=found["why"] or "",
        )
        for found in _BLOCK.finditer(text)
    ]


def section(page, heading):
    """What stands under a second-level heading."""
    return page.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
