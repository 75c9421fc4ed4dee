"""Limits for asyncio code: all event loops and threads of a process share one `AsyncLimiter` for each provider.

    async with limiter_for(provider).slot():
        answer = await adapter.transcribe(...)

A background thread talks to the database. It keeps slots for LINGER seconds after the last call, so that the next call
begins at once, unless other holders want them.
"""

import asyncio
import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Collection
from concurrent.futures import Future
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from providers.adapters.base import ProviderError
from providers.limits.allocation import HALF_OPEN_SECONDS, Allocation, AllocationRequest, allocate
from providers.limits.holder import SlotHolder
from providers.models import Provider, ProviderThrottle
from providers.reasons import Reason


def why_closed(provider_ids: Collection[int | None]) -> dict[int | None, list[str]]:
    """Return, for each provider that takes no calls now, one sentence that says why. Costs one query."""
    now = timezone.now()
    throttles = ProviderThrottle.objects.filter(pk__in=[pk for pk in provider_ids if pk]).select_related("provider")
    return {throttle.pk: [why] for throttle in throttles if (why := _sentence(throttle, now))}


def why_waiting(provider: Provider) -> str:
    """Say why no call to the provider may begin now; empty if one may."""
    throttle = getattr(provider, "throttle", None)  # it has none before its first call
    return _sentence(throttle, timezone.now()) if throttle else ""


def _sentence(throttle: ProviderThrottle, now: datetime) -> str:
    end = throttle.closed_until(now)
    if end is None and not throttle.openings:
        return ""
    clock = f"{timezone.localtime(end):%H:%M:%S}" if end else ""
    if throttle.backoff_until == end and end is not None:
        return f"{throttle.provider.name} asked to wait until {clock}: {throttle.message}"
    what = f"paused until {clock}, then tried again" if clock else "being tried again"
    return f"{throttle.provider.name} failed again and again, and is {what}: {throttle.message}"


logger = logging.getLogger(__name__)

HEADROOM = 2  # least number of spare slots: the next call begins without asking the database
PATIENCE = 5.0  # seconds that a call waits for a slot
LINGER = 20.0  # seconds that slots are kept after the last call, unless other holders want them
LINGER_TICK = 0.5  # seconds between two checks whether other holders do


class ProviderPaused(ProviderError):  # noqa: N818
    """No call was made: the provider takes none before `until` (back-off, open circuit or rate limit)."""

    def __init__(self, seconds: float, reason: Reason, message: str) -> None:
        super().__init__(reason, message, retryable=True, retry_after=seconds)
        self.until = timezone.now() + timedelta(seconds=seconds)


def _without_provider_text(error: ProviderError) -> ProviderError:
    """Return the error without the provider's message, which may quote a request: the throttle shows it to
    everybody."""
    message = f"A call failed with {error.status or error.reason}."
    return ProviderError(
        error.reason, message, retryable=error.retryable, status=error.status, retry_after=error.retry_after
    )


