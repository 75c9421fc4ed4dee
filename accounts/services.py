"""Changes of accounts."""

import hashlib
import secrets

from django.db import transaction
from django.utils import timezone

from accounts.models import ApiKey, Membership, Organization, Role, User, Workspace

KEY_PREFIX = "ek-"


def hash_key(key: str) -> str:
    """SHA-256 of an API key, hex. The key has 256 bits of randomness: no salt or stretching is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


def create_api_key(
    *, workspace: Workspace, name: str, role: Role = Role.EVALUATOR, created_by: User | None = None
) -> tuple[ApiKey, str]:
    """Make a key and return it with its secret, which cannot be read again afterwards."""
    secret = KEY_PREFIX + secrets.token_urlsafe(32)
    api_key = ApiKey.objects.create(
        workspace=workspace,
        name=name,
        role=role,
        prefix=secret[:8],
        key_hash=hash_key(secret),
        created_by=created_by,
    )
    return api_key, secret


def revoke_api_key(*, api_key: ApiKey) -> None:
    """End a key at once; its row stays, so that what it did stays attributed."""
    ApiKey.objects.usable().filter(pk=api_key.pk).update(revoked_at=timezone.now())


@transaction.atomic
def ensure_workspace(*, slug: str, name: str) -> Workspace:
    """The workspace `slug`, made with an organization of the same name where it is missing."""
    organization, _ = Organization.objects.get_or_create(name=name)
    workspace, _ = Workspace.objects.get_or_create(slug=slug, defaults={"organization": organization, "name": name})
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
