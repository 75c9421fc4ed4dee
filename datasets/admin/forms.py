"""Forms of the datasets admin."""

from django import forms
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldBooleanWidget

from accounts.models import Workspace
from core.errors import EarshotError
from core.forms import ModelForm
from datasets.cleaning import clean_language
from datasets.models import Dataset


class DatasetForm(ModelForm[Dataset]):
    workspace: Workspace  # set by the admin: the one that asks

    class Meta:
        model = Dataset
        fields = ["name", "task", "language", "description"]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        taken = Dataset.objects.for_workspace(self.workspace).filter(name=name).exclude(pk=self.instance.pk)
        if taken.exists():
            raise forms.ValidationError(f"There is a dataset called {name!r} already: choose another name.")
        return name

    def clean_language(self) -> str:
        try:
            return clean_language(self.cleaned_data["language"])
        except EarshotError as error:
            raise forms.ValidationError(error.message) from error


class ImportForm(forms.Form):
    file = forms.FileField(
        label="Archive or manifest",
        allow_empty_file=True,  # what is empty, the import refuses with its reason
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".zip,.csv,.jsonl"}),
        help_text="A zip of audio, with or without a manifest; or a csv or jsonl manifest.",
    )
    skip_bad = forms.BooleanField(
        label="Skip bad lines",
        required=False,
        widget=UnfoldBooleanWidget,
        help_text="Without this, one bad line refuses the whole import.",
    )
