"""The gateway's database work: one thread a process, off every event loop."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db import InterfaceError, OperationalError, connection

from gateway.errors import unavailable

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 250  # requests in one transaction
LONGEST_PAUSE = 2.0  # seconds between two tries while the database does not answer
GONE = (OperationalError, InterfaceError)  # what a database that does not answer raises
PATIENCE = 10.0  # seconds that the end of the process waits for what is not yet written

# Answers many requests at once, in a transaction of its own: an answer, or an exception, for each in its order.
Handler = Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(eq=False, slots=True)
class Request:
    handler: Handler
    argument: Any
    must: bool
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[Any]"


class Writer:
    """Whatever is waiting when the thread has time goes to its handler together (group commits): the busier the
    process, the fewer transactions a request.

    The thread starts with the first request, and has a database connection of its own, opened again when it breaks.
    """

    def __init__(self, *, periodic: Callable[[], None], chore_every: Callable[[], float]) -> None:
        """`chore` is done in the thread too, every `chore_every()` seconds."""
        self._chore, self._chore_every = periodic, chore_every
        self._waiting: list[Request] = []
        self._unwritten: list[Request] = []  # what must be written, and could not be yet
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._is_away = False  # the database

    def submit(self, handler: Handler, argument: Any, *, must: bool = False) -> "asyncio.Future[Any]":
        """The answer, for the running event loop. Cancelling it takes nothing back.

        While the database does not answer, what must be written is tried until it does; the rest is refused
        (`ApiError`, 503).
        """
        loop = asyncio.get_running_loop()
        request = Request(handler, argument, must, loop, loop.create_future())
        with self._changed:
            self._waiting.append(request)
            if self._thread is None:
                self._closing = False
                self._thread = threading.Thread(target=self._run, name="gateway writer", daemon=True)
                self._thread.start()
            self._changed.notify()
        return request.answer

    def close(self, patience: float = PATIENCE) -> None:
        """Write what is waiting and end the thread, in `patience` seconds at most. A later request starts it again."""
        with self._changed:
            thread = self._thread
            self._closing = True
            self._changed.notify()
        if thread is not None:
            thread.join(patience)
            if thread.is_alive():
                logger.error("gateway: the database does not answer; the sweep will settle what is not yet written")

    def _run(self) -> None:
        chore_at = time.monotonic() + self._chore_every()
        pause = 0.0
        while self._work(pause or chore_at - time.monotonic()):
            pause = min(2 * pause + 0.05, LONGEST_PAUSE) if self._unwritten else 0.0
            if time.monotonic() >= chore_at:
                self._do_chore()
                chore_at = time.monotonic() + self._chore_every()
        connection.close()

    def _work(self, patience: float) -> bool:
        """Write what is waiting; False at the end. Afterwards nothing here refers to it any more: reservations that
        their holders drop are to be seen as dropped."""
        requests = self._next(patience)
        for group in _by_handler(requests or []):
            self._unwritten += self._handle(group)
        return requests is not None

    def _handle(self, requests: list[Request]) -> list[Request]:
        """Have requests of one handler answered; those that are to be tried again."""
        try:
            answers = _ask(requests[0].handler, [request.argument for request in requests])
        except GONE as error:
            self._note_away(error)
            _deliver((request, unavailable()) for request in requests if not request.must)
            return [request for request in requests if request.must]
        except Exception as error:  # it is of one of them: the others must not suffer for it
            if len(requests) > 1:
                return [kept for request in requests for kept in self._handle([request])]
            logger.error("gateway: a usage record could not be written (%s)", type(error).__name__)
            answers = [error]
        else:
            self._note_back()
        _deliver(zip(requests, answers, strict=True))
        return []

    def _note_away(self, error: Exception) -> None:
        """Said once: under load it would fill the log."""
        connection.close()
        if not self._is_away:
            logger.error("gateway: the database does not answer (%s); calls are refused", type(error).__name__)
        self._is_away = True

    def _note_back(self) -> None:
        if self._is_away:
            logger.info("gateway: the database answers again")
        self._is_away = False

    def _next(self, patience: float) -> list[Request] | None:
        """What to write next, after `patience` seconds at most; None when everything is written and it is to end."""
        with self._changed:
            if not self._waiting and (self._unwritten or not self._closing):
                self._changed.wait(max(patience, 0))
            if self._closing and not self._waiting and not self._unwritten:
                self._thread = None
                return None
            return _take(self._unwritten) + _take(self._waiting)

    def _do_chore(self) -> None:
        try:
            self._chore()
        except GONE as error:
            self._note_away(error)


def _take(requests: list[Request]) -> list[Request]:
    taken = requests[:MOST_AT_ONCE]
    del requests[:MOST_AT_ONCE]
    return taken


def _by_handler(requests: Iterable[Request]) -> Iterable[list[Request]]:
    groups: dict[Handler, list[Request]] = {}
    for request in requests:
        groups.setdefault(request.handler, []).append(request)
    return groups.values()


def _ask(handler: Handler, arguments: list[Any]) -> Sequence[Any]:
    try:
        return handler(arguments)
    except GONE:
        connection.close()  # a kept connection that broke meanwhile is no reason to refuse anybody
        return handler(arguments)


def _deliver(answered: Iterable[tuple[Request, Any]]) -> None:
    """Wake each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Request, Any]]] = {}
    for request, answer in answered:
        by_loop.setdefault(request.loop, []).append((request, answer))
    for loop, pairs in by_loop.items():
        with suppress(RuntimeError):  # it was closed meanwhile: nobody waits any more
            loop.call_soon_threadsafe(_resolve, pairs)


def _resolve(pairs: list[tuple[Request, Any]]) -> None:
    for request, answer in pairs:
        if request.answer.done():  # cancelled
            continue
        if isinstance(answer, Exception):
            request.answer.set_exception(answer)
        else:
            request.answer.set_result(answer)
