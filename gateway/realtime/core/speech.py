"""Which text of an answer was spoken by which audio."""

from dataclasses import dataclass, field

CHARS_PER_MS = 0.015  # of usual speech, where nothing better is known


@dataclass
class Sentence:
    text: str  # with the white space that follows it
    ms: float = 0.0  # of audio sent
    whole: bool = False  # all of its audio was sent


@dataclass
class Spoken:
    """An answer's audio as it was sent."""

    sentences: list[Sentence] = field(default_factory=list)
    is_cut: bool = False  # what is sent from then on is not heard any more, and not counted

    @property
    def ms(self) -> float:
        """All audio sent."""
        return sum(sentence.ms for sentence in self.sentences)

    def begin(self, text: str) -> None:
        if not self.is_cut:
            self.end()
            self.sentences.append(Sentence(text))

    def end(self) -> None:
        if self.sentences:
            self.sentences[-1].whole = True

    def add(self, ms: float) -> None:
        if not self.sentences:
            self.begin("")
        if not self.is_cut:
            self.sentences[-1].ms += ms

    def cut(self, ms: float) -> str:
        """Keep what is heard in the first `ms`, and return its text: whole sentences, and of one that is heard in
        part as many words as fit its share of the audio. It ends where the audio does, without white space.
        """
        pace = self._pace()
        kept = []
        left = min(ms, self.ms)
        for sentence in self.sentences:
            length = sentence.ms if sentence.whole else max(sentence.ms, len(sentence.text) / pace)
            if left + 1 < length:  # a client may round down
                kept.append(Sentence(_words(sentence.text, left / length), left, whole=True))
                break
            kept.append(Sentence(sentence.text, sentence.ms, whole=True))
            left -= length
        self.sentences, self.is_cut = kept, True
        return "".join(sentence.text for sentence in kept).rstrip()

    def _pace(self) -> float:
        """Characters in a ms, by the sentences that are whole."""
        whole = [sentence for sentence in self.sentences if sentence.whole]
        ms = sum(sentence.ms for sentence in whole)
        chars = sum(len(sentence.text) for sentence in whole)
        return chars / ms if chars and ms else CHARS_PER_MS


def _words(text: str, share: float) -> str:
    """The words of the text's first `share` (0 to 1); characters, where the text has no spaces."""
    text = text.rstrip()
    end = int(len(text) * share)
    if not text[end : end + 1].strip() or len(text.split()) < 2:
        return text[:end]
    while end and not text[end - 1].isspace():
        end -= 1
    return text[:end]
