"""Every call to a provider is in the ledger: reserved before it, settled exactly once after it, however it ends."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from gateway.http.errors import Disconnected, HttpError
from gateway.http.request import Request
from gateway.usage.ledger import Call, Outcome, reserve, settle

Endpoint = Literal["transcription", "translation", "speech"]


@asynccontextmanager
async def metered(request: Request, endpoint: Endpoint, model_name: str) -> AsyncIterator[Outcome]:
    """Inside, the provider may be called. Raises Refused where the budget is spent.

    The outcome that it yields is settled on the way out: with the request's status, and by what ended the block.
    """
    reservation = await reserve(Call(request.access, endpoint, model_name, request.request_id))
    outcome = Outcome(result="success", status=200)
    try:
        yield outcome
        outcome.status = request.status or 200
    except HttpError as error:
        outcome.result, outcome.status, outcome.reason = "failed", error.status, error.code or ""
        raise
    except (Disconnected, asyncio.CancelledError):
        outcome.result = "disconnected" if request.disconnected else "cancelled"
        outcome.status = request.status or 499
        raise
    except BaseException:
        outcome.result, outcome.status, outcome.reason = "failed", 500, "internal_error"
        raise
    finally:
        outcome.latency = time.monotonic() - request.asked_at
        await settle(reservation, outcome)
