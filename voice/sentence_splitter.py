"""Where a text that is still being written can be cut, so that its beginning is spoken already."""

import re

LONG_BEGINNING = 60  # characters without an end of a sentence after which a clause will do: the listener waits
LONG_SENTENCE = 240  # the same further on, where something is being spoken meanwhile
LONGEST = 400  # characters after which a space between words will do

# An end of a sentence: marks with what closes behind them, then space. Where the text ends so far, a full stop counts
# only after a word, as "3." may become "3.14".
END = re.compile(
    r"""[.!?\u2026]+["'\u201d\u2019)\]]*(?=\s)"""
    r"""|[\u3002\uff01\uff1f\uff0e]+["\u201d\u2019\u300d\uff09]*"""  # of Chinese and Japanese: no space follows
    r"""|\n+"""
)
END_SO_FAR = re.compile(r"(?:[^\W\d_]{2}\.|[!?\u2026])$")
CLAUSE = re.compile(r"[,;:\u2013\u2014](?=\s)|[\uff0c\u3001\uff1b\uff1a]|\s-(?=\s)")
ABBREVIATIONS = re.compile(
    r"\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|No|vs|etc|approx|e\.g|i\.e|z\.B|d\.h|bzw|ca|Nr|Hr|Fr|[ap]\.m|U\.S)\.$"
)
SPEAKABLE = re.compile(r"\w")


class SentenceSplitter:
    """Takes a text as it comes and gives it back, unchanged, in pieces that sound right one by one."""

    def __init__(self) -> None:
        self._waiting = ""
        self._is_first = True

    def push(self, text: str) -> list[str]:
        """The pieces that are whole now."""
        self._waiting += text
        pieces = []
        while cut := self._cut():
            pieces.append(self._waiting[:cut])
            self._waiting = self._waiting[cut:]
            self._is_first = False
        return pieces

    def rest(self) -> str:
        """What is left at the text's end; may be empty."""
        rest, self._waiting = self._waiting, ""
        return rest

    def _cut(self) -> int:
        """How much of what waits can be spoken; 0: nothing yet."""
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
    """Whether there is a letter or a digit in it: voices fail on "..." alone."""
    return bool(SPEAKABLE.search(text))
