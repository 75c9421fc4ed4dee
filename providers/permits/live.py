"""Calls from asyncio code, such as a web process's: any number of event loops and threads share what the process has.

    async with permits_for(provider).permit():
        answer = await adapter.transcribe(...)

The database is asked by a thread of its own, which ends when nothing is called for a moment.
"""

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from providers.adapters.base import ProviderError
from providers.models import Provider
from providers.permits.exchange import Grant, exchange
from providers.permits.share import Share
from providers.reasons import Reason

logger = logging.getLogger(__name__)

HEADROOM = 2  # slots that are held beside those that are used, so that a call more need not ask first
PATIENCE = 5.0  # seconds that a call waits for its turn under a limit a minute


class ProviderPaused(Exception):  # noqa: N818
    """No call to the provider may begin before `until`. `str(error)` is for a person."""

    def __init__(self, until: datetime, reason: str, message: str) -> None:
        super().__init__(message)
        self.until = until
        self.reason = reason  # of `providers.reasons.Reason`


class Permits:
    """This process's calls to one provider."""

    def __init__(self, provider_id: int) -> None:
        self._share = Share(provider_id)
        self._lock = threading.Lock()  # of all that follows, and of the share
        self._waiting: deque[Future[None]] = deque()
        self._most = 0  # calls that were wanted at once since the last look
        self._is_asking = False
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[None]:
        """Inside, one call is under way; how it ends is noted. Waits where all slots are taken: bound it with
        `asyncio.timeout`. Raises ProviderPaused, and ProviderError where the provider was deleted."""
        await self._begin()
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

    async def _begin(self) -> None:
        turn: Future[None] = Future()
        with self._lock:
            self._waiting.append(turn)
            self._serve()
            self._keep_asking()
        try:
            await asyncio.wrap_future(turn)
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._end(None, is_known=False)  # its turn came at the same moment
            raise

    def _end(self, error: ProviderError | None, *, is_known: bool = True) -> None:
        with self._lock:
            if is_known:
                self._share.end(error)
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
        elif self._waiting:
            self._wake.set()

    def _serve(self) -> None:
        """Whose turn it is begins; where the provider is closed all are sent away."""
        while self._waiting and not self._is_asking and self._share.has_room():
            turn = self._waiting.popleft()
            if turn.set_running_or_notify_cancel():  # else: it was given up
                self._share.begin()
                turn.set_result(None)
        if self._waiting and (refusal := self._refusal()):
            self._send_away(refusal)

    def _refusal(self) -> ProviderPaused | None:
        grant, wait = self._share.grant, self._share.wait
        is_limited = wait > PATIENCE and grant.until is None
        if not (grant.until or grant.is_failing or is_limited) or self._share.has_room():
            return None
        until = timezone.now() + timedelta(seconds=wait)
        if is_limited:
            return ProviderPaused(until, Reason.RATE_LIMITED, "The provider's limit of requests a minute is reached.")
        return ProviderPaused(until, grant.reason, grant.message)

    def _send_away(self, error: Exception) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if turn.set_running_or_notify_cancel():
                turn.set_exception(error)

    # --- in the thread ----------------------------------------------------------------------------

    def _ask_again_and_again(self) -> None:
        try:
            while self._look():
                self._wake.wait(self._share.seconds_to_look)
                self._wake.clear()
        finally:
            connection.close()

    def _look(self) -> bool:
        """Ask where that is due. False where nothing was called since the last look, and all is given back."""
        with self._lock:
            wanted, self._most = max(self._most, self._wanted), self._wanted
            if wanted and not self._share.is_due(wanted):
                self._most = wanted
                self._serve()
                return True
            question = self._share.question(wanted + HEADROOM if wanted else 0)
            self._is_asking = True
        grant: Grant | None = None
        error: Exception | None = None
        try:
            grant = exchange(self._share.provider_id, self._share.holder, question)
        except Exception as failure:
            logger.error("The database could not be asked for permits: %s", type(failure).__name__)
            error = failure
            connection.close()
        with self._lock:
            self._is_asking = False
            if grant is not None:
                self._share.take(grant)
                self._serve()
            elif error is not None:
                self._send_away(error)
            if not self._wanted and not wanted:
                self._thread = None
                return False
        return True


_permits: dict[tuple[int, int], Permits] = {}
_lock = threading.Lock()


def permits_for(provider: Provider) -> Permits:
    """Those of this process."""
    with _lock:
        return _permits.setdefault((os.getpid(), provider.pk), Permits(provider.pk))
