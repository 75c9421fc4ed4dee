"""Creates, changes and ends API keys, memberships, users and workspaces."""

import secrets

from django.db import transaction
from django.dispatch import Signal
from django.utils import timezone

from accounts.access import access_of_user
from accounts.api_keys import hash_key
from accounts.models import ApiKey, Membership, Organization, Role, User, Workspace
from core.errors import Forbidden

KEY_PREFIX = "ek-"

# Sent in the transaction that ends access, with `user` and `workspace` (None: all workspaces).
access_ended = Signal()


class LastOwner(Forbidden):
    """The change would leave a workspace without an owner."""


class RoleTooHigh(Forbidden):
    """The key would have a higher role than the person who creates it."""


@transaction.atomic
def create_api_key(
    *,
    workspace: Workspace,
    name: str,
    role: Role = Role.EVALUATOR,
    created_by: User | None = None,
    requests_per_minute: int | None = None,
) -> tuple[ApiKey, str]:
    """Create a key and return it with its secret, which cannot be read again.

    Raises `RoleTooHigh` where `created_by` has a lower role than `role`. Without `created_by` (a command) any role is
    allowed.
    """
    if created_by is not None:
        maker = access_of_user(created_by, workspace.slug)
        if maker is None or not maker.may(role):
            raise RoleTooHigh(f"A key may not be given more than your own role in {workspace}.")
    secret = KEY_PREFIX + secrets.token_urlsafe(32)
    api_key = ApiKey.objects.create(
        workspace=workspace,
        name=name,
        role=role,
        prefix=secret[:8],
        key_hash=hash_key(secret),
        created_by=created_by,
        is_service=created_by is None,
        requests_per_minute=requests_per_minute,
    )
    return api_key, secret


def limit_api_key(*, api_key: ApiKey, requests_per_minute: int | None) -> None:
    """Set how many calls of the gateway a key may make a minute; None: the site's default."""
    ApiKey.objects.filter(pk=api_key.pk).update(requests_per_minute=requests_per_minute)


def revoke_api_key(*, api_key: ApiKey) -> bool:
    """Revoke a key; its row stays, so that its calls stay attributed. Returns False where it was revoked before."""
    unrevoked = ApiKey.objects.filter(pk=api_key.pk, revoked_at=None)
    return bool(unrevoked.update(revoked_at=timezone.now()))


def add_member(*, workspace: Workspace, user: User, role: Role) -> Membership:
    """Add `user` to `workspace`. Raises IntegrityError where they are a member already."""
    return Membership.objects.create(workspace=workspace, user=user, role=role)


@transaction.atomic
def change_role(*, membership: Membership, role: Role) -> None:
    """Change a member's role and revoke their keys that have a higher one. Raises `LastOwner`."""
    _refuse_last_owner(membership, still_owner=role == Role.OWNER)
    membership.role = role
    membership.save(update_fields=["role"])
    end_access(user=membership.user, workspace=membership.workspace)


@transaction.atomic
def remove_member(*, membership: Membership) -> None:
    """Remove a member from the workspace and revoke the keys that they created there. Raises `LastOwner`."""
    _refuse_last_owner(membership, still_owner=False)
    membership.delete()  # `accounts.signals` revokes the keys, as for any deleted membership


def is_last_owner(membership: Membership) -> bool:
    """Return whether the member is the only owner of their workspace."""
    owners = Membership.objects.for_workspace(membership.workspace).owners()
    return set(owners.values_list("pk", flat=True)) == {membership.pk}


def _refuse_last_owner(membership: Membership, *, still_owner: bool) -> None:
    """Raise LastOwner where no owner would be left. Locks the workspace: two owners cannot remove each other."""
    Workspace.objects.select_for_update().get(pk=membership.workspace_id)
    if not still_owner and is_last_owner(membership):
        raise LastOwner("A workspace needs an owner: make somebody else an owner first.")


@transaction.atomic
def update_user(*, user: User) -> None:
    """Save a changed user. Where they lose `is_active`, `is_staff` or `is_superuser`, end their sessions, and the keys
    and client secrets that exceed the access they keep; granting access again does not bring these back."""
    before = User.objects.select_for_update().get(pk=user.pk)
    lost = any(getattr(before, flag) and not getattr(user, flag) for flag in ("is_active", "is_staff", "is_superuser"))
    user.session_epoch = before.session_epoch + lost
    user.save()
    if lost:
        end_access(user=user)


@transaction.atomic
def end_access(*, user: User, workspace: Workspace | None = None, leaves: bool = False) -> None:
    """Revoke a user's keys with a higher role than they have now, and end their client secrets; in `workspace`, or in
    all. With `leaves` they are about to lose all access there, so that every key is revoked."""
    keys = ApiKey.objects.filter(created_by=user, revoked_at=None)
    if workspace is not None:
        keys = keys.for_workspace(workspace)
    if not leaves:
        present = keys.with_role_of_maker().select_related("created_by")
        keys = keys.filter(pk__in=[key.pk for key in present if key.role_now() != key.role])
    keys.update(revoked_at=timezone.now())
    access_ended.send(User, user=user, workspace=workspace)


@transaction.atomic
def ensure_workspace(*, slug: str, name: str) -> Workspace:
    """Return the workspace `slug`; created with an organization of the same name where it is missing."""
    workspace = Workspace.objects.filter(slug=slug).first()
    if workspace is None:
        organization, _ = Organization.objects.get_or_create(name=name)
        workspace = Workspace.objects.create(slug=slug, organization=organization, name=name)
    return workspace


@transaction.atomic
def ensure_admin(*, workspace: Workspace, username: str, password: str | None) -> User:
    """Return the site's administrator, an owner of `workspace`; created where missing. `password` None: not changed."""
    user, created = User.objects.get_or_create(username=username, defaults={"is_staff": True, "is_superuser": True})
    if password is not None:
        user.set_password(password)
        user.save(update_fields=["password"])
    elif created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    Membership.objects.get_or_create(user=user, workspace=workspace, defaults={"role": Role.OWNER})
    return user
