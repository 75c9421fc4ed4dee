"""Runs and results, as the REST API takes and gives them."""

from collections.abc import Callable, Sequence
from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.api.serializers import StrictMixin
from datasets.models import Dataset
from evaluations.models import Attempt, Batch, Job, Result, Run
from evaluations.progress import JobProgress
from evaluations.provider_state import Files
from evaluations.scoring.leaderboard import Leaderboard, Row
from evaluations.scoring.normalizers import DEFAULT, NORMALIZERS
from evaluations.services import MODES
from providers.models import SpeechModel

NORMALIZER_NAMES = sorted({normalizer.name for normalizer in NORMALIZERS})


class RunInput(StrictMixin):
    """Of the workspace in the context. Validated: `dataset` and `models` are the objects."""

    dataset = serializers.IntegerField(help_text="Id of the dataset.")
    models = serializers.ListField(
        child=serializers.CharField(), allow_empty=False, help_text="Public names: provider/name."
    )
    name = serializers.CharField(required=False, max_length=200, help_text="Made from the dataset's name without one.")
    prompt = serializers.CharField(
        required=False, allow_blank=True, help_text="For models that take one; without it their provider's default."
    )
    language = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=35,
        help_text="BCP-47. Models that take a hint are told it by name; without it each sample's, or the dataset's.",
    )
    normalizer = serializers.ChoiceField(choices=NORMALIZER_NAMES, required=False, default=DEFAULT)
    mode = serializers.ChoiceField(
        choices=MODES,
        required=False,
        default="auto",
        help_text="batch: many samples in one job at the provider, at half the price of tokens; direct: one call a "
        "sample, answered at once; auto: batch for models that have it, direct for the others.",
    )

    def validate_dataset(self, pk: int) -> Dataset:
        dataset: Dataset | None = Dataset.objects.for_workspace(self.context["workspace"]).filter(pk=pk).first()
        if dataset is None:
            raise serializers.ValidationError(f"There is no dataset {pk}.")
        return dataset

    def validate_models(self, names: list[str]) -> list[SpeechModel]:
        here = SpeechModel.objects.for_workspace(self.context["workspace"]).select_related("provider")
        known = {model.public_name: model for model in here}
        unknown = [name for name in names if name not in known]
        if unknown:
            listed = ", ".join(sorted(known)) or "none yet"
            raise serializers.ValidationError([f"There is no model {name!r}. Known: {listed}." for name in unknown])
        return [known[name] for name in names]


class NormalizerInput(StrictMixin):
    normalizer = serializers.ChoiceField(choices=NORMALIZER_NAMES)


class NormalizerSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    version = serializers.IntegerField()
    description = serializers.CharField()


class CountsSerializer(serializers.Serializer[Any]):
    """Results by state: pending + completed + failed + cancelled = total."""

    total = serializers.IntegerField()
    pending = serializers.IntegerField()
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()


class RowSerializer(CountsSerializer):
    """One model of a run. Rates are corpus rates (sums over sums), as fractions; null where nothing was scored."""

    model = serializers.CharField(source="model_name")
    status = serializers.CharField()
    failures_by_reason = serializers.DictField(child=serializers.IntegerField())
    empty_outputs = serializers.IntegerField(help_text="Completed, but the model answered with no text.")
    scored = serializers.IntegerField(help_text="Results that the rates are made from.")
    without_reference = serializers.IntegerField(help_text="Completed, but nothing to compare with.")
    empty_references = serializers.IntegerField(help_text="Nothing is said in these; in no rate.")
    empty_references_with_output = serializers.IntegerField()
    wer = serializers.FloatField(allow_null=True)
    cer = serializers.FloatField(allow_null=True)
    mean_wer = serializers.FloatField(allow_null=True, help_text="Mean of the samples' own rates.")
    hits = serializers.IntegerField()
    substitutions = serializers.IntegerField()
    deletions = serializers.IntegerField()
    insertions = serializers.IntegerField()
    reference_words = serializers.IntegerField()
    character_errors = serializers.IntegerField()
    reference_characters = serializers.IntegerField()
    rtfx = serializers.FloatField(allow_null=True, help_text="Seconds of audio per second of processing.")
    audio_seconds = serializers.FloatField()
    processing_seconds = serializers.FloatField()
    latency_p50 = serializers.FloatField(allow_null=True, help_text="seconds")
    latency_p95 = serializers.FloatField(allow_null=True, help_text="seconds")
    input_tokens = serializers.IntegerField(allow_null=True, help_text="null: the provider counts none.")
    output_tokens = serializers.IntegerField(allow_null=True)
    cost_usd = serializers.DecimalField(
        max_digits=20, decimal_places=8, allow_null=True, help_text="null: unknown for at least one result."
    )
    retries = serializers.IntegerField(help_text="Calls that were made again; their time is in no latency.")


