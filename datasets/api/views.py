"""Datasets, their samples and imports, over REST."""

from typing import Any

from django.db import transaction
from django.db.models import Model, QuerySet
from django.http.response import HttpResponseBase
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.generics import get_object_or_404
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from accounts.api.permissions import access_of
from core.api.pagination import CursorPagination, OldestFirst
from core.api.parsers import JSONParser, LenientNegotiation, MultiPartParser
from datasets import services
from datasets.api.filters import DatasetFilter, SampleFilter
from datasets.api.serializers import (
    AudioSampleInput,
    DatasetChangeSerializer,
    DatasetSerializer,
    ImportDetailSerializer,
    ImportInput,
    ImportSerializer,
    ProblemSerializer,
    RevisionSerializer,
    SampleChange,
    SampleDetailSerializer,
    SampleSerializer,
    TextSampleInput,
)
from datasets.audio_response import audio_response
from datasets.export_response import EXPORT_TYPES, export_response
from datasets.models import Dataset, Import, ImportLine, ReferenceRevision, Sample, Task
from datasets.totals import with_totals


def dataset_of(request: Request, pk: int) -> Dataset:
    """The dataset `pk` of the workspace that asks; 404 for any other."""
    dataset: Dataset = get_object_or_404(Dataset.objects.for_workspace(access_of(request).workspace), pk=pk)
    return dataset


class RowsViewSet(GenericViewSet[Any]):
    """Shows `rows()` of its model: what the workspace that asks may know of."""

    model: type[Model]

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):  # the schema is made with nobody asking
            return self.model._default_manager.none()
        return self.rows()

    def rows(self) -> QuerySet[Any]:
        raise NotImplementedError


class LineOrder(CursorPagination):
    ordering = "number"


class RevisionOrder(CursorPagination):
    ordering = "-number"


class DatasetViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, RowsViewSet):
    model = Dataset
    serializer_class = DatasetSerializer
    filterset_class = DatasetFilter

    def rows(self) -> QuerySet[Dataset]:
        return Dataset.objects.for_workspace(access_of(self.request).workspace)

    def paginate_queryset(self, queryset: Any) -> list[Any] | None:
        return with_totals(super().paginate_queryset(queryset) or [])

    def get_object(self) -> Dataset:
        return with_totals([super().get_object()])[0]

    def create(self, request: Request) -> Response:
        body = DatasetSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        access = access_of(request)
        made = services.create_dataset(workspace=access.workspace, created_by=access.user, **body.validated_data)
        location = reverse("dataset-detail", args=[made.pk])
        return Response(
            self.get_serializer(with_totals([made])[0]).data,
            status=status.HTTP_201_CREATED,
            headers={"Location": location},
        )

    @extend_schema(request=DatasetChangeSerializer, responses=DatasetSerializer)
    def partial_update(self, request: Request, pk: int) -> Response:
        dataset = self.get_object()
        body = DatasetChangeSerializer(dataset, data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        services.update_dataset(dataset=dataset, **body.validated_data)
        return Response(self.get_serializer(dataset).data)

    def perform_destroy(self, dataset: Dataset) -> None:
        services.delete_dataset(dataset=dataset)


class SampleListViewSet(mixins.ListModelMixin, RowsViewSet):
    """The samples of a dataset, in the order in which they came."""

    serializer_class = SampleSerializer
    filterset_class = SampleFilter
    parser_classes: list[type[BaseParser]] = [MultiPartParser, JSONParser]
    pagination_class = OldestFirst
    model = Sample

    def rows(self) -> QuerySet[Sample]:
        return Sample.objects.filter(dataset=dataset_of(self.request, self.kwargs["dataset_id"])).with_audio_facts()

    @extend_schema(
        request={"multipart/form-data": AudioSampleInput, "application/json": TextSampleInput},
        responses={201: SampleDetailSerializer},
        description="Audio as a form (speech to text), or a text to be spoken as JSON (text to speech).",
    )
    def create(self, request: Request, dataset_id: int) -> Response:
        dataset = dataset_of(request, dataset_id)
        body = (TextSampleInput if dataset.task == Task.TTS else AudioSampleInput)(data=request.data)
        body.is_valid(raise_exception=True)
        sample = _add(dataset, body.validated_data)
        return Response(
            SampleDetailSerializer(sample, context={"request": request}).data,
            status=status.HTTP_201_CREATED,
            headers={"Location": reverse("sample-detail", args=[sample.pk])},
        )


def _add(dataset: Dataset, fields: dict[str, Any]) -> Sample:
    if dataset.task == Task.TTS:
        return services.add_text_sample(dataset=dataset, **fields)
    audio = fields.pop("audio")
    return services.add_audio_sample(dataset=dataset, file=audio, filename=audio.name, **fields)


class SampleViewSet(mixins.RetrieveModelMixin, mixins.DestroyModelMixin, RowsViewSet):
    model = Sample
    serializer_class = SampleDetailSerializer

    def rows(self) -> QuerySet[Sample]:
        return Sample.objects.for_workspace(access_of(self.request).workspace).select_related("audio")

    @extend_schema(
        request=SampleChange,
        responses=SampleDetailSerializer,
        description="A changed reference makes a revision.",
    )
    def partial_update(self, request: Request, pk: int) -> Response:
        sample = self.get_object()
        body = SampleChange(data=request.data)
        body.is_valid(raise_exception=True)
        fields = dict(body.validated_data)
        with transaction.atomic():
            if "reference" in fields:
                services.edit_reference(
                    sample=sample, reference=fields.pop("reference"), edited_by=access_of(request).user
                )
            if fields:
                services.update_sample(sample=sample, **fields)
        return self.retrieve(request)

    def perform_destroy(self, sample: Sample) -> None:
        services.delete_sample(sample=sample)


class RevisionListViewSet(mixins.ListModelMixin, RowsViewSet):
    """A sample's references as they were before each edit, newest first; the current one stands on the sample."""

    serializer_class = RevisionSerializer
    pagination_class = RevisionOrder
    model = ReferenceRevision

    def rows(self) -> QuerySet[ReferenceRevision]:
        mine = Sample.objects.for_workspace(access_of(self.request).workspace)
        sample = get_object_or_404(mine, pk=self.kwargs["sample_id"])
        return sample.revisions.select_related("replaced_by")


class SampleAudioView(APIView):
    content_negotiation_class = LenientNegotiation

    @extend_schema(
        parameters=[OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="One range: bytes=a-b")],
        responses={
            (200, "audio/*"): OpenApiTypes.BINARY,
            (206, "audio/*"): OpenApiTypes.BINARY,
            302: OpenApiResponse(description="The audio lies in a bucket: a signed address."),
            416: OpenApiResponse(description="The range lies outside the audio."),
        },
    )
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        """The sample's audio, whole or the range asked for."""
        mine = Sample.objects.for_workspace(access_of(request).workspace).with_audio_facts()
        sample = get_object_or_404(mine, pk=pk, audio__isnull=False)
        assert sample.audio is not None  # noqa: S101  (asked for)
        return audio_response(request._request, sample.audio, sample.key)


