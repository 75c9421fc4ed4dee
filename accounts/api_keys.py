"""Whose key that is."""

from collections.abc import Collection
from datetime import timedelta

from django.utils import timezone

from accounts.access import Access, access_of_user
from accounts.models import ApiKey, User
from accounts.services import hash_key

NOTED_EVERY = timedelta(minutes=1)  # how often a key's use is noted


def access_of_key(secret: str) -> Access | None:
    """The access of an API key; None where the key is unknown or revoked."""
    key_hash = hash_key(secret)
    return access_of_keys([key_hash]).get(key_hash)


def access_of_keys(hashes: Collection[str]) -> dict[str, Access]:
    """The access of each key by its SHA-256 (hex); keys that are unknown or revoked, or whose maker may do nothing in
    the workspace any more, are left out.

    `last_used_at` is written at most once a minute.
    """
    roles = {key: role for key in ApiKey.objects.usable().with_hashes(hashes) if (role := key.role_now())}
    now = timezone.now()
    before = now - NOTED_EVERY
    to_note = [key.pk for key in roles if key.last_used_at is None or key.last_used_at < before]
    if to_note:
        ApiKey.objects.filter(pk__in=to_note).update(last_used_at=now)
    return {key.key_hash: Access(key.workspace, role, user=key.created_by, api_key=key) for key, role in roles.items()}


def still_has_access(access: Access) -> bool:
    """True where whoever `access` was given to would be given one to the same workspace again."""
    if access.api_key is not None:
        now = access_of_keys([access.api_key.key_hash]).get(access.api_key.key_hash)
    else:
        user = User.objects.filter(pk=access.user.pk, is_active=True).first() if access.user else None
        now = access_of_user(user, access.workspace.slug) if user else None
    return now is not None and now.workspace.is_open
