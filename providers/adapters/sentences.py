"""Text in sentences, so that the first can be spoken while the next is made."""

import re

LONGEST = 300  # characters: a text without any stop is cut at a space

# After a stop (with closing quotes) and white space, after a stop of a script without spaces, or at a line's end.
_END = re.compile(r"(?<=[.!?\u2026])[\"'\u201d\u2019\u00bb)\]]*\s+|(?<=[\u3002\uff01\uff1f])|\n+")


def sentences(text: str) -> list[str]:
    """What is said in `text`, in order; nothing where nothing in it can be said."""
    pieces = [piece for sentence in _END.split(text) for piece in _cut(sentence.strip())]
    return [piece for piece in pieces if re.search(r"\w", piece)]


def _cut(sentence: str) -> list[str]:
    pieces = []
    while len(sentence) > LONGEST:
        at = sentence.rfind(" ", 1, LONGEST) + 1 or LONGEST
        pieces.append(sentence[:at].strip())
        sentence = sentence[at:].strip()
    return [*pieces, sentence]
