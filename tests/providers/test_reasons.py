"""Reasons as people read them."""

import re
from pathlib import Path

import pytest

from providers.reasons import Reason

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "evaluate.md"


def test_the_documentation_explains_every_reason_as_the_screens_do():
    section = PAGE.read_text().partition("## Why a result failed\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{reason.value}` | {reason.label} |" for reason in Reason]


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_says_what_happened_and_what_to_do(reason):
    sentences = [part for part in re.split(r"(?<=[.:;?])\s+", reason.label) if part]
    assert len(sentences) >= 2
    assert reason.label.endswith(".")
