"""Runs and results over REST."""

from typing import Any

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.api.permissions import access_of
from core.errors import Conflict
from core.streaming import streamable
from datasets.audio_response import audio_response
from evaluations.api.events import progress_events
from evaluations.api.filters import ResultFilter, RunFilter
from evaluations.api.serializers import (
    NORMALIZER_NAMES,
    LeaderboardSerializer,
    NormalizerInput,
    ResultDetailSerializer,
    ResultSerializer,
    RunDetailSerializer,
    RunInput,
    RunSerializer,
    StepSerializer,
)
from evaluations.choices import Status
from evaluations.exporting import FORMATS, export_run
from evaluations.models import Result, ResultQuerySet, Run, RunQuerySet
from evaluations.progress import run_progress
from evaluations.provider_state import batches_by_job, files_of
from evaluations.scoring.alignment import align
from evaluations.scoring.leaderboard import leaderboard
from evaluations.scoring.normalizers import get_normalizer
from evaluations.services import (
    cancel_run,
    delete_run,
    retry_failed,
    start_collecting,
    start_rescore,
    start_run,
)

KEY_LENGTH = 200
EXPORT_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="The same key again answers with the run that it started first (200), and starts none.",
)
NORMALIZER = OpenApiParameter("normalizer", str, enum=NORMALIZER_NAMES, description="The run's own without one.")
ORDERING = OpenApiParameter(
    "ordering",
    str,
    description="wer, duration, latency or key, with - before it descending; what has no such value comes last.",
)


