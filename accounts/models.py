"""Users, workspaces, memberships, roles and API keys."""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Case, OuterRef, Q, Subquery, Value, When


class WorkspaceOwnedQuerySet(models.QuerySet[Any]):
    """Rows with a `workspace` of their own."""

    def for_workspace(self, workspace: "Workspace") -> Self:
        """Only the rows of `workspace`."""
        return self.filter(workspace=workspace)


class UserManager(DjangoUserManager["User"]):
    def named(self, name: str, *, known_to: "Organization | None" = None) -> "models.QuerySet[User]":
        """Active users whose user name or (case-insensitive) email address is `name`.

        With `known_to` only members of that organization's workspaces, and accounts that were never used.
        """
        people = self.filter(Q(username=name) | Q(email__iexact=name), is_active=True)
        if known_to is None:
            return people
        members = Membership.objects.filter(workspace__organization=known_to).values("user")
        is_new = Q(last_login=None, is_superuser=False) & ~Q(pk__in=Membership.objects.values("user"))
        return people.filter(Q(pk__in=members) | is_new)


class User(AbstractUser):
    """A person. Their rights come from memberships, never from Django's permissions."""

    session_epoch = models.PositiveIntegerField(
        default=0, editable=False, help_text="Sessions of an earlier epoch are over, for good."
    )

    objects: ClassVar[UserManager] = UserManager()

    def get_session_auth_hash(self) -> str:
        return self._of_this_epoch(super().get_session_auth_hash())

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        return map(self._of_this_epoch, super().get_session_auth_fallback_hash())

    def _of_this_epoch(self, session_hash: str) -> str:
        return f"{session_hash}.{self.session_epoch}" if self.session_epoch else session_hash


class Role(models.TextChoices):
    """The rights of a member; each role includes those below it."""

    OWNER = "owner", "Owner"
    EVALUATOR = "evaluator", "Evaluator"
    REVIEWER = "reviewer", "Reviewer"
    VIEWER = "viewer", "Viewer"

    def includes(self, other: "Role") -> bool:
        """Return whether this role includes all rights of `other`."""
        order = list(Role)
        return order.index(self) <= order.index(other)


class Organization(models.Model):
    """The owner of workspaces; switching it off switches all of them off."""

    name = models.CharField(max_length=200, unique=True)
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class WorkspaceQuerySet(models.QuerySet["Workspace"]):
    def active(self) -> Self:
        """Workspaces that are not switched off, nor is their organization."""
        return self.filter(is_active=True, organization__is_active=True)

    def usable_first(self) -> Self:
        """Order by name, with those that are switched off last."""
        usable = When(is_active=True, organization__is_active=True, then=Value(0))
        return self.order_by(Case(usable, default=Value(1)), "name", "pk")

    def open_to(self, user: "User") -> Self:
        """Workspaces that `user` is a member of; all for a superuser."""
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
        """Whether neither the workspace nor its organization is switched off."""
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
        """Keys that are not revoked: service keys, and those whose creator is still active."""
        return self.filter(Q(is_service=True) | Q(created_by__is_active=True), revoked_at=None)

    def with_hashes(self, hashes: Iterable[str]) -> Self:
        """Keys by their SHA-256 (hex), with workspace, creator and the creator's role."""
        keys = self.filter(key_hash__in=hashes).select_related("workspace__organization", "created_by")
        return keys.with_role_of_maker()

    def with_role_of_maker(self) -> Self:
        """Adds `role_of_maker`: the creator's role in the key's workspace; None without a membership."""
        memberships = Membership.objects.filter(user=OuterRef("created_by"), workspace=OuterRef("workspace"))
        return self.annotate(role_of_maker=Subquery(memberships.values("role")[:1]))


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
    is_service = models.BooleanField(
        "service key",
        default=False,
        editable=False,
        help_text="Belongs to no person: a command made it, or another service key.",
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

    def role_now(self) -> Role | None:
        """Return the key's present role: its own, but never above its creator's; None: no rights.

        Only for keys of `with_role_of_maker`.
        """
        role = Role(self.role)
        if self.is_service:
            return role
        maker = self.created_by
        if maker is None or not maker.is_active:
            return None
        if maker.is_superuser:
            return role
        role_of_maker: str | None = self.role_of_maker  # type: ignore[attr-defined]
        if role_of_maker is None:
            return None
        return role if Role(role_of_maker).includes(role) else Role(role_of_maker)


class LoginThrottle(models.Model):
    """A count of attempts to sign in, by account, address or both (`accounts.login_throttle`)."""

    key = models.CharField(max_length=64, unique=True)
    attempts = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.attempts} attempts until {self.expires_at:%H:%M}"