class LeaderboardSerializer(serializers.Serializer[Leaderboard]):
    normalizer = NormalizerSerializer()
    rows = RowSerializer(many=True, help_text="Best WER first; models without one last.")


class RunSerializer(serializers.ModelSerializer[Run]):
    """Of a run with its jobs."""

    models = serializers.SerializerMethodField()
    counts = serializers.SerializerMethodField()

    class Meta:
        model = Run
        fields = [
            "id",
            "name",
            "dataset",
            "status",
            "models",
            "counts",
            "normalizer",
            "normalizer_version",
            "options",
            "created_at",
            "started_at",
            "finished_at",
        ]

    def get_models(self, run: Run) -> list[str]:
        return [job.model_name for job in run.jobs.all()]

    @extend_schema_field(CountsSerializer)
    def get_counts(self, run: Run) -> dict[str, int]:
        jobs = list(run.jobs.all())
        return _sums(jobs, lambda job: job.total - job.completed - job.failed - job.cancelled)


class BatchSerializer(serializers.ModelSerializer[Batch]):
    """A batch job at the provider."""

    part = serializers.SerializerMethodField(help_text="Which part of the samples: 1 is the first.")
    number = serializers.IntegerField(help_text="1, and one more for each retry of that part's failed results.")
    output_kept = serializers.SerializerMethodField(help_text="Its result file is kept: it can be collected again.")
    problems = serializers.DictField(
        child=serializers.IntegerField(), help_text="Lines of the result file that are no result's, by what is wrong."
    )

    class Meta:
        model = Batch
        fields = [
            "part",
            "number",
            "state",
            "display_name",
            "remote_name",
            "remote_state",
            "waiting_for",
            "error",
            "problems",
            "output_kept",
            "submitted_at",
            "deadline_at",
            "ended_at",
        ]

    def get_part(self, batch: Batch) -> int:
        return batch.shard.index + 1

    def get_output_kept(self, batch: Batch) -> bool:
        return bool(batch.output)


class FilesSerializer(serializers.Serializer[Files]):
    """Files that the run has put at its providers: alive + gone = total."""

    total = serializers.IntegerField()
    alive = serializers.IntegerField(help_text="Are there, or may be.")
    gone = serializers.IntegerField(help_text="Deleted, or expired.")
    deletion_failures = serializers.IntegerField(help_text="Of those alive: deleting failed so far, and is repeated.")
    deletion_errors = serializers.ListField(child=serializers.CharField(), help_text="What was said of these, a few.")


class JobSerializer(serializers.ModelSerializer[Job]):
    """Of a job in the context of RunDetailSerializer."""

    model = serializers.CharField(source="model_name")
    stage = serializers.SerializerMethodField(help_text="What is being done; empty where nothing is.")
    waiting_for = serializers.SerializerMethodField(help_text="Why it does not go on, such as a quota.")
    batches = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields = [
            "model",
            "status",
            "stage",
            "waiting_for",
            "prompt",
            "error",
            "batches",
            "started_at",
            "finished_at",
        ]

    def get_stage(self, job: Job) -> str:
        return self._progress(job).stage

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_waiting_for(self, job: Job) -> list[str]:
        return self._progress(job).waiting_for

    @extend_schema_field(BatchSerializer(many=True))
    def get_batches(self, job: Job) -> Any:
        return BatchSerializer(self.context["batches"].get(job.pk, []), many=True).data

    def _progress(self, job: Job) -> JobProgress:
        parts: list[JobProgress] = self.context["progress"].jobs
        return next(part for part in parts if part.name == job.model_name)


