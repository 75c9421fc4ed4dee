"""The WebSocket endpoint /v1/realtime: connects a client with its session."""

import asyncio
import logging
import secrets
import time
from contextlib import suppress
from typing import Any

from django.conf import settings
from starlette.routing import WebSocketRoute
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from core.tracebacks import place_of
from gateway.errors import ApiError
from gateway.http.errors import response_of
from voice.handshake import Handshake, SessionStart, begin, read_handshake
from voice.models import RealtimeSession
from voice.protocol.context import Ids
from voice.protocol.runner_events import TimeUp
from voice.protocol.wire import Wire
from voice.provider_calls import Caller
from voice.runner import Runner
from voice.send_queue import SendQueue, SlowReader
from voice.session_config import DIALECTS
from voice.session_store import Ending, end_session, may_go_on, open_session

logger = logging.getLogger(__name__)

End = RealtimeSession.End

CHECKED_EVERY = 3.0  # seconds between checks of the caller's access
FAREWELL = 2.0  # seconds to send the close frame
POLICY, FAULT = 1008, 1011
GONE = WebSocketDisconnect, WebSocketDisconnected  # nothing more can be sent
# The reason of a disconnection by its close code; any other code: the connection was lost.
ENDS = {
    1000: End.CLIENT,
    1001: End.CLIENT,
    1012: End.RESTART,
    1002: End.PROTOCOL,
    1007: End.PROTOCOL,
    1009: End.PROTOCOL,
}


class RealtimeConnection:
    """One connection, from the accepted handshake on."""

    def __init__(self, websocket: WebSocket, handshake: Handshake, start: SessionStart, session_id: int) -> None:
        stem = secrets.token_hex(8)
        self._websocket = websocket
        self._subprotocol = handshake.subprotocol
        self._caller = Caller(start.access, start.choices.catalog, session_id, f"rt_{stem}")
        self._send_queue = SendQueue()
        dialect = DIALECTS[handshake.dialect]
        wire = Wire(dialect=dialect, config=start.config, models=start.choices.models, ids=Ids(stem))
        self._runner = Runner(wire, self._caller, self._send_queue)
        self._opened_at = self._heard_at = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self._serving: asyncio.Task[Any] | None = None  # None: not serving
        self._end: str = ""  # RealtimeSession.End, once it is known
        self._left = False  # the server has ended the connection

    async def serve(self) -> None:
        """Accept the connection, and serve it until either side ends it."""
        self._serving = asyncio.current_task()
        try:
            await self._websocket.accept(self._subprotocol)
            self._start()
            await self._receive()
        except asyncio.CancelledError:
            if self._serving is None or not self._left:
                raise
            self._serving.uncancel()  # it was `_leave`
        finally:
            self._serving = None
            await self._finish()

    def _start(self) -> None:
        self._runner.start()
        create_task = asyncio.get_running_loop().create_task
        self._tasks = [create_task(self._write()), create_task(self._watch_the_clock())]

    async def _receive(self) -> None:
        """Take one message after another, until the client has gone."""
        while (message := await self._websocket.receive())["type"] != "websocket.disconnect":
            await self._take(message)
        self._end = self._end or ENDS.get(message["code"], End.DROPPED)

    async def _take(self, message: Message) -> None:
        """Handle a message; returns when the next one may be read."""
        self._heard_at = time.monotonic()
        try:
            if (text := message.get("text")) is not None:
                await self._runner.text(text)
            else:
                await self._runner.audio(message["bytes"])
        except Exception as error:
            logger.error("A realtime session failed with %s at\n%s", type(error).__name__, place_of(error))
            await self._leave(End.FAULT, FAULT, "Something went wrong here.")

    async def _leave(self, end: str, code: int, reason: str) -> None:
        """Close the connection, and stop serving even if the client does not react."""
        self._end = self._end or end
        with suppress(*GONE, TimeoutError):  # it is gone, or reads no more
            async with asyncio.timeout(FAREWELL):
                await self._websocket.close(code, reason)
        if self._serving is not None:
            self._left = True
            self._serving.cancel()

    async def _finish(self) -> None:
        """Cancel all tasks and save the session's end, even when the server stops."""
        self._caller.gone = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runner.stop()
        await end_session(Ending(self._caller.session_id, self._end or End.DROPPED, self._runner.errors))

    # --- in the background ------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            farewell = await self._send_queue.drain(self._websocket.send_text)
        except SlowReader:
            await self._leave(End.SLOW, POLICY, "What was sent was not read for too long.")
        except GONE:  # the disconnection is on its way
            pass
        else:
            await self._leave(self._end, farewell.code, farewell.reason)

    async def _watch_the_clock(self) -> None:
        """Renew the session, and end it when it is idle, too old, or its caller has lost access."""
        expires_at = self._opened_at + settings.REALTIME_SESSION_MINUTES * 60
        while True:
            idle_at = self._heard_at + settings.REALTIME_IDLE_SECONDS
            now = time.monotonic()
            if now >= expires_at:
                self._end = End.EXPIRED
                return self._runner.tell(TimeUp("expired"))
            if now >= idle_at and not self._runner.is_busy:
                self._end = End.IDLE
                return self._runner.tell(TimeUp("idle"))
            await asyncio.sleep(min(CHECKED_EVERY, max(min(expires_at, idle_at) - now, 1.0)))
            try:
                if not await may_go_on(self._caller.session_id):
                    return await self._leave(End.ACCESS, POLICY, "Your access has ended.")
            except ApiError:  # no database: checked again the next time
                pass
            except Exception as error:  # the same: a session that nobody watches would never end
                logger.error("A session was not checked: %s at\n%s", type(error).__name__, place_of(error))


async def realtime(websocket: WebSocket) -> None:
    """Serve `/v1/realtime`."""
    handshake = read_handshake(websocket)
    try:
        start = await begin(handshake)
        session_id = await _open(handshake, start)
    except ApiError as refused:
        await _deny(websocket, refused)
    else:
        await RealtimeConnection(websocket, handshake, start, session_id).serve()


async def elsewhere(websocket: WebSocket) -> None:
    """Refuse a WebSocket at any other address, and name the right one."""
    await _deny(websocket, ApiError(404, f"There is no WebSocket here. It is at {ADDRESS}."))


async def _deny(websocket: WebSocket, error: ApiError) -> None:
    """Refuse the handshake, with an HTTP response if the server supports that."""
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(response_of(error))
    else:
        await websocket.close()


async def _open(handshake: Handshake, start: SessionStart) -> int:
    """Create the session's row and return its id. Raises ApiError."""
    config = start.config
    models = {"stt_model": config.stt_model}
    if config.kind == "realtime":
        models |= {"chat_model": config.llm_model, "tts_model": config.tts_model}
    return await open_session(start.access, dialect=handshake.dialect, kind=config.kind, models=models)


ADDRESS = "/v1/realtime"
ROUTES = [
    WebSocketRoute(ADDRESS, realtime),
    WebSocketRoute(f"{ADDRESS}/", realtime),
    WebSocketRoute("/{path:path}", elsewhere),
]
