"""Aligns the words of a reference and a hypothesis."""

from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from evaluations.scoring.normalizers import Normalizer

Op = Literal["equal", "sub", "ins", "del"]
_OPS: dict[str, Op] = {"equal": "equal", "substitute": "sub", "insert": "ins", "delete": "del"}


@dataclass(frozen=True)
class Step:
    """One word of the alignment; `ref` is empty for an insertion, `hyp` for a deletion."""

    op: Op
    ref: str
    hyp: str


def align(reference: str, hypothesis: str, normalizer: Normalizer) -> list[Step]:
    """Normalise both texts and align their words, as the scores count them."""
    import jiwer  # here, where it is needed: it takes 4 MB

    output = jiwer.process_words(normalizer(reference), normalizer(hypothesis))
    refs, hyps = output.references[0], output.hypotheses[0]
    return [
        Step(_OPS[chunk.type], ref, hyp)
        for chunk in output.alignments[0]
        for ref, hyp in zip_longest(
            refs[chunk.ref_start_idx : chunk.ref_end_idx], hyps[chunk.hyp_start_idx : chunk.hyp_end_idx], fillvalue=""
        )
    ]
