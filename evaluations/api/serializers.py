"""Runs and results, as the REST API takes and gives them."""

from collections.abc import Callable, Sequence
from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.api.serializers import StrictMixin
from datasets.models import Dataset
from evaluations.models import Attempt, Job, Result, Run
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
    prompt = serializers.CharField(required=False, allow_blank=True, help_text="For models that take one.")
    language = serializers.CharField(
        required=False, allow_blank=True, max_length=35, help_text="BCP-47; the samples' own without one."
    )
    normalizer = serializers.ChoiceField(choices=NORMALIZER_NAMES, required=False, default=DEFAULT)
    mode = serializers.ChoiceField(choices=MODES, required=False, default="auto")

    def validate_dataset(self, pk: int) -> Dataset:
        dataset = Dataset.objects.for_workspace(self.context["workspace"]).filter(pk=pk).first()
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
    cost_usd = serializers.DecimalField(
        max_digits=20, decimal_places=8, allow_null=True, help_text="null: unknown for at least one result."
    )


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


class JobSerializer(serializers.ModelSerializer[Job]):
    model = serializers.CharField(source="model_name")

    class Meta:
        model = Job
        fields = ["model", "status", "stage", "error", "started_at", "finished_at"]


class RunDetailSerializer(RunSerializer):
    """Of a run with its jobs. The context holds its leaderboard and progress: all counts are of the results
    themselves, as they are now."""

    jobs = JobSerializer(many=True)
    results = serializers.SerializerMethodField(help_text="By model: counts that add up, metrics, cost.")
    cost_usd = serializers.SerializerMethodField(help_text="Of all models; null: unknown for at least one.")
    seconds_elapsed = serializers.SerializerMethodField(help_text="null: not begun.")
    seconds_left = serializers.SerializerMethodField(help_text="By the pace so far; null: not known, or over.")

    class Meta(RunSerializer.Meta):
        fields = [*RunSerializer.Meta.fields, "jobs", "results", "cost_usd", "seconds_elapsed", "seconds_left"]

    @extend_schema_field(CountsSerializer)
    def get_counts(self, run: Run) -> dict[str, int]:
        return _sums(self.context["board"].rows, lambda row: row.pending)

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
        fields = ["number", "reason", "error", "latency", "created_at"]


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
            "cost_usd",
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