class AsyncLimiter:
    """Limits the calls of this process to one provider. Thread-safe."""

    def __init__(self, provider_id: int) -> None:
        self._holder = SlotHolder(provider_id)
        self._lock = threading.Lock()  # guards all attributes, and the holder
        self._waiting: deque[Future[None]] = deque()
        self._most = 0  # most calls wanted at once since the last request to the database
        self._begun = 0  # calls begun since then
        self._lingers_until = 0.0
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @asynccontextmanager
    async def slot(self, patience: float = PATIENCE) -> AsyncIterator[None]:
        """Hold a slot for one call, whose outcome is recorded. Waits for a slot for at most `patience` seconds. Raises
        ProviderPaused if there is none, ProviderError if the provider was deleted."""
        await self._begin(patience)
        try:
            yield
        except ProviderError as error:
            self._end(error)
            raise
        except BaseException:  # cancelled, or a fault of our own: no outcome of the provider
            self._end(None, is_known=False)
            raise
        else:
            self._end(None)

    def close(self) -> None:
        """Give back the spare slots."""
        with self._lock:
            self._lingers_until, self._most = 0.0, self._wanted
            self._wake.set()
            thread = self._thread
        if thread:
            thread.join(1)

    async def _begin(self, patience: float) -> None:
        waiter: Future[None] = Future()
        with self._lock:
            self._waiting.append(waiter)
            self._keep_asking()
            self._serve()
        if waiter.done():
            return waiter.result()
        try:
            async with asyncio.timeout(patience):
                await asyncio.wrap_future(waiter)
        except TimeoutError:
            self._give_up(waiter)
            message = "The provider's limit of calls at once, or of calls a minute, is reached."
            raise ProviderPaused(max(1.0, self._holder.wait), Reason.RATE_LIMITED, message) from None
        except asyncio.CancelledError:
            self._give_up(waiter)
            raise

    def _give_up(self, waiter: "Future[None]") -> None:
        with self._lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif not waiter.cancelled() and waiter.exception() is None:  # it got its slot at the same moment
                self._holder.drop()
                self._serve()

    def _end(self, error: ProviderError | None, *, is_known: bool = True) -> None:
        with self._lock:
            if is_known:
                self._holder.end(error and _without_provider_text(error))
            else:
                self._holder.drop()
            self._serve()
            if self._waiting or error is not None:
                self._wake.set()

    # --- with the lock held -----------------------------------------------------------------------

    @property
    def _wanted(self) -> int:
        return self._holder.in_use + len(self._waiting)

    def _keep_asking(self) -> None:
        self._most = max(self._most, self._wanted)
        if self._thread is None:
            self._thread = threading.Thread(target=self._ask_again_and_again, name="limiter", daemon=True)
            self._thread.start()
        elif not self._holder.has_room():
            self._wake.set()

    def _serve(self) -> None:
        """Let waiting calls begin, in order, while there are slots; fail all of them if the provider takes no calls."""
        while self._waiting and self._holder.has_room():
            waiter = self._waiting.popleft()
            if waiter.set_running_or_notify_cancel():  # else: it was cancelled
                self._holder.begin()
                self._begun += 1
                waiter.set_result(None)
        if self._waiting and (error := self._closed_error()):
            self._send_away(error)

    def _closed_error(self) -> ProviderPaused | None:
        allocation, wait = self._holder.allocation, self._holder.wait
        if self._holder.has_room():
            return None
        if (allocation.until and wait) or (allocation.is_failing and (wait or self._holder.in_use)):
            reason = Reason(allocation.reason) if allocation.reason else Reason.PROVIDER_ERROR
            return ProviderPaused(wait or HALF_OPEN_SECONDS, reason, allocation.message)
        if wait > PATIENCE:
            return ProviderPaused(wait, Reason.RATE_LIMITED, "The provider's limit of requests a minute is reached.")
        return None

    def _send_away(self, error: Exception) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if waiter.set_running_or_notify_cancel():
                waiter.set_exception(error)

    @property
    def _may_linger(self) -> bool:
        allocation = self._holder.allocation
        is_open = allocation.until is None and not allocation.is_failing
        return is_open and not allocation.contended and time.monotonic() < self._lingers_until

    def _allocation_request(self, wanted: int) -> AllocationRequest:
        """Ask for twice what is wanted unless slots are contended: the next calls begin without waiting for the
        database."""
        start_times = len(self._waiting) + self._begun // 2
        self._begun = 0
        if not wanted and not self._may_linger:
            return self._holder.allocation_request(0, start_times)
        headroom = 0 if self._holder.allocation.contended else max(HEADROOM, wanted)
        return self._holder.allocation_request(wanted + headroom, start_times, spare=headroom)

    # --- in the thread ----------------------------------------------------------------------------

    def _ask_again_and_again(self) -> None:
        try:
            while (pause := self._look()) is not None:
                self._wake.wait(pause)
                self._wake.clear()
        finally:
            connection.close()

    def _look(self) -> float | None:
        """Ask the database if that is due. Returns the seconds until it may be due again; None after all slots were
        given back, when the thread ends."""
        with self._lock:
            wanted, self._most = max(self._most, self._wanted), self._wanted
            if wanted:
                self._lingers_until = time.monotonic() + LINGER
            if wanted and not self._holder.is_due(wanted):
                self._most = wanted
                self._serve()
                return self._holder.seconds_to_look
            request = self._allocation_request(wanted)
        allocation: Allocation | None = None
        error: Exception | None = None
        try:
            allocation = allocate(self._holder.provider_id, self._holder.holder, request)
        except ProviderError as deleted:
            error = deleted
        except Exception as failure:
            logger.error("The database could not be asked for slots: %s", type(failure).__name__)
            error = failure
            connection.close()
        with self._lock:
            if allocation is not None:
                self._holder.take(allocation)
                self._serve()
            elif error is not None:
                self._send_away(error)
            if self._wanted or wanted:
                return self._holder.seconds_to_look
            if request.wanted and allocation is not None:
                return LINGER_TICK
            self._holder.take(Allocation(slots=0, start_times=[]))  # slots are held only while the thread runs
            self._thread = None
            return None


_limiters: dict[tuple[int, int], AsyncLimiter] = {}
_lock = threading.Lock()


def limiter_for(provider: Provider) -> AsyncLimiter:
    """Return the limiter of this process for `provider`."""
    key = (os.getpid(), provider.pk)
    if found := _limiters.get(key):
        return found
    with _lock:
        return _limiters.setdefault(key, AsyncLimiter(provider.pk))


@atexit.register
def close_limiters() -> None:
    """Give back the spare slots of this process."""
    with _lock:
        mine = [limiter for (process, _), limiter in _limiters.items() if process == os.getpid()]
    for limiter in mine:
        limiter.close()
