"""Calls from asyncio code, such as a web process's: any number of event loops and threads share what the process has.

    async with permits_for(provider).permit():
        answer = await adapter.transcribe(...)

The database is asked by a thread of its own, which ends some seconds after the last call: until then the next one finds
a slot and begins at once, unless others want these slots meanwhile.
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
    """By provider, where its gate is closed: one sentence. One query."""
    now = timezone.now()
    throttles = ProviderThrottle.objects.filter(pk__in=[pk for pk in provider_ids if pk]).select_related("provider")
    return {throttle.pk: [why] for throttle in throttles if (why := _in_words(throttle, now))}


def why_waiting(provider: Provider) -> str:
    """Why no call to the provider may begin now; empty where one may."""
    throttle = getattr(provider, "throttle", None)  # it has none before its first call
    return _in_words(throttle, timezone.now()) if throttle else ""


def _in_words(throttle: ProviderThrottle, now: datetime) -> str:
    end = throttle.closed_until(now)
    if end is None and not throttle.openings:
        return ""
    clock = f"{timezone.localtime(end):%H:%M:%S}" if end else ""
    if throttle.backoff_until == end and end is not None:
        return f"{throttle.provider.name} asked to wait until {clock}: {throttle.message}"
    what = f"paused until {clock}, then tried again" if clock else "being tried again"
    return f"{throttle.provider.name} failed again and again, and is {what}: {throttle.message}"


logger = logging.getLogger(__name__)

HEADROOM = 2  # slots at least that are held beside those that are used, so that a call more need not ask first
PATIENCE = 5.0  # seconds that a call waits for its turn
LINGER = 20.0  # seconds that slots are kept after the last call, where nobody lacks them
LINGER_TICK = 0.5  # seconds until it is looked whether somebody does


class ProviderPaused(ProviderError):  # noqa: N818
    """No call was made: none to the provider may begin before `until`."""

    def __init__(self, seconds: float, reason: Reason, message: str) -> None:
        super().__init__(reason, message, retryable=True, retry_after=seconds)
        self.until = timezone.now() + timedelta(seconds=seconds)


def _in_own_words(error: ProviderError) -> ProviderError:
    """The same without what the provider said, which may quote what somebody sent: the gate keeps it for all to see."""
    message = f"A call failed with {error.status or error.reason}."
    return ProviderError(
        error.reason, message, retryable=error.retryable, status=error.status, retry_after=error.retry_after
    )


class AsyncLimiter:
    """This process's calls to one provider."""

    def __init__(self, provider_id: int) -> None:
        self._share = SlotHolder(provider_id)
        self._lock = threading.Lock()  # of all that follows, and of the share
        self._waiting: deque[Future[None]] = deque()
        self._most = 0  # calls that were wanted at once since the last look
        self._begun = 0  # calls since then
        self._lingers_until = 0.0
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @asynccontextmanager
    async def slot(self, patience: float = PATIENCE) -> AsyncIterator[None]:
        """Inside, one call is under way; how it ends is noted. Waits for a free slot, `patience` seconds at most.
        Raises ProviderPaused, and ProviderError where the provider was deleted."""
        await self._begin(patience)
        try:
            yield
        except ProviderError as error:
            self._end(error)
            raise
        except BaseException:  # it was cancelled, or failed for another reason: nothing is known of the provider
            self._end(None, is_known=False)
            raise
        else:
            self._end(None)

    def close(self) -> None:
        """Give back slots that are kept for calls to come."""
        with self._lock:
            self._lingers_until, self._most = 0.0, self._wanted
            self._wake.set()
            thread = self._thread
        if thread:
            thread.join(1)

    async def _begin(self, patience: float) -> None:
        turn: Future[None] = Future()
        with self._lock:
            self._waiting.append(turn)
            self._keep_asking()
            self._serve()
        if turn.done():
            return turn.result()
        try:
            async with asyncio.timeout(patience):
                await asyncio.wrap_future(turn)
        except TimeoutError:
            self._give_up(turn)
            message = "The provider's limit of calls at once, or of calls a minute, is reached."
            raise ProviderPaused(max(1.0, self._share.wait), Reason.RATE_LIMITED, message) from None
        except asyncio.CancelledError:
            self._give_up(turn)
            raise

    def _give_up(self, turn: "Future[None]") -> None:
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif not turn.cancelled() and turn.exception() is None:  # it came at the same moment
                self._share.drop()
                self._serve()

    def _end(self, error: ProviderError | None, *, is_known: bool = True) -> None:
        with self._lock:
            if is_known:
                self._share.end(error and _in_own_words(error))
            else:
                self._share.drop()
            self._serve()
            if self._waiting or error is not None:
                self._wake.set()

    # --- with the lock held -----------------------------------------------------------------------

    @property
    def _wanted(self) -> int:
        return self._share.in_use + len(self._waiting)

    def _keep_asking(self) -> None:
        self._most = max(self._most, self._wanted)
        if self._thread is None:
            self._thread = threading.Thread(target=self._ask_again_and_again, name="permits", daemon=True)
            self._thread.start()
        elif not self._share.has_room():
            self._wake.set()

    def _serve(self) -> None:
        """Whose turn it is begins; where the provider is closed all are sent away."""
        while self._waiting and self._share.has_room():
            turn = self._waiting.popleft()
            if turn.set_running_or_notify_cancel():  # else: it was given up
                self._share.begin()
                self._begun += 1
                turn.set_result(None)
        if self._waiting and (error := self._why_closed()):
            self._send_away(error)

    def _why_closed(self) -> ProviderPaused | None:
        grant, wait = self._share.grant, self._share.wait
        if self._share.has_room():
            return None
        if (grant.until and wait) or (grant.is_failing and (wait or self._share.in_use)):
            reason = Reason(grant.reason) if grant.reason else Reason.PROVIDER_ERROR
            return ProviderPaused(wait or HALF_OPEN_SECONDS, reason, grant.message)
        if wait > PATIENCE:
            return ProviderPaused(wait, Reason.RATE_LIMITED, "The provider's limit of requests a minute is reached.")
        return None

    def _send_away(self, error: Exception) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if turn.set_running_or_notify_cancel():
                turn.set_exception(error)

    @property
    def _may_linger(self) -> bool:
        grant = self._share.grant
        is_open = grant.until is None and not grant.is_failing
        return is_open and not grant.contended and time.monotonic() < self._lingers_until

    def _question(self, wanted: int) -> AllocationRequest:
        """Beside what is wanted as much again, where nobody lacks it: the next calls need not wait for an answer."""
        start_times = len(self._waiting) + self._begun // 2
        self._begun = 0
        if not wanted and not self._may_linger:
            return self._share.question(0, start_times)
        headroom = 0 if self._share.grant.contended else max(HEADROOM, wanted)
        return self._share.question(wanted + headroom, start_times, spare=headroom)

    # --- in the thread ----------------------------------------------------------------------------

    def _ask_again_and_again(self) -> None:
        try:
            while (pause := self._look()) is not None:
                self._wake.wait(pause)
                self._wake.clear()
        finally:
            connection.close()

    def _look(self) -> float | None:
        """Ask where that is due. Seconds until it may be due again; None where all is given back."""
        with self._lock:
            wanted, self._most = max(self._most, self._wanted), self._wanted
            if wanted:
                self._lingers_until = time.monotonic() + LINGER
            if wanted and not self._share.is_due(wanted):
                self._most = wanted
                self._serve()
                return self._share.seconds_to_look
            question = self._question(wanted)
        grant: Allocation | None = None
        error: Exception | None = None
        try:
            grant = allocate(self._share.provider_id, self._share.holder, question)
        except ProviderError as deleted:
            error = deleted
        except Exception as failure:
            logger.error("The database could not be asked for permits: %s", type(failure).__name__)
            error = failure
            connection.close()
        with self._lock:
            if grant is not None:
                self._share.take(grant)
                self._serve()
            elif error is not None:
                self._send_away(error)
            if self._wanted or wanted:
                return self._share.seconds_to_look
            if question.wanted and grant is not None:
                return LINGER_TICK
            self._share.take(Allocation(slots=0, start_times=[]))  # a grant ends with its thread
            self._thread = None
            return None


_permits: dict[tuple[int, int], AsyncLimiter] = {}
_lock = threading.Lock()


def limiter_for(provider: Provider) -> AsyncLimiter:
    """Those of this process."""
    key = (os.getpid(), provider.pk)
    if found := _permits.get(key):
        return found
    with _lock:
        return _permits.setdefault(key, AsyncLimiter(provider.pk))


@atexit.register
def close_limiters() -> None:
    """Give back what this process keeps for calls to come."""
    with _lock:
        mine = [permits for (process, _), permits in _permits.items() if process == os.getpid()]
    for permits in mine:
        permits.close()
