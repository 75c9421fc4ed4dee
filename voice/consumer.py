"""The WebSocket /v1/realtime: a client on one side, a session on the other."""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from core.tracebacks import place_of
from gateway.errors import Refused
from gateway.http.errors import of_refusal
from voice.handshake import Handshake, SessionStart, begin, read_handshake, take_key_out
from voice.models import RealtimeSession
from voice.protocol.context import Ids
from voice.protocol.runner_events import TimeUp
from voice.protocol.wire import Wire
from voice.provider_calls import Caller
from voice.runner import Runner
from voice.send_queue import Outbox, SlowReader
from voice.session_config import DIALECTS
from voice.session_store import Ending, end_session, open_session, renew_session

logger = logging.getLogger(__name__)

End = RealtimeSession.End

RENEWED_EVERY = 30.0  # seconds
FAREWELL = 2.0  # seconds that a client has to take the last frame
POLICY, FAULT = 1008, 1011
# Codes that a connection ends with, and what they say of why; any other: it was lost.
ENDS = {
    1000: End.CLIENT,
    1001: End.CLIENT,
    1012: End.RESTART,
    1002: End.PROTOCOL,
    1007: End.PROTOCOL,
    1009: End.PROTOCOL,
}


class RealtimeConsumer(AsyncWebsocketConsumer):
    """One connection. `key_in_query` is the key that the address held."""

    def __init__(self, key_in_query: str | None) -> None:
        super().__init__()
        self._key_in_query = key_in_query
        self._runner: Runner | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._serving: asyncio.Task[Any] | None = None  # None: over
        self._end: str = ""  # RealtimeSession.End, once it is known
        self._left = False  # it is over for us, whatever the client does

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Takes one message after another in this task; channels would begin another task for each of them."""
        self.scope, self.base_send = scope, send
        self._serving = asyncio.current_task()
        try:
            while True:
                await self.dispatch(await receive())
        except StopConsumer:
            pass
        except asyncio.CancelledError:
            if self._serving is None or not self._left:
                raise
            self._serving.uncancel()  # it was `_leave`
        finally:
            self._serving = None
            await self._finish()

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Nothing here touches the database: there are no old connections to close in another thread, as channels
        does before each message."""
        await getattr(self, message["type"].replace(".", "_"))(message)

    async def connect(self) -> None:
        handshake = read_handshake(self.scope, self._key_in_query)
        try:
            beginning = await begin(handshake)
            session_id = await _open(handshake, beginning)
        except Refused as refused:
            await self._deny(refused)
            raise StopConsumer from None
        self._prepare(handshake, beginning, session_id)
        await self.accept(handshake.subprotocol)
        self._start()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Returns when the next frame may come."""
        assert self._runner is not None  # noqa: S101  (frames come after connect)
        self._heard_at = time.monotonic()
        try:
            if text_data is not None:
                await self._runner.text(text_data)
            elif bytes_data is not None:
                await self._runner.audio(bytes_data)
        except Exception as error:
            logger.error("A realtime session failed with %s at\n%s", type(error).__name__, place_of(error))
            await self._leave(End.FAULT, FAULT, "Something went wrong here.")

    async def disconnect(self, code: int) -> None:
        self._end = self._end or ENDS.get(code, End.DROPPED)

    # --- the way in and out -----------------------------------------------------------------------

    async def _deny(self, refused: Refused) -> None:
        """An HTTP answer in place of the upgrade."""
        if "websocket.http.response" not in self.scope.get("extensions", {}):
            await self.close()
            return
        error = of_refusal(refused)
        headers = {"Content-Type": "application/json", **error.headers}
        encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await self.base_send({"type": "websocket.http.response.start", "status": error.status, "headers": encoded})
        await self.base_send({"type": "websocket.http.response.body", "body": error.body})

    def _prepare(self, handshake: Handshake, beginning: SessionStart, session_id: int) -> None:
        stem = secrets.token_hex(8)
        self._caller = Caller(beginning.access, beginning.choices.offer, session_id, f"rt_{stem}")
        self._wire = Wire(
            dialect=DIALECTS[handshake.dialect],
            config=beginning.config,
            models=beginning.choices.models,
            ids=Ids(stem),
        )
        self._outbox = Outbox()
        self._runner = Runner(self._wire, self._caller, self._outbox)
        self._opened_at = self._heard_at = time.monotonic()

    def _start(self) -> None:
        assert self._runner is not None  # noqa: S101  (made just before)
        self._runner.start()
        create_task = asyncio.get_running_loop().create_task
        self._tasks = [create_task(self._write()), create_task(self._watch_the_clock(self._runner))]

    async def _leave(self, end: str, code: int, reason: str) -> None:
        """End it from our side, also where the client does not take the news."""
        self._end = self._end or end
        with suppress(OSError, TimeoutError):  # it is gone, or reads no more
            async with asyncio.timeout(FAREWELL):
                await self.close(code, reason)
        if self._serving is not None:
            self._left = True
            self._serving.cancel()

    async def _finish(self) -> None:
        """End all that was begun; what it came to is written down even where the server stops."""
        if self._runner is None:
            return
        self._caller.gone = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runner.stop()
        await end_session(Ending(self._caller.session_id, self._end or End.DROPPED, self._runner.errors))

    # --- in the background ------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            farewell = await self._outbox.drain(lambda frame: self.base_send({"type": "websocket.send", "text": frame}))
        except SlowReader:
            await self._leave(End.SLOW, POLICY, "What was sent was not read for too long.")
        except OSError:  # it is gone: the disconnection is on its way
            pass
        else:
            await self._leave(self._end, farewell.code, farewell.reason)

    async def _watch_the_clock(self, runner: Runner) -> None:
        """Ends sessions that are idle or too old; until then they are said to be open."""
        expires_at = self._opened_at + settings.REALTIME_SESSION_MINUTES * 60
        while True:
            idle_at = self._heard_at + settings.REALTIME_IDLE_SECONDS
            now = time.monotonic()
            if now >= expires_at:
                self._end = End.EXPIRED
                return runner.tell(TimeUp("expired"))
            if now >= idle_at and not runner.is_busy:
                self._end = End.IDLE
                return runner.tell(TimeUp("idle"))
            await asyncio.sleep(min(RENEWED_EVERY, max(min(expires_at, idle_at) - now, 1.0)))
            with suppress(Refused):  # without a database it is said again the next time
                await renew_session(self._caller.session_id)


async def _open(handshake: Handshake, beginning: SessionStart) -> int:
    """The id of the session's row. Raises Refused."""
    config = beginning.config
    models = {"stt_model": config.stt_model}
    if config.kind == "realtime":
        models |= {"chat_model": config.llm_model, "tts_model": config.tts_model}
    return await open_session(beginning.access, dialect=handshake.dialect, kind=config.kind, models=models)


Message = MutableMapping[str, Any]

ADDRESS = "/v1/realtime"


async def websockets(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The key is taken out of the address before anything else sees it, the server's own log lines included."""
    key = take_key_out(scope)
    if scope["path"].rstrip("/") == ADDRESS:
        await RealtimeConsumer.as_asgi(key_in_query=key)(scope, receive, send)
    elif "websocket.http.response" in scope.get("extensions", {}):
        message = f"There is no WebSocket here. It is at {ADDRESS}."
        body = json.dumps({"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}})
        headers = [(b"content-type", b"application/json")]
        await receive()
        await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body.encode()})
    else:
        await receive()
        await send({"type": "websocket.close"})
