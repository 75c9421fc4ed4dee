"""API keys over REST, for owners."""

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts import services
from accounts.api.permissions import access_of
from accounts.api.serializers import ApiKeyChangeSerializer, ApiKeySerializer, NewApiKeySerializer
from accounts.models import ApiKey, Role


class ApiKeyViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[ApiKey]):
    """The workspace's keys. A key itself is told once, to whoever makes it; budgets of keys are at `budgets/`."""

    queryset = ApiKey.objects.all()
    serializer_class = ApiKeySerializer
    filter_backends = []
    write_role = Role.OWNER
    action_roles = {"list": Role.OWNER, "retrieve": Role.OWNER}

    def get_queryset(self) -> QuerySet[ApiKey]:
        if getattr(self, "swagger_fake_view", False):  # the schema is made with nobody asking
            return ApiKey.objects.none()
        return ApiKey.objects.for_workspace(access_of(self.request).workspace).select_related("created_by")

    @extend_schema(responses={201: NewApiKeySerializer})
    def create(self, request: Request) -> Response:
        body = self.get_serializer(data=request.data)
        body.is_valid(raise_exception=True)
        access = access_of(request)
        made, secret = services.create_api_key(
            workspace=access.workspace, created_by=access.user, **body.validated_data
        )
        headers = {"Location": reverse("key-detail", args=[made.pk]), "Cache-Control": "no-store"}
        told = {**self.get_serializer(made).data, "secret": secret}
        return Response(told, status=status.HTTP_201_CREATED, headers=headers)

    @extend_schema(request=ApiKeyChangeSerializer, responses=ApiKeySerializer)
    def partial_update(self, request: Request, pk: int) -> Response:
        """Another limit; nothing else of a key changes."""
        api_key = self.get_object()
        body = ApiKeyChangeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        services.limit_api_key(api_key=api_key, **body.validated_data)
        return Response(self.get_serializer(self.get_object()).data)

    def destroy(self, request: Request, pk: int) -> Response:
        """Revokes the key: it opens nothing any more, and its row stays."""
        services.revoke_api_key(api_key=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)
