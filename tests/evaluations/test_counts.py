import jiwer
import pytest

from evaluations.scoring.alignment import Step, align
from evaluations.scoring.counts import count_errors
from evaluations.scoring.normalizers import get_normalizer

raw = get_normalizer("raw")
basic = get_normalizer("basic")


def count(reference, hypothesis, normalizer=raw):
    return count_errors([reference], [hypothesis], normalizer)[0]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "wer"), [("X", "X X Y Y", 3), ("X Y X", "X Z", 2 / 3), ("X", "Y Z", 2)]
)
def test_word_error_rates_agree_with_the_published_examples(reference, hypothesis, wer):
    assert count(reference, hypothesis).wer == pytest.approx(wer)


def test_characters_are_code_points_with_spaces():
    counts = count("This is a test", "This test")
    assert (counts.character_errors, counts.reference_characters) == (5, 14)


def test_nothing_said_and_nothing_heard_is_no_error():
    counts = count("", "")
    assert (counts.insertions, counts.character_errors, counts.wer) == (0, 0, None)


def test_an_empty_hypothesis_is_all_deletions():
    counts = count("one two three", "")
    assert (counts.deletions, counts.hits, counts.wer) == (3, 0, 1.0)


def test_words_heard_in_silence_are_insertions():
    counts = count("", "some words")
    assert (counts.insertions, counts.reference_words, counts.wer) == (2, 0, None)


def test_a_reference_of_punctuation_alone_is_empty_under_basic():
    assert count("...", "", basic).reference_words == 0


def test_counts_of_a_batch_add_up_to_those_of_jiwer():
    references = ["the quick brown fox", "", "one two", "a b c d"]
    hypotheses = ["the brown fix jumps", "noise", "", "a c d e"]
    ours = count_errors(references, hypotheses, raw)
    theirs = jiwer.process_words(references, hypotheses)
    assert sum(c.substitutions for c in ours) == theirs.substitutions
    assert sum(c.deletions for c in ours) == theirs.deletions
    assert sum(c.insertions for c in ours) == theirs.insertions
    assert sum(c.hits for c in ours) == theirs.hits


def test_the_alignment_shows_each_word_beside_what_was_heard():
    assert align("Ask not, what", "ask knot what else", basic) == [
        Step("equal", "ask", "ask"),
        Step("sub", "not", "knot"),
        Step("equal", "what", "what"),
        Step("ins", "", "else"),
    ]


def test_the_alignment_of_an_empty_hypothesis_is_all_deletions():
    assert [step.op for step in align("one two", "", basic)] == ["del", "del"]
