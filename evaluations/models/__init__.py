"""The rows of evaluations."""

from evaluations.models.remote import Batch, BatchQuerySet, Upload, UploadQuerySet
from evaluations.models.results import Attempt, Result, ResultQuerySet, Score, ScoreQuerySet
from evaluations.models.runs import Job, JobQuerySet, Run, RunQuerySet
from evaluations.models.shards import Shard, ShardQuerySet

__all__ = [
    "Attempt",
    "Batch",
    "BatchQuerySet",
    "Job",
    "JobQuerySet",
    "Result",
    "ResultQuerySet",
    "Run",
    "RunQuerySet",
    "Score",
    "ScoreQuerySet",
    "Shard",
    "ShardQuerySet",
    "Upload",
    "UploadQuerySet",
]
