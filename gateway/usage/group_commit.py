"""The gateway's database thread, one for each process: it handles many requests in one transaction (group commit)."""

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
DATABASE_ERRORS = (OperationalError, InterfaceError)  # raised if the database does not answer
PATIENCE = 10.0  # seconds that the exiting process waits for unwritten requests

# Handles the arguments of many requests in one transaction: returns a result or an exception for each, in order.
Handler = Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(eq=False, slots=True)
class Request:
    handler: Handler
    argument: Any
    must: bool
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[Any]"


class Writer:
    """Passes all waiting requests to their handlers at once: the busier the process, the fewer transactions a request.

    The thread starts with the first request. It has its own database connection, which is opened again when it breaks.
    """

    def __init__(self, *, periodic: Callable[[], None], period: Callable[[], float]) -> None:
        """`periodic` is called in the thread every `period()` seconds."""
        self._periodic, self._period = periodic, period
        self._waiting: list[Request] = []
        self._unwritten: list[Request] = []  # requests with `must` that failed as the database did not answer
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._is_unavailable = False  # the database does not answer

    def submit(self, handler: Handler, argument: Any, *, must: bool = False) -> "asyncio.Future[Any]":
        """Have the thread handle `argument`; returns a future of the running event loop. Cancelling it undoes nothing.

        While the database does not answer, requests with `must` are repeated until it does; others fail with ApiError
        503.
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
        """Handle what is waiting and end the thread, within `patience` seconds. A later request starts it again."""
        with self._changed:
            thread = self._thread
            self._closing = True
            self._changed.notify()
        if thread is not None:
            thread.join(patience)
            if thread.is_alive():
                logger.error("gateway: the database does not answer; the sweep will settle what is not yet written")

    def _run(self) -> None:
        next_periodic = time.monotonic() + self._period()
        pause = 0.0
        while self._work(pause or next_periodic - time.monotonic()):
            pause = min(2 * pause + 0.05, LONGEST_PAUSE) if self._unwritten else 0.0
            if time.monotonic() >= next_periodic:
                self._run_periodic()
                next_periodic = time.monotonic() + self._period()
        connection.close()

    def _work(self, patience: float) -> bool:
        """Handle what is waiting; returns False when the thread is to end. It is a function of its own so that no local
        variable of the loop keeps a reservation alive that its holder has dropped."""
        requests = self._next(patience)
        for group in _by_handler(requests or []):
            self._unwritten += self._handle(group)
        return requests is not None

    def _handle(self, requests: list[Request]) -> list[Request]:
        """Handle requests of one handler. Returns those to repeat later."""
        try:
            answers = _call_handler(requests[0].handler, [request.argument for request in requests])
        except DATABASE_ERRORS as error:
            self._note_unavailable(error)
            _deliver((request, unavailable()) for request in requests if not request.must)
            return [request for request in requests if request.must]
        except Exception as error:  # one request is at fault: handle each alone
            if len(requests) > 1:
                return [kept for request in requests for kept in self._handle([request])]
            logger.error("gateway: a usage record could not be written (%s)", type(error).__name__)
            answers = [error]
        else:
            self._note_available()
        _deliver(zip(requests, answers, strict=True))
        return []

    def _note_unavailable(self, error: Exception) -> None:
        """Log the first failure only: under load all of them would fill the log."""
        connection.close()
        if not self._is_unavailable:
            logger.error("gateway: the database does not answer (%s); calls are refused", type(error).__name__)
        self._is_unavailable = True

    def _note_available(self) -> None:
        if self._is_unavailable:
            logger.info("gateway: the database answers again")
        self._is_unavailable = False

    def _next(self, patience: float) -> list[Request] | None:
        """Wait up to `patience` seconds for requests, and return them; None when all are handled and the thread is to
        end."""
        with self._changed:
            if not self._waiting and (self._unwritten or not self._closing):
                self._changed.wait(max(patience, 0))
            if self._closing and not self._waiting and not self._unwritten:
                self._thread = None
                return None
            return _take(self._unwritten) + _take(self._waiting)

    def _run_periodic(self) -> None:
        try:
            self._periodic()
        except DATABASE_ERRORS as error:
            self._note_unavailable(error)


def _take(requests: list[Request]) -> list[Request]:
    taken = requests[:MOST_AT_ONCE]
    del requests[:MOST_AT_ONCE]
    return taken


def _by_handler(requests: Iterable[Request]) -> Iterable[list[Request]]:
    groups: dict[Handler, list[Request]] = {}
    for request in requests:
        groups.setdefault(request.handler, []).append(request)
    return groups.values()


def _call_handler(handler: Handler, arguments: list[Any]) -> Sequence[Any]:
    try:
        return handler(arguments)
    except DATABASE_ERRORS:
        connection.close()  # the idle connection may have broken: try once with a new one
        return handler(arguments)


def _deliver(answered: Iterable[tuple[Request, Any]]) -> None:
    """Set the results of the requests' futures. Wakes each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Request, Any]]] = {}
    for request, answer in answered:
        by_loop.setdefault(request.loop, []).append((request, answer))
    for loop, pairs in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(_resolve, pairs)


def _resolve(pairs: list[tuple[Request, Any]]) -> None:
    for request, answer in pairs:
        if request.answer.done():  # cancelled
            continue
        if isinstance(answer, Exception):
            request.answer.set_exception(answer)
        else:
            request.answer.set_result(answer)
