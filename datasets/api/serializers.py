"""Datasets, samples and imports, as the REST API takes and gives them."""

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.api.serializers import StrictMixin
from datasets.models import Audio, Dataset, Import, ImportLine, ReferenceRevision, Sample

PROBLEMS_SHOWN = 100


class ReferenceField(serializers.CharField):
    """What is said, to the letter. null: unknown, not scored. Empty: nothing is said."""

    def __init__(self) -> None:
        super().__init__(
            required=False, allow_null=True, allow_blank=True, trim_whitespace=False, help_text=self.__doc__
        )


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {
            "oneOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}],
        },
        "example": {"speaker": "anna", "noise": "street"},
    }
)
class TagsField(serializers.JSONField):
    """Names with a text, a number or a truth value; in a form, as JSON."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        tags = super().to_internal_value(data)
        if not isinstance(tags, dict):
            raise serializers.ValidationError('Give an object, such as {"speaker": "anna"}.')
        return tags


class DatasetSerializer(StrictMixin, serializers.ModelSerializer[Dataset]):
    """Of a dataset with totals."""

    sample_count = serializers.IntegerField(source="totals.sample_count", read_only=True)
    audio_seconds = serializers.FloatField(source="totals.audio_seconds", read_only=True)
    audio_hours = serializers.FloatField(source="totals.audio_hours", read_only=True)
    reference_count = serializers.IntegerField(
        source="totals.reference_count", read_only=True, help_text="Samples whose reference is known."
    )
    reference_share = serializers.FloatField(
        source="totals.reference_share", read_only=True, allow_null=True, help_text="0 to 1; null without samples."
    )

    class Meta:
        model = Dataset
        fields = [
            "id",
            "name",
            "task",
            "language",
            "description",
            "created_at",
            "sample_count",
            "audio_seconds",
            "audio_hours",
            "reference_count",
            "reference_share",
        ]
        read_only_fields = ["id", "created_at"]


class DatasetChangeSerializer(StrictMixin, serializers.ModelSerializer[Dataset]):
    """A dataset's task stays as it is: its samples are of that task."""

    class Meta:
        model = Dataset
        fields = ["name", "language", "description"]


class AudioSerializer(serializers.ModelSerializer[Audio]):
    class Meta:
        model = Audio
        fields = ["duration", "sample_rate", "channels", "codec", "container", "mime_type", "size", "sha256"]


class SampleSerializer(serializers.ModelSerializer[Sample]):
    audio = AudioSerializer(allow_null=True, read_only=True)
    audio_url = serializers.SerializerMethodField()
    tags = TagsField()

    class Meta:
        model = Sample
        fields = [
            "id",
            "dataset",
            "key",
            "text",
            "reference",
            "reference_revision",
            "language",
            "tags",
            "is_duplicate",
            "created_at",
            "audio",
            "audio_url",
        ]

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_audio_url(self, sample: Sample) -> str | None:
        if sample.audio_id is None:
            return None
        url: str = self.context["request"].build_absolute_uri(reverse("sample-audio", args=[sample.pk]))
        return url


class SampleDetailSerializer(SampleSerializer):
    peaks = serializers.SerializerMethodField(help_text="Waveform: the loudest sample of each bin, 0 to 255.")

    class Meta(SampleSerializer.Meta):
        fields = [*SampleSerializer.Meta.fields, "peaks"]

    @extend_schema_field(serializers.ListField(child=serializers.IntegerField(), allow_null=True))
    def get_peaks(self, sample: Sample) -> list[int] | None:
        return list(bytes(sample.audio.peaks)) if sample.audio else None


class SampleInput(StrictMixin):
    """What every new sample may say of itself."""

    key = serializers.CharField(
        required=False, max_length=300, help_text="Unique in the dataset; without one it is made from the file's name."
    )
    reference = ReferenceField()
    language = serializers.CharField(
        required=False, allow_blank=True, max_length=35, help_text="BCP-47, where it is not the dataset's."
    )
    tags = TagsField(required=False)


class AudioSampleInput(SampleInput):
    audio = serializers.FileField(max_length=None, allow_empty_file=True)  # what is empty, the intake refuses


class TextSampleInput(SampleInput):
    text = serializers.CharField(help_text="What is to be spoken.")


class SampleChange(StrictMixin):
    reference = ReferenceField()
    language = serializers.CharField(required=False, allow_blank=True, max_length=35)
    tags = TagsField(required=False)


class RevisionSerializer(serializers.ModelSerializer[ReferenceRevision]):
    replaced_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True, allow_null=True)

    class Meta:
        model = ReferenceRevision
        fields = ["number", "reference", "replaced_by", "replaced_at"]


class ImportInput(StrictMixin):
    """Exactly one file."""

    archive = serializers.FileField(required=False, allow_empty_file=True, help_text="zip, with or without a manifest")
    manifest = serializers.FileField(required=False, allow_empty_file=True, help_text="csv or jsonl")
    skip_bad = serializers.BooleanField(
        required=False, default=False, help_text="Leave bad lines out instead of refusing everything."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("archive" in attrs) == ("manifest" in attrs):
            raise serializers.ValidationError("Give one file: archive (zip) or manifest (csv, jsonl).")
        return attrs


class ProblemSerializer(serializers.ModelSerializer[ImportLine]):
    line = serializers.IntegerField(source="number")
    message = serializers.CharField(source="problem")

    class Meta:
        model = ImportLine
        fields = ["line", "name", "message"]


class ImportSerializer(serializers.ModelSerializer[Import]):
    class Meta:
        model = Import
        fields = [
            "id",
            "dataset",
            "status",
            "source_name",
            "skip_bad",
            "total",
            "done",
            "bad",
            "error",
            "created_at",
            "finished_at",
        ]


class ImportDetailSerializer(ImportSerializer):
    problems = serializers.SerializerMethodField(
        help_text=f"The first {PROBLEMS_SHOWN}; `bad` says how many there are, imports/{{id}}/problems/ has them all."
    )

    class Meta(ImportSerializer.Meta):
        fields = [*ImportSerializer.Meta.fields, "problems"]

    @extend_schema_field(ProblemSerializer(many=True))
    def get_problems(self, parent: Import) -> list[dict[str, Any]]:
        return list(ProblemSerializer(parent.lines.exclude(problem="")[:PROBLEMS_SHOWN], many=True).data)
