"""Named, versioned text normalisers.

A normaliser's steps never change under its name and version: a score says which one made it, so a changed
normaliser is a new version beside the old one. Raw texts are never altered.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from core.errors import InvalidInput


class UnknownNormalizer(InvalidInput):
    """There is no normaliser of that name and version."""

    field = "normalizer"


@dataclass(frozen=True)
class Normalizer:
    """A callable that turns a text into the form that is scored: words separated by single spaces."""

    name: str
    version: int
    description: str
    steps: Callable[[str], str]

    def __call__(self, text: str) -> str:
        return " ".join(self.steps(text).split())

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


_APOSTROPHES = re.compile("[\u2018\u2019\u02bc\uff07`\u00b4]")
# Punctuation that stays: an apostrophe inside a word, a point or comma inside a number. The pattern begins with the
# character itself and looks around afterwards, so that the search is fast.
_KEPT_PUNCTUATION = re.compile(r"['.,](?:(?<=\w')(?=\w)|(?<=\d[.,])(?=\d))")


class _Spaced(dict[int, int]):
    """For `str.translate`: punctuation, symbols and control characters (Unicode categories P, S and C) become spaces.
    Each character's category is looked up once."""

    def __missing__(self, code: int) -> int:
        self[code] = ord(" ") if unicodedata.category(chr(code))[0] in "PSC" else code
        return self[code]


_spaced = _Spaced()


def _basic(text: str) -> str:
    """Lower case; no punctuation or symbols. Marks (Unicode category M) stay: Indic words are spelt with them."""
    text = _APOSTROPHES.sub("'", unicodedata.normalize("NFC", text)).lower()
    chars = list(text.translate(_spaced))
    for match in _KEPT_PUNCTUATION.finditer(text):
        chars[match.start()] = match[0]
    return "".join(chars)


NORMALIZERS = [
    Normalizer("raw", 1, "The text as it is; only white space is folded.", lambda text: text),
    Normalizer(
        "basic",
        1,
        "Unicode NFC, lower case, punctuation and symbols become spaces (apostrophes inside words and points or "
        "commas inside numbers stay), white space is folded. For any language.",
        _basic,
    ),
]
DEFAULT = "basic"


def get_normalizer(name: str, version: int | None = None) -> Normalizer:
    """Return the normaliser `name` at `version`, or at its newest. Raises UnknownNormalizer."""
    found = [n for n in NORMALIZERS if n.name == name and version in (None, n.version)]
    if not found:
        known = ", ".join(sorted({n.name for n in NORMALIZERS}))
        raise UnknownNormalizer(f"There is no normaliser {name!r}. Known: {known}.")
    return max(found, key=lambda n: n.version)
