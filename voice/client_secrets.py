"""Short-lived keys for browsers, which must not get an API key."""

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from accounts.access import Access, access_of_user
from accounts.api_keys import access_of_keys, hash_key
from accounts.models import Role, User, Workspace
from gateway.auth import authenticate_key
from gateway.errors import ApiError
from gateway.usage.recorder import writer
from voice.models import ClientSecret
from voice.session_config import SessionRequest

PREFIX = "ek_"  # API keys begin with ek-
SHORTEST, USUAL, LONGEST = 10, 600, 7200  # seconds
KEPT = timedelta(days=1)  # after they expire


@dataclass(frozen=True)
class Found:
    access: Access
    wanted: SessionRequest  # the settings of its sessions


async def make(access: Access, wanted: SessionRequest, seconds: int) -> tuple[str, datetime]:
    """Make a secret; return it, as it is stored only as a hash, and when it expires."""
    value, row = _new(access, wanted, seconds)
    await writer.submit(_save, row)
    return value, row.expires_at


def make_for_member(access: Access, wanted: SessionRequest, seconds: int) -> str:
    """Make a secret for a member who is signed in."""
    value, row = _new(access, wanted, seconds)
    _save([row])
    return value


def end_secrets(*, user: User, workspace: Workspace | None, **_: Any) -> None:
    """End the secrets that a person made while signed in. Those of keys end with the keys."""
    secrets_of_user = ClientSecret.objects.filter(user=user)
    (secrets_of_user if workspace is None else secrets_of_user.for_workspace(workspace)).delete()


def _new(access: Access, wanted: SessionRequest, seconds: int) -> tuple[str, ClientSecret]:
    value = PREFIX + secrets.token_urlsafe(32)
    row = ClientSecret(
        workspace=access.workspace,
        api_key=access.api_key,
        user=None if access.api_key else access.user,
        secret_hash=hash_key(value),
        session=asdict(wanted),
        expires_at=timezone.now() + timedelta(seconds=seconds),
    )
    return value, row


async def find(authorization: str | None) -> Found | None:
    """Look up a client secret; None if the header holds none (it may hold an API key).

    Raises ApiError: 401 if it is unknown or expired, and the errors of `authenticate_key` for its maker's key.
    """
    scheme, _, value = (authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not value.strip().startswith(PREFIX):
        return None
    found: Found | None = await writer.submit(_find, hash_key(value.strip()))
    if found is None:
        message = "This client secret is unknown or over. Make a new one by POST /v1/realtime/client_secrets."
        raise ApiError(401, message, code="invalid_api_key")
    if found.access.api_key is not None:
        await authenticate_key(found.access.api_key.key_hash)
    return found


def _save(rows: Sequence[ClientSecret]) -> list[None]:
    ClientSecret.objects.filter(expires_at__lt=timezone.now() - KEPT).delete()
    ClientSecret.objects.bulk_create(rows)
    return [None] * len(rows)


def _find(hashes: Sequence[str]) -> list[Found | None]:
    valid = ClientSecret.objects.valid(timezone.now()).filter(secret_hash__in=hashes)
    rows = {row.secret_hash: row for row in valid.select_related("workspace__organization", "api_key", "user")}
    return [_found(rows[each]) if each in rows else None for each in hashes]


def _found(row: ClientSecret) -> Found | None:
    access = _access_of(row)
    if access is None or not access.workspace.is_open or not access.may(Role.EVALUATOR):
        return None
    return Found(access, SessionRequest(**row.session))


def _access_of(row: ClientSecret) -> Access | None:
    """Return its maker's current access; None if they have none any more."""
    if row.api_key is not None:
        return access_of_keys([row.api_key.key_hash]).get(row.api_key.key_hash)
    if row.user is not None and row.user.is_active:
        return access_of_user(row.user, row.workspace.slug)
    return None
