"""Saves sessions and turns in the database, through the group commit of the gateway's usage records."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.access import Access, access_of_user
from accounts.api_keys import access_of_keys
from accounts.models import Role, Workspace
from gateway.errors import ApiError
from gateway.usage.recorder import writer
from voice.models import RealtimeSession, RealtimeTurn

RENEWED_EVERY = timedelta(seconds=25)  # see `SEEN_WITHIN`


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
    """Create a session and return its id. Raises ApiError: 429 if its caller has too many open sessions."""
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
    answer: int | ApiError = await writer.submit(_open, Opening(access, session))
    if isinstance(answer, ApiError):
        raise answer
    return answer


async def may_go_on(session_id: int) -> bool:
    """Mark the session as open, and return whether its caller still has access. To be called every few seconds."""
    answer: bool = await writer.submit(_look_after, session_id)
    return answer


async def end_session(ending: Ending) -> None:
    """Save the end of a session, even if this is cancelled."""
    await writer.submit(_end, ending, must=True)


async def add_turn(turn: RealtimeTurn) -> None:
    """Save a turn, even if this is cancelled."""
    await writer.submit(_add, turn, must=True)


def _open(openings: Sequence[Opening]) -> list[int | ApiError]:
    """Open sessions in one transaction, which locks their workspaces: the limit holds across processes."""
    answers: list[int | ApiError] = []
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


def _too_many(others: int) -> ApiError:
    message = f"{others} sessions of this caller are open, which is as many as may be. Close one first."
    return ApiError(429, message, kind="rate_limit_error", code="too_many_sessions", headers={"Retry-After": "5"})


def _look_after(session_ids: Sequence[int]) -> list[bool]:
    now = timezone.now()
    sessions = RealtimeSession.objects.filter(pk__in=session_ids)
    sessions.filter(seen_at__lt=now - RENEWED_EVERY).update(seen_at=now)
    rows = list(sessions.select_related("workspace__organization", "api_key", "user"))
    by_key = access_of_keys({row.api_key.key_hash for row in rows if row.api_key})
    by_person = {
        (row.workspace, row.user): access_of_user(row.user, row.workspace.slug)
        for row in rows
        if not row.api_key and row.user and row.user.is_active
    }
    going_on = set()
    for row in rows:
        access = by_key.get(row.api_key.key_hash) if row.api_key else by_person.get((row.workspace, row.user))
        if access and access.workspace.is_open and access.may(Role.EVALUATOR):
            going_on.add(row.pk)
    return [session_id in going_on for session_id in session_ids]


def _end(endings: Sequence[Ending]) -> list[None]:
    now = timezone.now()
    with transaction.atomic():
        for ending in endings:
            unended = RealtimeSession.objects.filter(pk=ending.session_id, ended_at=None)
            unended.update(end=ending.end, ended_at=now, seen_at=now, errors=ending.errors)
    return [None] * len(endings)


def end_lost_sessions() -> int:
    """End the sessions whose process died, and return how many."""
    return RealtimeSession.objects.lost().update(end=RealtimeSession.End.LOST, ended_at=F("seen_at"))


def _add(turns: Sequence[RealtimeTurn]) -> list[None]:
    RealtimeTurn.objects.bulk_create(turns)
    return [None] * len(turns)
