"""Sessions and turns in the database, written by the gateway's one writing thread."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.access import Access
from accounts.models import Workspace
from gateway.errors import Refused
from gateway.usage.recorder import writer
from voice.models import RealtimeSession, RealtimeTurn


@dataclass(frozen=True, eq=False)
class Opening:
    access: Access
    session: RealtimeSession  # not yet saved


@dataclass(frozen=True)
class Ending:
    session_id: int
    end: str  # RealtimeSession.End
    errors: int


async def open_session(access: Access, *, dialect: str, kind: str, models: dict[str, str]) -> int:
    """The id of a new session's row. Raises Refused: 429 where its caller has as many open as it may."""
    now = timezone.now()
    session = RealtimeSession(
        workspace=access.workspace,
        api_key=access.api_key,
        user=access.user,
        caller=access.api_key.name if access.api_key else str(access.user),
        dialect=dialect,
        kind=kind,
        started_at=now,
        seen_at=now,
        **models,
    )
    answer: int | Refused = await writer.submit(_open, Opening(access, session))
    if isinstance(answer, Refused):
        raise answer
    return answer


async def renew_session(session_id: int) -> None:
    """It is still open: to be said twice a minute."""
    await writer.submit(_renew, session_id)


async def end_session(ending: Ending) -> None:
    """Written even where this is cancelled."""
    await writer.submit(_end, ending, must=True)


async def add_turn(turn: RealtimeTurn) -> None:
    """Written even where this is cancelled."""
    await writer.submit(_add, turn, must=True)


def _open(openings: Sequence[Opening]) -> list[int | Refused]:
    """All in one transaction; processes that open sessions of one workspace wait for each other."""
    answers: list[int | Refused] = []
    with transaction.atomic():
        workspaces = {opening.access.workspace.pk for opening in openings}
        list(Workspace.objects.select_for_update().filter(pk__in=workspaces).order_by("pk"))
        for opening in openings:
            others = RealtimeSession.objects.under_way().of_caller(opening.access).count()
            if others >= settings.REALTIME_SESSIONS_PER_KEY:
                answers.append(_too_many(others))
                continue
            opening.session.save(force_insert=True)
            answers.append(opening.session.pk)
    return answers


def _too_many(others: int) -> Refused:
    message = f"{others} sessions of this caller are open, which is as many as may be. Close one first."
    return Refused(429, "too_many_sessions", message, kind="rate_limit_error", headers={"Retry-After": "5"})


def _renew(session_ids: Sequence[int]) -> list[None]:
    RealtimeSession.objects.filter(pk__in=session_ids).update(seen_at=timezone.now())
    return [None] * len(session_ids)


def _end(endings: Sequence[Ending]) -> list[None]:
    now = timezone.now()
    with transaction.atomic():
        for ending in endings:
            unended = RealtimeSession.objects.filter(pk=ending.session_id, ended_at=None)
            unended.update(end=ending.end, ended_at=now, seen_at=now, errors=ending.errors)
    return [None] * len(endings)


def end_lost_sessions() -> int:
    """End sessions whose process died; how many."""
    return RealtimeSession.objects.lost().update(end=RealtimeSession.End.LOST, ended_at=F("seen_at"))


def _add(turns: Sequence[RealtimeTurn]) -> list[None]:
    RealtimeTurn.objects.bulk_create(turns)
    return [None] * len(turns)