class RunDetailSerializer(RunSerializer):
    """Of a run with its jobs. The context holds its leaderboard, progress, batches and files: all counts are of the
    results themselves, as they are now."""

    jobs = JobSerializer(many=True)
    files = serializers.SerializerMethodField(help_text="At its providers.")
    results = serializers.SerializerMethodField(help_text="By model: counts that add up, metrics, tokens, cost.")
    cost_usd = serializers.SerializerMethodField(help_text="Of all models; null: unknown for at least one.")
    seconds_elapsed = serializers.SerializerMethodField(help_text="null: not begun.")
    seconds_left = serializers.SerializerMethodField(help_text="By the pace so far; null: not known, or over.")

    class Meta(RunSerializer.Meta):
        fields = [*RunSerializer.Meta.fields, "jobs", "files", "results", "cost_usd", "seconds_elapsed", "seconds_left"]

    @extend_schema_field(CountsSerializer)
    def get_counts(self, run: Run) -> dict[str, int]:
        return _sums(self.context["board"].rows, lambda row: row.pending)

    @extend_schema_field(FilesSerializer)
    def get_files(self, run: Run) -> Any:
        return FilesSerializer(self.context["files"]).data

    @extend_schema_field(RowSerializer(many=True))
    def get_results(self, run: Run) -> Any:
        return RowSerializer(self.context["board"].rows, many=True).data

    @extend_schema_field(serializers.DecimalField(max_digits=20, decimal_places=8, allow_null=True))
    def get_cost_usd(self, run: Run) -> str | None:
        costs = [row.cost_usd for row in self.context["board"].rows]
        return None if None in costs else f"{sum(costs):.8f}"

    def get_seconds_elapsed(self, run: Run) -> float | None:
        seconds: float | None = self.context["progress"].seconds_elapsed
        return seconds

    def get_seconds_left(self, run: Run) -> float | None:
        seconds: float | None = self.context["progress"].seconds_left
        return seconds


class AttemptSerializer(serializers.ModelSerializer[Attempt]):
    class Meta:
        model = Attempt
        fields = ["number", "reason", "error", "latency", "input_tokens", "output_tokens", "cost_usd", "created_at"]


class ResultSerializer(serializers.ModelSerializer[Result]):
    """Of a result `with_details`. The counts and `wer` are under the run's normaliser, null where it is not scored."""

    model = serializers.CharField(source="job.model_name")
    key = serializers.CharField(source="sample.key")
    reference = serializers.CharField(source="sample.reference", allow_null=True)
    language = serializers.SerializerMethodField()
    tags = serializers.DictField(source="sample.tags")
    wer = serializers.FloatField(allow_null=True, help_text="Of this sample alone.")
    hits = serializers.IntegerField(allow_null=True)
    substitutions = serializers.IntegerField(allow_null=True)
    deletions = serializers.IntegerField(allow_null=True)
    insertions = serializers.IntegerField(allow_null=True)
    reference_words = serializers.IntegerField(allow_null=True)
    retries = serializers.IntegerField(help_text="Calls that were made again; their time is not in the latency.")
    earlier_cost_usd = serializers.DecimalField(
        max_digits=20,
        decimal_places=8,
        allow_null=True,
        help_text="Of answers that failed before the result was tried again; null: there were none.",
    )
    audio_url = serializers.SerializerMethodField()

    class Meta:
        model = Result
        fields = [
            "id",
            "run",
            "model",
            "sample",
            "key",
            "status",
            "reason",
            "error",
            "reference",
            "hypothesis",
            "language",
            "tags",
            "wer",
            "hits",
            "substitutions",
            "deletions",
            "insertions",
            "reference_words",
            "audio_seconds",
            "latency",
            "retries",
            "input_tokens",
            "output_tokens",
            "cost_usd",
            "earlier_cost_usd",
            "attempts",
            "finished_at",
            "audio_url",
        ]

    def get_language(self, result: Result) -> str:
        return result.sample.language or result.sample.dataset.language

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_audio_url(self, result: Result) -> str | None:
        if result.sample.audio_id is None:
            return None
        url: str = self.context["request"].build_absolute_uri(reverse("result-audio", args=[result.pk]))
        return url


class ResultDetailSerializer(ResultSerializer):
    failed_attempts = AttemptSerializer(many=True, help_text="Calls that did not succeed.")

    class Meta(ResultSerializer.Meta):
        fields = [*ResultSerializer.Meta.fields, "failed_attempts"]


class StepSerializer(serializers.Serializer[Any]):
    """One word of an alignment; `ref` is empty for an insertion, `hyp` for a deletion."""

    op = serializers.ChoiceField(choices=["equal", "sub", "ins", "del"])
    ref = serializers.CharField(allow_blank=True)
    hyp = serializers.CharField(allow_blank=True)


def _sums(parts: Sequence[Job] | Sequence[Row], pending: Callable[[Any], int]) -> dict[str, int]:
    """The counts of a run from those of its models."""
    return {
        "total": sum(part.total for part in parts),
        "pending": sum(pending(part) for part in parts),
        "completed": sum(part.completed for part in parts),
        "failed": sum(part.failed for part in parts),
        "cancelled": sum(part.cancelled for part in parts),
    }
