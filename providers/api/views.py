"""Providers and the models they offer, over REST."""

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from accounts.api.permissions import access_of
from accounts.models import Role
from core.api.pagination import OldestFirst
from providers import model_services, services
from providers.api.filters import SpeechModelFilter
from providers.api.serializers import (
    CheckupSerializer,
    ChosenModelsSerializer,
    KindSerializer,
    NewPriceSerializer,
    PriceSerializer,
    ProviderChangeSerializer,
    ProviderSerializer,
    SpeechModelChangeSerializer,
    SpeechModelSerializer,
    UpstreamSerializer,
)
from providers.connection_test import check_up
from providers.model_listing import upstream_models
from providers.models import Provider, SpeechModel
from providers.registry import KINDS


class SpeechModelViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, GenericViewSet[SpeechModel]
):
    """Models: listed are those that may be used for new work, read and changed are all."""

    queryset = SpeechModel.objects.all()
    serializer_class = SpeechModelSerializer
    filterset_class = SpeechModelFilter
    pagination_class = OldestFirst
    write_role = Role.OWNER

    def get_queryset(self) -> QuerySet[SpeechModel]:
        if getattr(self, "swagger_fake_view", False):  # the schema is made with nobody asking
            return SpeechModel.objects.none()
        models = SpeechModel.objects.for_workspace(access_of(self.request).workspace).with_prices()
        return models.usable() if self.action == "list" else models.select_related("provider")

    @extend_schema(request=SpeechModelChangeSerializer, responses=SpeechModelSerializer)
    def partial_update(self, request: Request, pk: int) -> Response:
        model = self.get_object()
        body = SpeechModelChangeSerializer(model, data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        model_services.update_model(model=model, **body.settings())
        return Response(self.get_serializer(self.get_object()).data)

    def perform_destroy(self, model: SpeechModel) -> None:
        model_services.delete_model(model=model)

    @extend_schema(responses=PriceSerializer(many=True), filters=False)
    def prices(self, request: Request, pk: int) -> Response:
        """All its prices, past and future ones too, the latest first."""
        return Response(PriceSerializer(self.get_object().prices.all(), many=True).data)

    @extend_schema(request=NewPriceSerializer, responses={201: PriceSerializer})
    def set_price(self, request: Request, pk: int) -> Response:
        """What it costs from a day on."""
        model = self.get_object()
        body = NewPriceSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        price = services.set_price(model=model, **body.validated_data)
        return Response(PriceSerializer(price).data, status=status.HTTP_201_CREATED)


class KindListView(APIView):
    """The kinds of providers that there are."""

    @extend_schema(responses=KindSerializer(many=True))
    def get(self, request: Request) -> Response:
        return Response(KindSerializer(list(KINDS.values()), many=True).data)


class ProviderViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, GenericViewSet[Provider]
):
    queryset = Provider.objects.all()
    serializer_class = ProviderSerializer
    pagination_class = OldestFirst
    write_role = Role.OWNER
    action_roles = {"upstream_models": Role.OWNER}  # it calls the provider

    def get_queryset(self) -> QuerySet[Provider]:
        if getattr(self, "swagger_fake_view", False):
            return Provider.objects.none()
        return Provider.objects.for_workspace(access_of(self.request).workspace).with_models()

    def create(self, request: Request) -> Response:
        body = self.get_serializer(data=request.data)
        body.is_valid(raise_exception=True)
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
        services.update_provider(provider=provider, **body.validated_data)
        return Response(self.get_serializer(provider).data)

    def perform_destroy(self, provider: Provider) -> None:
        services.delete_provider(provider=provider)

    @extend_schema(request=None, responses=CheckupSerializer)
    def test(self, request: Request, pk: int) -> Response:
        """Really call the provider: list its models, and try the first one of each task."""
        return Response(CheckupSerializer(check_up(self.get_object())).data)

    @extend_schema(responses=UpstreamSerializer)
    def upstream_models(self, request: Request, pk: int) -> Response:
        """Ask the provider which models it offers."""
        return Response(UpstreamSerializer(upstream_models(self.get_object())).data)

    @extend_schema(request=ChosenModelsSerializer, responses={201: SpeechModelSerializer(many=True)})
    def add_models(self, request: Request, pk: int) -> Response:
        """Add models of the provider by their upstream names; those that are here already are left as they are."""
        provider = self.get_object()
        body = ChosenModelsSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        chosen = {entry["name"]: entry["tasks"] for entry in body.validated_data["models"]}
        added = model_services.sync_models(provider=provider, chosen=chosen)
        return Response(SpeechModelSerializer(added, many=True).data, status=status.HTTP_201_CREATED)
