"""Reads of accounts, by their business names."""

from typing import TYPE_CHECKING, Any, Self

from django.db import models

if TYPE_CHECKING:
    from accounts.models import ApiKey, User, Workspace  # noqa: F401


class WorkspaceQuerySet(models.QuerySet["Workspace"]):
    def active(self) -> Self:
        """Workspaces that may be used: neither they nor their organization are switched off."""
        return self.filter(is_active=True, organization__is_active=True)

    def open_to(self, user: "User") -> Self:
        """The workspaces that `user` is a member of; all of them for a superuser."""
        return self if user.is_superuser else self.filter(memberships__user=user)


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self) -> Self:
        """Keys that have not been revoked."""
        return self.filter(revoked_at=None)

    def for_workspace(self, workspace: "Workspace") -> Self:
        return self.filter(workspace=workspace)


class WorkspaceOwnedQuerySet(models.QuerySet[Any]):
    """Rows with a `workspace` of their own."""

    def for_workspace(self, workspace: "Workspace") -> Self:
        """Only the rows of `workspace`: what anybody in it may know of."""
        return self.filter(workspace=workspace)