class RunViewSet(mixins.ListModelMixin, mixins.DestroyModelMixin, GenericViewSet[Run]):
    queryset = Run.objects.none()  # for the schema
    serializer_class = RunSerializer
    filterset_class = RunFilter

    def get_queryset(self) -> RunQuerySet:
        return Run.objects.for_workspace(access_of(self.request).workspace).prefetch_related("jobs")

    @extend_schema(responses=RunDetailSerializer)
    def retrieve(self, request: Request, pk: int) -> Response:
        run = self.get_object()
        context = {
            "board": leaderboard(run),
            "progress": run_progress(run),
            "batches": batches_by_job(run),
            "files": files_of(run),
        }
        return Response(RunDetailSerializer(run, context=context).data)

    @extend_schema(request=RunInput, responses={200: RunSerializer, 201: RunSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: Request) -> Response:
        access = access_of(request)
        key = _idempotency_key(request)
        if key and (before := self.get_queryset().started_by(access.workspace, key)):
            return Response(RunSerializer(before).data)
        body = RunInput(data=request.data, context={"workspace": access.workspace})
        body.is_valid(raise_exception=True)
        run = start_run(**body.validated_data, created_by=access.user, idempotency_key=key)
        location = reverse("run-detail", args=[run.pk])
        return Response(RunSerializer(run).data, status=status.HTTP_201_CREATED, headers={"Location": location})

    def perform_destroy(self, run: Run) -> None:
        delete_run(run=run)

    @extend_schema(request=None, responses={202: RunSerializer})
    def cancel(self, request: Request, pk: int) -> Response:
        run = self.get_object()
        if not cancel_run(run=run) and run.status != Status.CANCELLED:
            raise Conflict("This run has ended already.")
        return self._accepted(run)

    @extend_schema(request=None, responses={202: RunSerializer})
    def retry(self, request: Request, pk: int) -> Response:
        run = self.get_object()
        retry_failed(run=run)
        return self._accepted(run)

    @extend_schema(request=None, responses={202: RunSerializer})
    def collect(self, request: Request, pk: int) -> Response:
        """Read the kept result files of the run's batches again; no provider is called."""
        run = self.get_object()
        start_collecting(run=run)
        return self._accepted(run)

    @extend_schema(request=NormalizerInput, responses={202: RunSerializer})
    def rescore(self, request: Request, pk: int) -> Response:
        run = self.get_object()
        body = NormalizerInput(data=request.data)
        body.is_valid(raise_exception=True)
        start_rescore(run=run, **body.validated_data)
        return self._accepted(run)

    def _accepted(self, run: Run) -> Response:
        now = self.get_queryset().get(pk=run.pk)
        return Response(RunSerializer(now).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(responses=LeaderboardSerializer, parameters=[NORMALIZER])
    def leaderboard(self, request: Request, pk: int) -> Response:
        run = self.get_object()
        board = leaderboard(run, request.query_params.get("normalizer"))
        return Response(LeaderboardSerializer(board).data)

    @extend_schema(responses={(200, "text/event-stream"): OpenApiTypes.STR})
    def events(self, request: Request, pk: int) -> HttpResponseBase:
        """Server-sent events: `progress` whenever something changes, then `end`."""
        run = self.get_object()
        # Proxies must hand each event on as it comes.
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingHttpResponse(
            progress_events(run.pk, access_of(request)), content_type="text/event-stream", headers=headers
        )

    @extend_schema(
        responses={(200, "text/csv"): OpenApiTypes.STR, (200, "application/jsonl"): OpenApiTypes.STR},
        parameters=[OpenApiParameter("file_format", str, enum=FORMATS, description="csv without one.")],
    )
    def export(self, request: Request, pk: int) -> HttpResponseBase:
        run = self.get_object()
        file_format = request.query_params.get("file_format", "csv")
        if file_format not in FORMATS:
            raise ValidationError({"file_format": [f"Unknown format. Known: {', '.join(FORMATS)}."]})
        chunks = streamable(request._request, export_run(run, file_format))
        response = StreamingHttpResponse(chunks, content_type=EXPORT_TYPES[file_format])
        response.headers["Content-Disposition"] = f'attachment; filename="run-{run.pk}.{file_format}"'
        return response


class RunResultsViewSet(mixins.ListModelMixin, GenericViewSet[Result]):
    """The results of one run."""

    queryset = Result.objects.none()  # for the schema
    serializer_class = ResultSerializer
    filterset_class = ResultFilter
    ordering_columns = {
        "id": "pk",
        "wer": "wer",
        "duration": "audio_seconds",
        "latency": "latency",
        "key": "sample__key",
    }

    def get_queryset(self) -> ResultQuerySet:
        runs = Run.objects.for_workspace(access_of(self.request).workspace)
        return Result.objects.filter(run=get_object_or_404(runs, pk=self.kwargs["pk"])).with_details()

    @extend_schema(parameters=[ORDERING])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)


class ResultViewSet(mixins.RetrieveModelMixin, GenericViewSet[Result]):
    queryset = Result.objects.none()  # for the schema
    serializer_class = ResultDetailSerializer
    pagination_class = None

    def get_queryset(self) -> ResultQuerySet:
        return Result.objects.for_workspace(access_of(self.request).workspace).with_details()

    @extend_schema(responses=StepSerializer(many=True), parameters=[NORMALIZER])
    def alignment(self, request: Request, pk: int) -> Response:
        """The reference and the hypothesis, word by word, as the scores count them."""
        result = self.get_object()
        if result.status != Result.Status.COMPLETED or result.sample.reference is None:
            raise Conflict("Nothing to align: the result is not completed, or its sample has no reference.")
        run = result.run
        asked = request.query_params.get("normalizer")
        normalizer = get_normalizer(asked) if asked else get_normalizer(run.normalizer, run.normalizer_version)
        steps = align(result.sample.reference, result.hypothesis, normalizer)
        return Response(StepSerializer(steps, many=True).data)

    @extend_schema(responses={(200, "audio/*"): OpenApiTypes.BINARY, (206, "audio/*"): OpenApiTypes.BINARY})
    def audio(self, request: Request, pk: int) -> HttpResponseBase:
        """The sample's audio; takes Range."""
        sample = self.get_object().sample
        if sample.audio is None:
            raise NotFound("This sample has no audio.")
        return audio_response(request._request, sample.audio, sample.key)


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > KEY_LENGTH:
        raise ValidationError({"Idempotency-Key": [f"At most {KEY_LENGTH} characters."]})
    return key or None
