"""Who is asking, and what they may see."""

from collections.abc import Iterable
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Case, Q, Value, When


class WorkspaceOwnedQuerySet(models.QuerySet[Any]):
    """Rows with a `workspace` of their own."""

    def for_workspace(self, workspace: "Workspace") -> Self:
        """Only the rows of `workspace`: what anybody in it may know of."""
        return self.filter(workspace=workspace)


class UserManager(DjangoUserManager["User"]):
    def named(self, name: str) -> "models.QuerySet[User]":
        """People who may sign in and whose user name or, in any case of letters, email address is `name`."""
        return self.filter(Q(username=name) | Q(email__iexact=name), is_active=True)


class User(AbstractUser):
    """A person. What they may do comes from their memberships, never from Django's permissions."""

    objects: ClassVar[UserManager] = UserManager()


class Role(models.TextChoices):
    """What a member may do; each role may do all that those below it may."""

    OWNER = "owner", "Owner"
    EVALUATOR = "evaluator", "Evaluator"
    REVIEWER = "reviewer", "Reviewer"
    VIEWER = "viewer", "Viewer"

    def includes(self, other: "Role") -> bool:
        """True where this role may do everything that `other` may."""
        order = list(Role)
        return order.index(self) <= order.index(other)


class Organization(models.Model):
    """Whose workspaces these are; switching it off switches all of them off."""

    name = models.CharField(max_length=200, unique=True)
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


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


class Workspace(models.Model):
    """The tenant: every dataset, provider and run belongs to exactly one."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="workspaces")
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=100, unique=True)
    is_active = models.BooleanField(default=True)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership", related_name="workspaces")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = WorkspaceQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_open(self) -> bool:
        """Neither it nor its organization is switched off."""
        return self.is_active and self.organization.is_active


class MembershipQuerySet(WorkspaceOwnedQuerySet):
    def owners(self) -> Self:
        return self.filter(role="owner")


class Membership(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role.choices, default=Role.VIEWER)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        ordering = ["user__username"]
        constraints = [
            models.UniqueConstraint(fields=["user", "workspace"], name="one_membership_a_workspace"),
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"


class ApiKeyQuerySet(WorkspaceOwnedQuerySet):
    def usable(self) -> Self:
        """Keys that have not been revoked, and whose maker, where it was a person, may still sign in."""
        return self.filter(Q(created_by=None) | Q(created_by__is_active=True), revoked_at=None)

    def with_hashes(self, hashes: Iterable[str]) -> Self:
        """Of keys by their SHA-256, with all that it takes to know who is asking."""
        return self.filter(key_hash__in=hashes).select_related("workspace__organization", "created_by")


class ApiKey(models.Model):
    """A key of a workspace. The key itself is shown once; only its SHA-256 is stored."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=200)
    role = models.CharField(max_length=20, choices=Role.choices, default=Role.EVALUATOR)
    prefix = models.CharField(max_length=16, editable=False, help_text="The key's first characters.")
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    requests_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Calls of the gateway; empty: the site's limit, if there is one.",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}...)"
