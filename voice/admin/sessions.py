"""The admin of realtime sessions and their turns, read only."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.decorators import display

from accounts.admin_base import WorkspaceAdmin, access_of
from accounts.models import Role
from core.admin_paging import NoCountMixin, NoCountPaginator
from gateway import figures
from voice.latency import LatencyStats, tallies, with_tallies
from voice.models import RealtimeSession, RealtimeTurn


class TurnInline(TabularInline):
    model = RealtimeTurn
    fields = ["began", "outcome", "models", "heard", "text_after", "first_text", "first_sound", "waited", "spoken"]
    readonly_fields = fields
    extra = 0
    max_num = 0
    can_delete = False
    tab = False
    hide_title = True
    verbose_name_plural = "Turns"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        access = access_of(request)
        return bool(access and access.may(RealtimeSessionAdmin.view_role))

    @display(description="Began (UTC)")
    def began(self, turn: RealtimeTurn) -> str:
        return f"{turn.started_at:%H:%M:%S}"

    @display(description="Result")
    def outcome(self, turn: RealtimeTurn) -> SafeString:
        kind = {"completed": "success", "incomplete": "cancelled"}.get(turn.status, turn.status)
        pill = format_html('<span class="gw-pill gw-{}">{}</span>', kind, turn.get_status_display())
        return format_html('{} <span class="gw-quiet">{}</span>', pill, turn.reason) if turn.reason else pill

    @display(description="Models")
    def models(self, turn: RealtimeTurn) -> str:
        return ", ".join(name for name in (turn.stt_model, turn.chat_model, turn.tts_model) if name)

    @display(description="Heard")
    def heard(self, turn: RealtimeTurn) -> str:
        return figures.seconds(turn.heard_seconds)

    @display(description="Speech to text")
    def text_after(self, turn: RealtimeTurn) -> str:
        return figures.seconds(turn.transcribed_after)

    @display(description="First word")
    def first_text(self, turn: RealtimeTurn) -> str:
        return figures.seconds(turn.first_text_after)

    @display(description="First sound")
    def first_sound(self, turn: RealtimeTurn) -> str:
        return figures.seconds(turn.first_sound_after)

    @display(description="Delay")
    def waited(self, turn: RealtimeTurn) -> str:
        return figures.seconds(turn.delay)

    @display(description="Spoken")
    def spoken(self, turn: RealtimeTurn) -> str:
        return figures.seconds(turn.spoken_seconds)


class SessionPaginator(NoCountPaginator):
    """Sets `tally` on each session, in one query per page."""

    def rows(self, first: int, last: int) -> list[Any]:
        return with_tallies(super().rows(first, last))


@admin.register(RealtimeSession)
class RealtimeSessionAdmin(NoCountMixin, WorkspaceAdmin):
    view_role = Role.EVALUATOR
    add_role = change_role = delete_role = None
    paginator = SessionPaginator
    list_display = ["began", "caller", "models", "turns_made", "lasted", "delay_p50", "delay_p95", "problems", "ended"]
    list_filter = ["end", "kind", "dialect"]
    list_filter_submit = True
    list_before_template = "admin/voice/realtimesession/_about.html"
    show_facets = admin.ShowFacets.NEVER  # they would count every session
    sortable_by: list[str] = []
    empty_text = "Conversations at /v1/realtime are listed here. To hold one, go to Talk."
    ordering = ["-pk"]
    actions = None
    fields = ["began", "caller", "kind", "dialect", "models", "lasted", "delay_p50", "delay_p95", "problems", "ended"]
    readonly_fields = fields
    inlines = [TurnInline]

    class Media:
        css = {"all": ["gateway/gateway.css"]}

    @display(description="Began (UTC)")
    def began(self, session: RealtimeSession) -> str:
        return f"{session.started_at:%Y-%m-%d %H:%M:%S}"

    @display(description="Models")
    def models(self, session: RealtimeSession) -> str:
        return ", ".join(name for name in (session.stt_model, session.chat_model, session.tts_model) if name)

    @display(description="Turns")
    def turns_made(self, session: RealtimeSession) -> str:
        return figures.some(_tally(session).turns)

    @display(description="Lasted")
    def lasted(self, session: RealtimeSession) -> str:
        end = session.ended_at or session.seen_at
        return figures.length((end - session.started_at).total_seconds())

    @display(description="Delay p50")
    def delay_p50(self, session: RealtimeSession) -> str:
        return figures.seconds(_tally(session).p50)

    @display(description="Delay p95")
    def delay_p95(self, session: RealtimeSession) -> str:
        return figures.seconds(_tally(session).p95)

    @display(description="Errors")
    def problems(self, session: RealtimeSession) -> str:
        """Number of error events sent and turns failed."""
        return figures.some(session.errors + _tally(session).failed)

    @display(description="End")
    def ended(self, session: RealtimeSession) -> str:
        if session.ended_at is None:
            return "Open" if session.is_under_way else RealtimeSession.End.LOST.label
        return session.get_end_display()


def _tally(session: Any) -> LatencyStats:
    return getattr(session, "tally", None) or tallies([session])[session.pk]
