"""Hashes API keys, and finds the access that a key gives."""

import hashlib
from collections.abc import Collection
from datetime import timedelta

from django.utils import timezone

from accounts.access import Access, access_of_user
from accounts.models import ApiKey, User

LAST_USED_PRECISION = timedelta(minutes=1)  # `last_used_at` is updated when it is older than this


def hash_key(key: str) -> str:
    """Return the SHA-256 of an API key, hex. A key has 256 random bits: no salt or stretching is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


def access_of_key(secret: str) -> Access | None:
    """Return the access of an API key; None where the key is unknown or revoked."""
    key_hash = hash_key(secret)
    return access_of_keys([key_hash]).get(key_hash)


def access_of_keys(hashes: Collection[str]) -> dict[str, Access]:
    """Return the access of each key by its SHA-256 (hex), and update `last_used_at`, at most once a minute.

    Left out are keys that are unknown or revoked, or whose creator has no role in the workspace any more.
    """
    roles = {key: role for key in ApiKey.objects.usable().with_hashes(hashes) if (role := key.role_now())}
    now = timezone.now()
    before = now - LAST_USED_PRECISION
    just_used = [key.pk for key in roles if key.last_used_at is None or key.last_used_at < before]
    if just_used:
        ApiKey.objects.filter(pk__in=just_used).update(last_used_at=now)
    return {key.key_hash: Access(key.workspace, role, user=key.created_by, api_key=key) for key, role in roles.items()}


def still_has_access(access: Access) -> bool:
    """True where whoever `access` was given to would be given one to the same workspace again."""
    if access.api_key is not None:
        now = access_of_keys([access.api_key.key_hash]).get(access.api_key.key_hash)
    else:
        user = User.objects.filter(pk=access.user.pk, is_active=True).first() if access.user else None
        now = access_of_user(user, access.workspace.slug) if user else None
    return now is not None and now.workspace.is_open
