"""REST views of voice pipelines and realtime sessions."""

from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from accounts.api.permissions import access_of
from accounts.models import Role
from core.api.pagination import OldestFirst
from voice.api.filters import RealtimeSessionFilter
from voice.api.serializers import PipelineSerializer, RealtimeSessionSerializer, RealtimeTurnSerializer
from voice.latency import with_tallies
from voice.models import RealtimeSession, VoicePipeline
from voice.pipelines import ensure_default_pipeline, save_pipeline


class PipelineViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, GenericViewSet[VoicePipeline]
):
    """Three models that make a voice conversation, under the name that clients of /v1/realtime ask for."""

    queryset = VoicePipeline.objects.all()
    serializer_class = PipelineSerializer
    pagination_class = OldestFirst
    filter_backends = []
    write_role = Role.OWNER
    action_roles = {"list": Role.EVALUATOR, "retrieve": Role.EVALUATOR}

    def get_queryset(self) -> QuerySet[VoicePipeline]:
        if getattr(self, "swagger_fake_view", False):  # the schema is made with nobody asking
            return VoicePipeline.objects.none()
        return VoicePipeline.objects.for_workspace(access_of(self.request).workspace).with_models()

    def get_serializer_context(self) -> dict[str, Any]:
        access = self.request.auth if self.request else None
        return {**super().get_serializer_context(), "workspace": getattr(access, "workspace", None)}

    def list(self, request: Request) -> Response:
        ensure_default_pipeline(workspace=access_of(request).workspace)
        return super().list(request)

    def create(self, request: Request) -> Response:
        pipeline = VoicePipeline(workspace=access_of(request).workspace)
        self._save(pipeline, self.get_serializer(data=request.data))
        return Response(
            self.get_serializer(pipeline).data,
            status=status.HTTP_201_CREATED,
            headers={"Location": reverse("pipeline-detail", args=[pipeline.pk])},
        )

    @extend_schema(responses=PipelineSerializer)
    def partial_update(self, request: Request, pk: int) -> Response:
        """What is left out stays as it is."""
        pipeline = self.get_object()
        self._save(pipeline, self.get_serializer(data=request.data, partial=True))
        return Response(self.get_serializer(pipeline).data)

    def _save(self, pipeline: VoicePipeline, body: BaseSerializer[VoicePipeline]) -> None:
        body.is_valid(raise_exception=True)
        for name, value in body.validated_data.items():
            setattr(pipeline, name, value)
        save_pipeline(pipeline=pipeline)


class RealtimeSessionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[RealtimeSession]):
    """Connections to /v1/realtime, the newest first. What was said in them is nowhere."""

    queryset = RealtimeSession.objects.all()
    serializer_class = RealtimeSessionSerializer
    filterset_class = RealtimeSessionFilter
    action_roles = {"list": Role.EVALUATOR, "retrieve": Role.EVALUATOR, "turns": Role.EVALUATOR}

    def get_queryset(self) -> QuerySet[RealtimeSession]:
        if getattr(self, "swagger_fake_view", False):
            return RealtimeSession.objects.none()
        return RealtimeSession.objects.for_workspace(access_of(self.request).workspace)

    def paginate_queryset(self, queryset: Any) -> Any:
        page = super().paginate_queryset(queryset)
        return with_tallies(page) if self.action == "list" and page is not None else page

    def retrieve(self, request: Request, pk: int) -> Response:
        (session,) = with_tallies([self.get_object()])
        return Response(self.get_serializer(session).data)

    @extend_schema(responses=RealtimeTurnSerializer(many=True))
    def turns(self, request: Request, pk: int) -> Response:
        """What was said to one session, oldest first, with how long each step of the answer took."""
        session = self.get_object()
        paginator = OldestFirst()
        page = paginator.paginate_queryset(session.turns.all(), request, view=self)
        return paginator.get_paginated_response(RealtimeTurnSerializer(page, many=True).data)
