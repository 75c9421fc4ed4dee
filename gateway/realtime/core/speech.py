"""Which text of an answer was spoken by which audio."""

from dataclasses import dataclass, field

CHARS_PER_MS = 0.015  # of usual speech; used only where a sentence was cut off before any other was whole


@dataclass
class Sentence:
    text: str  # with the white space that follows it
    ms: float = 0.0  # of audio sent
    whole: bool = False  # all of its audio was sent


@dataclass
class Spoken:
    sentences: list[Sentence] = field(default_factory=list)

    @property
    def ms(self) -> float:
        """All audio sent."""
        return sum(sentence.ms for sentence in self.sentences)
