"""Forms of the providers admin."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget, UnfoldBooleanWidget

from accounts.models import Workspace
from providers.models import Provider, SpeechModel
from providers.registry import KINDS
from providers.services import ProviderRefused, ProviderSettings, refuse_bad_settings


class ProviderForm(forms.ModelForm):
    """Never holds the stored credential: an empty field keeps it."""

    workspace: Workspace  # set by the admin: the one that asks

    credential = forms.CharField(
        required=False,
        max_length=4000,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Stored encrypted and never shown. Empty: the stored one stays.",
    )
    remove_credential = forms.BooleanField(
        required=False, widget=UnfoldBooleanWidget, label="Remove the stored credential"
    )

    class Meta:
        model = Provider
        fields = ["name", "kind", "base_url", "max_concurrency", "requests_per_minute", "is_active"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "kind" in self.fields:
            choices = [(kind, kind) for kind in sorted(KINDS)]
            self.fields["kind"] = forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget)

    def clean(self) -> dict[str, Any]:
        fields = super().clean() or self.cleaned_data
        provider = self.instance
        if provider.pk is None:
            provider = Provider(workspace=self.workspace, kind=fields.get("kind", ""))
        if not self.errors:
            try:
                refuse_bad_settings(provider, self.settings())
            except ProviderRefused as refused:
                self.add_error(refused.field if refused.field in self.fields else None, str(refused))
        return fields

    def settings(self) -> ProviderSettings:
        """What the form asks for, as the services take it."""
        fields = dict(self.cleaned_data)
        fields.pop("kind", None)
        credential, remove = fields.pop("credential", ""), fields.pop("remove_credential", False)
        settings = ProviderSettings(**fields)  # type: ignore[typeddict-item]
        if credential or remove:
            settings["credential"] = credential
        return settings


class SpeechModelForm(forms.ModelForm):
    class Meta:
        model = SpeechModel
        fields = [
            "provider",
            "name",
            "upstream_name",
            "speech_to_text",
            "text_to_speech",
            "supports_direct",
            "supports_batch",
            "max_audio_seconds",
            "max_audio_bytes",
            "languages",
            "options",
            "is_active",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in {"languages", "options"} & set(self.fields):
            self.fields[name].widget.attrs["rows"] = 3

    def clean_languages(self) -> list[str]:
        languages = self.cleaned_data["languages"] or []
        if not isinstance(languages, list) or not all(isinstance(language, str) for language in languages):
            raise forms.ValidationError('Give a list of language tags, such as ["en", "de-CH"].')
        return languages

    def clean_options(self) -> dict[str, Any]:
        options = self.cleaned_data["options"] or {}
        if not isinstance(options, dict):
            raise forms.ValidationError('Give an object, such as {"ds": 2}.')
        return options

    def clean(self) -> dict[str, Any]:
        fields = super().clean() or self.cleaned_data
        provider = fields.get("provider") or (self.instance.provider if self.instance.pk else None)
        if not self.errors and provider and provider.kind in KINDS:
            problem = KINDS[provider.kind].info.problem_with_model(fields["upstream_name"], fields["options"])
            if problem:
                raise forms.ValidationError(problem)
        return fields
