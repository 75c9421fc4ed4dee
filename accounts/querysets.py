"""Reads of accounts, by their business names."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from django.contrib.auth.models import UserManager as DjangoUserManager
from django.db import models
from django.db.models import Case, Q, Value, When

if TYPE_CHECKING:
    from accounts.models import ApiKey, Membership, User, Workspace  # noqa: F401


class WorkspaceOwnedQuerySet(models.QuerySet[Any]):
    """Rows with a `workspace` of their own."""

    def for_workspace(self, workspace: "Workspace") -> Self:
        """Only the rows of `workspace`: what anybody in it may know of."""
        return self.filter(workspace=workspace)


class UserManager(DjangoUserManager["User"]):
    def named(self, name: str) -> "models.QuerySet[User]":
        """People who may sign in and whose user name or, in any case of letters, email address is `name`."""
        return self.filter(Q(username=name) | Q(email__iexact=name), is_active=True)


class WorkspaceQuerySet(models.QuerySet["Workspace"]):
    def active(self) -> Self:
        """Workspaces that may be used: neither they nor their organization are switched off."""
        return self.filter(is_active=True, organization__is_active=True)

    def usable_first(self) -> Self:
        """By name, those that are switched off last."""
        usable = When(is_active=True, organization__is_active=True, then=Value(0))
        return self.order_by(Case(usable, default=Value(1)), "name", "pk")

    def open_to(self, user: "User") -> Self:
        """The workspaces that `user` is a member of; all of them for a superuser."""
        return self if user.is_superuser else self.filter(memberships__user=user)


class MembershipQuerySet(WorkspaceOwnedQuerySet):
    def owners(self) -> Self:
        return self.filter(role="owner")


class ApiKeyQuerySet(WorkspaceOwnedQuerySet):
    def usable(self) -> Self:
        """Keys that have not been revoked, and whose maker, where it was a person, may still sign in."""
        return self.filter(Q(created_by=None) | Q(created_by__is_active=True), revoked_at=None)

    def with_hashes(self, hashes: Iterable[str]) -> Self:
        """Of keys by their SHA-256, with all that it takes to know who is asking."""
        return self.filter(key_hash__in=hashes).select_related("workspace__organization", "created_by")
