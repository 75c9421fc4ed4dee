"""Who may call the gateway, and how often: answered before any body is read."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone

from accounts.access import Access
from accounts.api_keys import access_of_keys
from accounts.models import Role
from accounts.services import hash_key
from gateway.errors import ApiError
from gateway.rate_limit import Need, local_buckets, take
from gateway.usage.budgets import accounts_of, over_budget
from gateway.usage.recorder import writer

__all__ = ["ApiError", "authenticate", "authenticate_key", "forget"]

KNOWN_FOR = 5.0  # seconds until a key's revocation, its limits and its budgets hold in every process
MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class CachedKey:
    """What this process knows of a key."""

    access: Access
    error: ApiError | None  # whatever it asks for: it may not call at all, or a budget is used up
    read_at: float  # time.monotonic()

    @property
    def calls_a_minute(self) -> int:
        """0: as many as it likes."""
        api_key = self.access.api_key
        limit: int = (api_key and api_key.requests_per_minute) or settings.GATEWAY_REQUESTS_PER_MINUTE
        return limit


_known: "OrderedDict[str, CachedKey]" = OrderedDict()  # by the key's SHA-256; the longest known first
_lock = threading.Lock()


async def authenticate(authorization: str | None) -> Access:
    """Who is asking, by the `Authorization` header's value, who may make one more call now.

    Raises `ApiError`: 401 without a valid key, 403 where its workspace is switched off or its role may call nothing,
    402 where a budget is used up, 429 where the key has made as many calls as it may, 503 without a database.
    """
    return await authenticate_key(hash_key(_bearer(authorization)))


async def authenticate_key(key_hash: str) -> Access:
    """The same, by the key's SHA-256: for one more turn of somebody who was admitted before."""
    known = _known.get(key_hash)
    if known is None or time.monotonic() - known.read_at > KNOWN_FOR:
        known = await writer.submit(_read, key_hash)
    if known is None:
        raise _no_key("Invalid API key: it is unknown or revoked.")
    if known.error is not None:
        raise known.error.with_traceback(None)  # or it would keep the frames of every call
    if known.calls_a_minute:
        await _spend_call(known)
    return known.access


def forget() -> None:
    """Ask the database again for everything."""
    with _lock:
        _known.clear()
    local_buckets.empty()


def _bearer(authorization: str | None) -> str:
    scheme, _, key = (authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise _no_key("Send an API key of this site as `Authorization: Bearer KEY`.")
    return key.strip()


async def _spend_call(known: CachedKey) -> None:
    api_key = known.access.api_key
    assert api_key is not None  # noqa: S101  (it was asked for by a key)
    while (wait := local_buckets.spend(api_key.pk)) is None:
        await writer.submit(take, Need(api_key.pk, known.calls_a_minute))
    if wait:
        raise _too_many(known.calls_a_minute, wait)


def _read(hashes: Sequence[str]) -> list[CachedKey | None]:
    """For the writer's thread: read keys, and remember those that are valid."""
    accesses = access_of_keys(set(hashes))
    now = timezone.now()
    accounts = {
        key_hash: accounts_of(access.workspace.pk, access.api_key_id, now) for key_hash, access in accesses.items()
    }
    beyond = over_budget(account for each in accounts.values() for account in each)
    found = {}
    for key_hash, access in accesses.items():
        over = next((beyond[account] for account in accounts[key_hash] if account in beyond), None)
        found[key_hash] = CachedKey(access, _closed_to(access) or over, time.monotonic())
    _remember(set(hashes), found)
    return [found.get(key_hash) for key_hash in hashes]


def _remember(asked: set[str], found: dict[str, CachedKey]) -> None:
    with _lock:
        for key_hash in asked:
            _known.pop(key_hash, None)
        _known.update(found)
        while len(_known) > MOST_KNOWN:
            _known.popitem(last=False)


def _no_key(message: str) -> ApiError:
    return ApiError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})


def _closed_to(access: Access) -> ApiError | None:
    if not access.workspace.is_open:
        return ApiError(403, "This workspace is switched off.", kind="permission_error", code="workspace_inactive")
    if not access.may(Role.EVALUATOR):
        message = f"The role of this API key, {access.role}, does not allow calls. Make one for an evaluator."
        return ApiError(403, message, kind="permission_error", code="role_too_low")
    return None


def _too_many(limit: int, wait: float) -> ApiError:
    seconds = math.ceil(wait)
    return ApiError(
        429,
        f"This API key may make {limit} calls a minute. Try again in {seconds} s.",
        kind="rate_limit_error",
        code="rate_limit_exceeded",
        headers={"Retry-After": str(seconds)},
    )
