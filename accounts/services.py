"""Changes of accounts."""

import hashlib
import secrets

from django.db import transaction
from django.dispatch import Signal
from django.utils import timezone

from accounts.access import access_of_user
from accounts.models import ApiKey, Membership, Organization, Role, User, Workspace
from core.errors import Forbidden

KEY_PREFIX = "ek-"

# Sent in the transaction that takes access away, with `user` and `workspace` (None: everywhere).
access_ended = Signal()


class LastOwner(Forbidden):
    """The change would leave a workspace without an owner."""


class RoleTooHigh(Forbidden):
    """A key would be allowed more than the person who makes it."""


def hash_key(key: str) -> str:
    """SHA-256 of an API key, hex. The key has 256 bits of randomness: no salt or stretching is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


@transaction.atomic
def create_api_key(
    *,
    workspace: Workspace,
    name: str,
    role: Role = Role.EVALUATOR,
    created_by: User | None = None,
    requests_per_minute: int | None = None,
) -> tuple[ApiKey, str]:
    """Make a key and return it with its secret, which cannot be read again afterwards.

    Raises `RoleTooHigh` where `created_by` may not do what `role` may. Without one (a command) any role is given.
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
    """How many calls of the gateway it may make a minute; None: as many as the site's default says."""
    ApiKey.objects.filter(pk=api_key.pk).update(requests_per_minute=requests_per_minute)


def revoke_api_key(*, api_key: ApiKey) -> bool:
    """End a key at once; its row stays, so that what it did stays attributed. True where this call ended it."""
    unrevoked = ApiKey.objects.filter(pk=api_key.pk, revoked_at=None)
    return bool(unrevoked.update(revoked_at=timezone.now()))


def add_member(*, workspace: Workspace, user: User, role: Role) -> Membership:
    """Let `user` into `workspace`. Raises IntegrityError where they are in it already."""
    return Membership.objects.create(workspace=workspace, user=user, role=role)


@transaction.atomic
def change_role(*, membership: Membership, role: Role) -> None:
    """Give a member another role; keys of theirs that may do more than it are revoked. Raises `LastOwner`."""
    _keep_an_owner(membership, still_owner=role == Role.OWNER)
    membership.role = role
    membership.save(update_fields=["role"])
    end_access(user=membership.user, workspace=membership.workspace)


@transaction.atomic
def remove_member(*, membership: Membership) -> None:
    """Put a member out of the workspace, and revoke the keys they made there. Raises `LastOwner`."""
    _keep_an_owner(membership, still_owner=False)
    membership.delete()  # the keys end by `accounts.signals`, as where it goes with a person


def is_last_owner(membership: Membership) -> bool:
    """True where nobody else is an owner of the member's workspace."""
    owners = Membership.objects.for_workspace(membership.workspace).owners()
    return set(owners.values_list("pk", flat=True)) == {membership.pk}


def _keep_an_owner(membership: Membership, *, still_owner: bool) -> None:
    """Refuse what would leave no owner; two owners who put each other out at once come one after the other."""
    Workspace.objects.select_for_update().get(pk=membership.workspace_id)
    if not still_owner and is_last_owner(membership):
        raise LastOwner("A workspace needs an owner: make somebody else an owner first.")


@transaction.atomic
def update_user(*, user: User) -> None:
    """Save a person as they are now. Where they were switched off, or are no superuser or staff any more, their
    sessions end, and so do keys and client secrets that go beyond what is left to them: for good, whatever they are
    given again later."""
    before = User.objects.select_for_update().get(pk=user.pk)
    lost = any(getattr(before, flag) and not getattr(user, flag) for flag in ("is_active", "is_staff", "is_superuser"))
    user.session_epoch = before.session_epoch + lost
    user.save()
    if lost:
        end_access(user=user)


@transaction.atomic
def end_access(*, user: User, workspace: Workspace | None = None, leaves: bool = False) -> None:
    """Revoke a person's keys that may do more than they may now, and end their client secrets: in `workspace`, or
    everywhere. With `leaves` they are about to lose whatever they have there."""
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
    """The workspace `slug`, made with an organization of the same name where it is missing."""
    workspace = Workspace.objects.filter(slug=slug).first()
    if workspace is None:
        organization, _ = Organization.objects.get_or_create(name=name)
        workspace = Workspace.objects.create(slug=slug, organization=organization, name=name)
    return workspace


@transaction.atomic
def ensure_admin(*, workspace: Workspace, username: str, password: str | None) -> User:
    """The site's administrator, an owner of `workspace`. A password is set only where one is given."""
    user, created = User.objects.get_or_create(username=username, defaults={"is_staff": True, "is_superuser": True})
    if password is not None:
        user.set_password(password)
        user.save(update_fields=["password"])
    elif created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    Membership.objects.get_or_create(user=user, workspace=workspace, defaults={"role": Role.OWNER})
    return user
