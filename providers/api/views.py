"""Providers and the models they offer, over REST."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.api.pagination import CursorPagination
from accounts.api.permissions import access_of
from accounts.models import Role
from providers import services
from providers.api.filters import SpeechModelFilter
from providers.api.serializers import (
    CheckupSerializer,
    ProviderChangeSerializer,
    ProviderSerializer,
    SpeechModelSerializer,
)
from providers.checkup import check_up
from providers.models import Provider, SpeechModel


class NameTakenAnswer(ValidationError):  # noqa: N818 - an answer, not a fault
    status_code = status.HTTP_409_CONFLICT


@contextmanager
def refusals() -> Iterator[None]:
    """Turns what a service refuses into an answer."""
    try:
        yield
    except services.ProviderRefused as refused:
        answer = NameTakenAnswer if isinstance(refused, services.NameTaken) else ValidationError
        raise answer({refused.field: [str(refused)]}) from refused


class InOrder(CursorPagination):
    ordering = "id"


class SpeechModelViewSet(mixins.ListModelMixin, GenericViewSet[SpeechModel]):
    """The models that may be used for new work."""

    queryset = SpeechModel.objects.all()
    serializer_class = SpeechModelSerializer
    filterset_class = SpeechModelFilter
    pagination_class = InOrder

    def get_queryset(self) -> QuerySet[SpeechModel]:
        if getattr(self, "swagger_fake_view", False):  # the schema is made with nobody asking
            return SpeechModel.objects.none()
        return SpeechModel.objects.for_workspace(access_of(self.request).workspace).usable().with_prices()


class ProviderViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, GenericViewSet[Provider]
):
    queryset = Provider.objects.all()
    serializer_class = ProviderSerializer
    pagination_class = InOrder
    write_role = Role.OWNER

    def get_queryset(self) -> QuerySet[Provider]:
        if getattr(self, "swagger_fake_view", False):
            return Provider.objects.none()
        return Provider.objects.for_workspace(access_of(self.request).workspace).with_models()

    def create(self, request: Request) -> Response:
        body = self.get_serializer(data=request.data)
        body.is_valid(raise_exception=True)
        with refusals():
            made = services.create_provider(workspace=access_of(request).workspace, **body.validated_data)
        return Response(
            self.get_serializer(made).data,
            status=status.HTTP_201_CREATED,
            headers={"Location": reverse("provider-detail", args=[made.pk])},
        )

    @extend_schema(request=ProviderChangeSerializer, responses=ProviderSerializer)
    def partial_update(self, request: Request, pk: int) -> Response:
        provider = self.get_object()
        body = ProviderChangeSerializer(provider, data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        with refusals():
            services.update_provider(provider=provider, **body.validated_data)
        return Response(self.get_serializer(provider).data)

    def perform_destroy(self, provider: Provider) -> None:
        services.delete_provider(provider=provider)

    @extend_schema(request=None, responses=CheckupSerializer)
    def test(self, request: Request, pk: int) -> Response:
        """Really call the provider's first model of each task."""
        return Response(CheckupSerializer(check_up(self.get_object())).data)
