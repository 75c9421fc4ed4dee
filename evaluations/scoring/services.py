"""Scores of results, written in bulk."""

from evaluations.models import Result, ResultQuerySet, Score
from evaluations.scoring.counts import count_errors
from evaluations.scoring.normalizers import Normalizer

BATCH = 500  # results scored in a transaction


def score_results(results: ResultQuerySet, normalizer: Normalizer) -> int:
    """Score those of `results` that are completed and not yet scored. Returns the number of scores written.

    It can be repeated, and run twice at once: a score is then replaced by the same one.
    """
    unscored = results.unscored(normalizer.name, normalizer.version).for_scoring().order_by("id")
    written, last_id = 0, 0
    while batch := list(unscored.filter(pk__gt=last_id)[:BATCH]):
        _write_scores(batch, normalizer)
        written, last_id = written + len(batch), batch[-1].pk
        if len(batch) < BATCH:
            break
    return written


def _write_scores(results: list[Result], normalizer: Normalizer) -> None:
    """Count errors, then write the scores in one statement: on SQLite others cannot write during a transaction."""
    counts = count_errors(
        [result.sample.reference or "" for result in results],
        [result.hypothesis for result in results],
        normalizer,
    )
    Score.objects.bulk_create(
        [
            Score(
                result=result,
                job_id=result.job_id,
                normalizer=normalizer.name,
                normalizer_version=normalizer.version,
                reference_revision=result.sample.reference_revision,
                reference_empty=not count.reference_words,
                hits=count.hits,
                substitutions=count.substitutions,
                deletions=count.deletions,
                insertions=count.insertions,
                reference_words=count.reference_words,
                character_errors=count.character_errors,
                reference_characters=count.reference_characters,
                wer=count.wer,
            )
            for result, count in zip(results, counts, strict=True)
        ],
        update_conflicts=True,
        unique_fields=["result", "normalizer", "normalizer_version"],
        update_fields=[
            "reference_revision",
            "reference_empty",
            "hits",
            "substitutions",
            "deletions",
            "insertions",
            "reference_words",
            "character_errors",
            "reference_characters",
            "wer",
        ],
    )
