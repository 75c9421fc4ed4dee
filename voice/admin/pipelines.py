"""The admin of voice pipelines, and the Talk page."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from accounts.access import Access
from accounts.admin_base import WorkspaceAdmin, access_of
from accounts.models import Role, Workspace
from core.forms import ModelForm
from core.middleware import permissions_policy
from providers.models import SpeechModel
from voice import client_secrets
from voice.models import VoicePipeline
from voice.pipelines import ensure_default_pipeline, save_pipeline
from voice.session_config import SessionRequest

PLACES = ("stt_model", "chat_model", "tts_model")
SECRET_SECONDS = 120  # the page asks for one each time it connects


class PipelineForm(ModelForm[VoicePipeline]):
    workspace: Workspace  # set by the admin, for the one who asks

    class Meta:
        model = VoicePipeline
        fields = ["name", "stt_model", "chat_model", "tts_model", "voice", "instructions", "is_default"]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        others = VoicePipeline.objects.for_workspace(self.workspace).exclude(pk=self.instance.pk)
        if others.filter(name=name).exists():
            raise ValidationError(f"There is a pipeline {name!r} already.")
        return name


@admin.register(VoicePipeline)
class VoicePipelineAdmin(WorkspaceAdmin):
    view_role = Role.EVALUATOR
    add_role = change_role = delete_role = Role.OWNER
    list_display = ["name", "stt_model", "chat_model", "tts_model", "is_default"]
    list_before_template = "admin/voice/voicepipeline/_about.html"
    fields = ["name", "stt_model", "chat_model", "tts_model", "voice", "instructions", "is_default"]

    class Media:
        css = {"all": ["gateway/gateway.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[VoicePipeline]:
        if access := access_of(request):
            ensure_default_pipeline(workspace=access.workspace)
        return super().get_queryset(request).select_related(*(f"{place}__provider" for place in PLACES))

    def get_form(self, request: HttpRequest, obj: VoicePipeline | None = None, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, **{**kwargs, "form": PipelineForm})
        access = access_of(request)
        return type(form.__name__, (form,), {"workspace": access.workspace if access else None})

    def save_model(
        self, request: HttpRequest, obj: VoicePipeline, form: ModelForm[VoicePipeline], change: bool
    ) -> None:
        access = access_of(request)
        if access is None:
            raise PermissionDenied
        obj.workspace = access.workspace
        save_pipeline(pipeline=obj)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("talk/", view(self.talk_view), name="voice_voicepipeline_talk"),
            path("talk/secret/", view(require_POST(self.secret_view)), name="voice_voicepipeline_secret"),
            *super().get_urls(),
        ]

    def talk_view(self, request: HttpRequest) -> HttpResponse:
        """Show the Talk page: a conversation with three models, and the delay of each."""
        access = self._access(request)
        pipelines = self.get_queryset(request)
        default = pipelines.filter(is_default=True).first()
        models = SpeechModel.objects.for_workspace(access.workspace).usable().order_by("provider__name", "name")
        places = [
            ("stt_model", "Speech to text", models.filter(speech_to_text=True), default and default.stt_model),
            ("llm_model", "Chat", models.filter(chat=True), default and default.chat_model),
            ("tts_model", "Text to speech", models.filter(text_to_speech=True), default and default.tts_model),
        ]
        context = {**self.admin_site.each_context(request), "title": "Talk", "content_title": "Talk"}
        context |= {"places": places, "has_default": default is not None}
        headers = {"Permissions-Policy": permissions_policy(microphone=True)}
        return TemplateResponse(request, "admin/voice/voicepipeline/talk.html", context, headers=headers)

    def secret_view(self, request: HttpRequest) -> HttpResponse:
        """Make a client secret for the page, with the access of the signed-in member."""
        access = self._access(request)
        wanted = SessionRequest(dialect="ga", kind="realtime")
        value = client_secrets.make_for_member(access, wanted, SECRET_SECONDS)
        return JsonResponse({"value": value}, headers={"Cache-Control": "no-store"})

    def _access(self, request: HttpRequest) -> Access:
        access = access_of(request)
        if access is None or not access.may(Role.EVALUATOR):
            raise PermissionDenied
        return access
