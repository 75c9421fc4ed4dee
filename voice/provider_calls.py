"""A session's calls to providers: each is reserved in the usage records before it, and settled once after it."""

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from accounts.access import Access
from core.tracebacks import place_of
from gateway.auth import authenticate_key
from gateway.catalog import ModelCatalog, ModelTarget, Task
from gateway.errors import ApiError
from gateway.http.errors import of_provider, status_of
from gateway.usage.metering import CLIENT_GONE, Usage, settled
from gateway.usage.recorder import reserve
from gateway.usage.types import Call, Endpoint
from providers.adapters.base import ProviderError

logger = logging.getLogger(__name__)

Part = TypeVar("Part")

ENDPOINTS: dict[Task, Endpoint] = {"stt": "transcription", "chat": "chat", "tts": "speech"}


@dataclass
class Caller:
    """The caller of a session, whose budget pays for its calls to providers."""

    access: Access
    catalog: ModelCatalog
    session_id: int  # of its RealtimeSession
    stem: str  # prefix of the request ids
    gone: bool = False  # calls that are cancelled from now on count as disconnected
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def authenticate(self) -> None:
        """Check the key and its rate limit again, for another turn. Raises ApiError."""
        if self.access.api_key is not None:
            await authenticate_key(self.access.api_key.key_hash)

    @asynccontextmanager
    async def metered(self, task: Task, model_name: str) -> AsyncIterator[Usage]:
        """Reserve and settle one request, in which providers may be called. Raises ApiError if the budget is spent."""
        request_id = f"{self.stem}-{next(self._numbers)}"
        call = Call(self.access, ENDPOINTS[task], model_name, request_id, session_id=self.session_id)
        reservation = await reserve(call)
        usage = Usage()
        async with settled(reservation, usage):
            try:
                yield usage
                if usage.target:
                    usage.end("success", 200)
                else:
                    usage.end("cancelled", CLIENT_GONE)
            except ProviderError as error:
                usage.end("failed", status_of(error), str(error.reason))
                raise
            except (asyncio.CancelledError, GeneratorExit):
                usage.end("disconnected" if self.gone else "cancelled", CLIENT_GONE)
                raise


async def first_that_answers(
    usage: Usage, targets: Sequence[ModelTarget], begin: Callable[[ModelTarget], AsyncGenerator[Part, None]]
) -> AsyncGenerator[Part, None]:
    """Stream from the first of `targets` that answers.

    The next one is tried if a provider fails or has no free slot, but not if it refuses the request. Closing this
    generator closes the provider's stream. Raises ProviderError.
    """
    before = usage.target
    for tried, target in enumerate(targets, start=1):
        usage.target = target
        begun = False
        try:
            async with target.slot(is_last=tried == len(targets)), aclosing(begin(target)) as parts:
                async for part in parts:
                    begun = True
                    usage.note_first_byte()
                    yield part
            return
        except ProviderError as error:
            usage.target = target if begun else before  # a target without output did not serve the call
            if begun or status_of(error) < 429 or tried == len(targets):
                raise


@dataclass(frozen=True)
class Problem:
    """Why a turn failed, in the client's words."""

    code: str
    message: str


def problem_of(error: BaseException, model_name: str) -> Problem:
    """Translate an error for the client. Unexpected ones are logged by their lines of code, without the error's text,
    which may contain what was said."""
    while isinstance(error, BaseExceptionGroup):  # from a TaskGroup: the first failure
        error = error.exceptions[0]
    if isinstance(error, ProviderError):
        error = of_provider(error, model_name)
    if isinstance(error, ApiError):
        return Problem(error.code or "invalid_value", error.message)
    logger.error("A realtime turn failed with %s at\n%s", type(error).__name__, place_of(error))
    return Problem("internal_error", "Something went wrong here. Tell whoever looks after this site.")
