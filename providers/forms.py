"""Forms of the providers admin."""

from typing import Any, cast

from django import forms
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldBooleanWidget

from accounts.admin_base import add_error
from accounts.models import Workspace
from core.errors import EarshotError
from core.forms import ModelForm
from providers.adapters.kinds import KindInfo
from providers.model_services import refuse_bad_model
from providers.models import Provider, SpeechModel
from providers.services import ProviderSettings, refuse_bad_settings


class ProviderForm(ModelForm[Provider]):
    """The fields of one kind. Never holds the stored credential: an empty field keeps it."""

    workspace: Workspace  # set by the admin: the one that asks
    info: KindInfo  # likewise: of the provider's kind

    credential = forms.CharField(
        required=False,
        max_length=4000,
        label="API key",
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )
    remove_credential = forms.BooleanField(required=False, widget=UnfoldBooleanWidget, label="Remove the stored key")

    class Meta:
        model = Provider
        fields = ["name", "kind", "base_url", "max_concurrency", "requests_per_minute", "is_active"]
        labels = {
            "base_url": "Address",
            "max_concurrency": "Calls at once",
            "requests_per_minute": "Calls a minute",
            "is_active": "In use",
        }
        widgets = {"kind": forms.HiddenInput}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "base_url" in self.fields:
            self._fit_address(self.fields["base_url"])
        if "credential" in self.fields:
            self._fit_credential(self.fields["credential"])

    def _fit_address(self, field: forms.Field) -> None:
        field.required = self.info.address == "required"
        field.widget.attrs["placeholder"] = self.info.default_address or "https://models.example.org/v1"
        if self.info.default_address:
            field.help_text = f"Empty: {self.info.default_address}."
        else:
            field.help_text = "Where the server is reached, with what stands before its endpoints, such as /v1."

    def _fit_credential(self, field: forms.Field) -> None:
        stored = self.instance.has_credential
        said = [self.info.credential_help, "Stored encrypted and never shown."]
        said += ["Empty: the stored one stays."] if stored else []
        field.help_text = " ".join(filter(None, said))
        if stored:
            field.widget.attrs["placeholder"] = "a key is stored"

    def clean(self) -> dict[str, Any]:
        fields = super().clean() or self.cleaned_data
        provider = self.instance
        if provider.pk is None:
            provider = Provider(workspace=self.workspace, kind=fields.get("kind", ""))
        if not self.errors:
            try:
                refuse_bad_settings(provider, self.settings())
            except EarshotError as error:
                add_error(self, error)
        return fields

    def settings(self) -> ProviderSettings:
        """What the form asks for, as the services take it."""
        fields = dict(self.cleaned_data)
        fields.pop("kind", None)
        credential, remove = fields.pop("credential", ""), fields.pop("remove_credential", False)
        settings = cast(ProviderSettings, fields)
        if credential or remove:
            settings["credential"] = credential
        return settings


class SpeechModelForm(ModelForm[SpeechModel]):
    class Meta:
        model = SpeechModel
        fields = [
            "provider",
            "name",
            "upstream_name",
            "speech_to_text",
            "text_to_speech",
            "chat",
            "translation",
            "word_times",
            "segment_times",
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
        if not self.errors:
            model = SpeechModel(**fields)
            if self.instance.pk:
                model.provider = self.instance.provider
            try:
                refuse_bad_model(model)
            except EarshotError as error:
                add_error(self, error)
        return fields
