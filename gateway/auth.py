"""Authentication of the gateway's requests: API key, role, budgets and rate limit, checked before the body is read."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone

from accounts.access import Access
from accounts.api_keys import access_of_keys, hash_key
from accounts.models import Role
from gateway.errors import ApiError
from gateway.rate_limit import Need, local_buckets, take
from gateway.usage.budgets import accounts_of, over_budget
from gateway.usage.recorder import writer

__all__ = ["authenticate", "authenticate_key", "forget"]

CACHE_SECONDS = 5.0  # seconds until changes of a key, its limits and its budgets reach every process
MOST_CACHED = 10_000


@dataclass(frozen=True, slots=True)
class CachedKey:
    """A valid key, as this process has cached it."""

    access: Access
    error: ApiError | None  # answer to every request: the role or workspace forbids calls, or a budget is used up
    read_at: float  # time.monotonic()

    @property
    def calls_a_minute(self) -> int:
        """The rate limit; 0: none."""
        api_key = self.access.api_key
        limit: int = (api_key and api_key.requests_per_minute) or settings.GATEWAY_REQUESTS_PER_MINUTE
        return limit


_cache: "OrderedDict[str, CachedKey]" = OrderedDict()  # by the key's SHA-256 (hex); the oldest first
_lock = threading.Lock()


async def authenticate(authorization: str | None) -> Access:
    """Authenticate a request by its `Authorization` header, and count it against the key's rate limit.

    Raises ApiError: 401 without a valid key, 403 if the workspace is switched off or the role may not make calls, 402
    if a budget is used up, 429 at the rate limit, 503 if the database does not answer.
    """
    return await authenticate_key(hash_key(_bearer(authorization)))


async def authenticate_key(key_hash: str) -> Access:
    """Authenticate by the key's SHA-256 (hex), as for each turn of a voice session. Raises as `authenticate` does."""
    cached = _cache.get(key_hash)
    if cached is None or time.monotonic() - cached.read_at > CACHE_SECONDS:
        cached = await writer.submit(_read, key_hash)
    if cached is None:
        raise _invalid_key("Invalid API key: it is unknown or revoked.")
    if cached.error is not None:
        raise cached.error.with_traceback(None)  # the cached error must not keep the frames of every request
    if cached.calls_a_minute:
        await _spend_call(cached)
    return cached.access


def forget() -> None:
    """Clear the caches of this process."""
    with _lock:
        _cache.clear()
    local_buckets.empty()


def _bearer(authorization: str | None) -> str:
    scheme, _, key = (authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise _invalid_key("Send an API key of this site as `Authorization: Bearer KEY`.")
    return key.strip()


async def _spend_call(cached: CachedKey) -> None:
    api_key = cached.access.api_key
    assert api_key is not None  # noqa: S101  (accesses by key have one)
    while (wait := local_buckets.spend(api_key.pk)) is None:
        await writer.submit(take, Need(api_key.pk, cached.calls_a_minute))
    if wait:
        raise _too_many(cached.calls_a_minute, wait)


def _read(hashes: Sequence[str]) -> list[CachedKey | None]:
    """Read keys from the database and cache the valid ones. Runs in the writer's thread."""
    accesses = access_of_keys(set(hashes))
    now = timezone.now()
    accounts = {
        key_hash: accounts_of(access.workspace.pk, access.api_key_id, now) for key_hash, access in accesses.items()
    }
    exceeded = over_budget(account for each in accounts.values() for account in each)
    found = {}
    for key_hash, access in accesses.items():
        over = next((exceeded[account] for account in accounts[key_hash] if account in exceeded), None)
        found[key_hash] = CachedKey(access, _forbidden(access) or over, time.monotonic())
    _remember(set(hashes), found)
    return [found.get(key_hash) for key_hash in hashes]


def _remember(asked: set[str], found: dict[str, CachedKey]) -> None:
    with _lock:
        for key_hash in asked:
            _cache.pop(key_hash, None)
        _cache.update(found)
        while len(_cache) > MOST_CACHED:
            _cache.popitem(last=False)


def _invalid_key(message: str) -> ApiError:
    return ApiError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})


def _forbidden(access: Access) -> ApiError | None:
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
