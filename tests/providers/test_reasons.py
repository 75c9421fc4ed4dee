"""Reasons as people read them."""

from pathlib import Path

from providers.reasons import Reason

README = Path(__file__).resolve().parent.parent.parent / "README.md"


def test_the_readme_explains_every_reason_as_the_screens_do():
    rows = {line for line in README.read_text().splitlines() if line.startswith("| `")}
    assert [reason.value for reason in Reason if f"| `{reason.value}` | {reason.label} |" not in rows] == []
