"""Splits a text that is still being written into sentences, so that the first ones can be spoken."""

import re

LONG_BEGINNING = 60  # characters after which the first piece may end at a clause: the listener waits
LONG_SENTENCE = 240  # the same for later pieces, while an earlier one is spoken
LONGEST = 400  # characters after which a piece may end at any space

# The end of a sentence: punctuation and closing quotes or brackets, then white space. At the current end of the text a
# full stop counts only after a word, as "3." may become "3.14".
END = re.compile(
    r"""[.!?\u2026]+["'\u201d\u2019)\]]*(?=\s)"""
    r"""|[\u3002\uff01\uff1f\uff0e]+["\u201d\u2019\u300d\uff09]*"""  # Chinese and Japanese, without a space
    r"""|\n+"""
)
END_SO_FAR = re.compile(r"(?:[^\W\d_]{2}\.|[!?\u2026])$")
CLAUSE = re.compile(r"[,;:\u2013\u2014](?=\s)|[\uff0c\u3001\uff1b\uff1a]|\s-(?=\s)")
ABBREVIATIONS = re.compile(
    r"\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|No|vs|etc|approx|e\.g|i\.e|z\.B|d\.h|bzw|ca|Nr|Hr|Fr|[ap]\.m|U\.S)\.$"
)
SPEAKABLE = re.compile(r"\w")


class SentenceSplitter:
    """Splits streamed text into pieces to speak; joined, they are the unchanged text."""

    def __init__(self) -> None:
        self._waiting = ""
        self._is_first = True

    def push(self, text: str) -> list[str]:
        """Add text, and return the pieces that it completes."""
        self._waiting += text
        pieces = []
        while cut := self._cut():
            pieces.append(self._waiting[:cut])
            self._waiting = self._waiting[cut:]
            self._is_first = False
        return pieces

    def rest(self) -> str:
        """Return the rest at the text's end; may be empty."""
        rest, self._waiting = self._waiting, ""
        return rest

    def _cut(self) -> int:
        """Return the length of the next piece; 0: it is not complete."""
        for end in END.finditer(self._waiting):
            if self._can_end_at(end.end()):
                return end.end()
        if END_SO_FAR.search(self._waiting) and self._can_end_at(len(self._waiting)):
            return len(self._waiting)
        return self._clause()

    def _can_end_at(self, end: int) -> bool:
        text = self._waiting[:end]
        return bool(SPEAKABLE.search(text)) and not ABBREVIATIONS.search(text)

    def _clause(self) -> int:
        shortest = LONG_BEGINNING if self._is_first else LONG_SENTENCE
        if len(self._waiting) < shortest:
            return 0
        clause = max((clause.end() for clause in CLAUSE.finditer(self._waiting)), default=0)
        if clause or len(self._waiting) < LONGEST:
            return clause
        return self._waiting.rfind(" ") + 1 or len(self._waiting)


def is_speakable(text: str) -> bool:
    """Whether the text contains a letter or a digit: synthesizers fail on "..." alone."""
    return bool(SPEAKABLE.search(text))
