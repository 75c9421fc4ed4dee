"""WebSockets of the gateway: there is one address."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gateway.realtime.connecting import take_key_out
from gateway.realtime.consumer import RealtimeConsumer

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
