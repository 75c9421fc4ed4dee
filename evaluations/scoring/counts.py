"""Counts word and character errors of pairs of texts, by jiwer (each error costs 1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluations.scoring.normalizers import Normalizer

if TYPE_CHECKING:
    from jiwer import AlignmentChunk


@dataclass(frozen=True)
class Counts:
    """Errors of one pair: S, D, I and hits in words; S + D + I in characters (code points, spaces included)."""

    hits: int
    substitutions: int
    deletions: int
    insertions: int
    character_errors: int
    reference_characters: int

    @property
    def reference_words(self) -> int:
        return self.hits + self.substitutions + self.deletions

    @property
    def wer(self) -> float | None:
        """The word error rate of this pair alone; None for an empty reference."""
        if not self.reference_words:
            return None
        return (self.substitutions + self.deletions + self.insertions) / self.reference_words


def count_errors(references: Sequence[str], hypotheses: Sequence[str], normalizer: Normalizer) -> list[Counts]:
    """Normalise both texts of each pair and count their errors; the counts are in the order of the pairs.

    An empty reference counts every hypothesis word as inserted, an empty hypothesis every reference word as deleted.
    """
    import jiwer  # here, where it is needed: it takes 4 MB, and web servers score nothing

    refs = [normalizer(text) for text in references]
    hyps = [normalizer(text) for text in hypotheses]
    if not refs:
        return []
    by_words = jiwer.Compose([jiwer.ReduceToListOfListOfWords()])
    by_characters = jiwer.Compose([jiwer.ReduceToListOfListOfChars()])
    words = jiwer.process_words(refs, hyps, reference_transform=by_words, hypothesis_transform=by_words)
    characters = jiwer.process_characters(
        refs, hyps, reference_transform=by_characters, hypothesis_transform=by_characters
    )
    return [
        _pair_counts(word_chunks, character_chunks, len(ref))
        for word_chunks, character_chunks, ref in zip(words.alignments, characters.alignments, refs, strict=True)
    ]


def _pair_counts(
    words: "list[AlignmentChunk]", characters: "list[AlignmentChunk]", reference_characters: int
) -> Counts:
    of_words = _by_type(words)
    of_characters = _by_type(characters)
    return Counts(
        hits=of_words["equal"],
        substitutions=of_words["substitute"],
        deletions=of_words["delete"],
        insertions=of_words["insert"],
        character_errors=sum(of_characters.values()) - of_characters["equal"],
        reference_characters=reference_characters,
    )


def _by_type(chunks: "list[AlignmentChunk]") -> dict[str, int]:
    sums = {"equal": 0, "substitute": 0, "delete": 0, "insert": 0}
    for chunk in chunks:
        sums[chunk.type] += max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
    return sums