class ImportListViewSet(mixins.ListModelMixin, RowsViewSet):
    """Imports into a dataset, newest first."""

    serializer_class = ImportSerializer
    parser_classes: list[type[BaseParser]] = [MultiPartParser]
    model = Import

    def rows(self) -> QuerySet[Import]:
        return dataset_of(self.request, self.kwargs["dataset_id"]).imports.all()

    @extend_schema(request={"multipart/form-data": ImportInput}, responses={202: ImportDetailSerializer})
    def create(self, request: Request, dataset_id: int) -> Response:
        """Begin an import; it works in the queue. `Location` is where its progress stands."""
        dataset = dataset_of(request, dataset_id)
        body = ImportInput(data=request.data)
        body.is_valid(raise_exception=True)
        field = "archive" if "archive" in body.validated_data else "manifest"
        file = body.validated_data[field]
        begun = services.start_import(
            dataset=dataset,
            file=file,
            filename=file.name,
            skip_bad=body.validated_data["skip_bad"],
            created_by=access_of(request).user,
        )
        return Response(
            ImportDetailSerializer(begun).data,
            status=status.HTTP_202_ACCEPTED,
            headers={"Location": reverse("import-detail", args=[begun.pk])},
        )


class ImportViewSet(mixins.RetrieveModelMixin, RowsViewSet):
    model = Import
    serializer_class = ImportDetailSerializer

    def rows(self) -> QuerySet[Import]:
        return Import.objects.for_workspace(access_of(self.request).workspace)


class ProblemListViewSet(mixins.ListModelMixin, RowsViewSet):
    """Every line of an import that cannot be imported, with the reason."""

    serializer_class = ProblemSerializer
    pagination_class = LineOrder
    model = ImportLine

    def rows(self) -> QuerySet[ImportLine]:
        mine = Import.objects.for_workspace(access_of(self.request).workspace)
        return get_object_or_404(mine, pk=self.kwargs["import_id"]).lines.exclude(problem="")


class ExportQuery(serializers.Serializer[Any]):
    file_format = serializers.ChoiceField(choices=list(EXPORT_TYPES), default="csv")


class ExportView(APIView):
    content_negotiation_class = LenientNegotiation

    @extend_schema(
        parameters=[ExportQuery],
        responses={(200, media_type): OpenApiTypes.BINARY for media_type in EXPORT_TYPES.values()},
    )
    def get(self, request: Request, dataset_id: int) -> HttpResponseBase:
        """The dataset as a file that an import takes; a zip holds the audio too."""
        dataset = dataset_of(request, dataset_id)
        query = ExportQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        return export_response(request._request, dataset, query.validated_data["file_format"])
