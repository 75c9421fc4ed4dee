"""The form that starts a run, with the choice of models and the estimate of its cost."""

import uuid
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.models import Workspace
from core.text import id_in
from datasets.models import Dataset, Task
from evaluations.estimate import Estimate, ModelEstimate, estimate_run
from evaluations.scoring.normalizers import DEFAULT, NORMALIZERS
from providers.capabilities import problem_with
from providers.models import Provider, SpeechModel
from providers.registry import KINDS, default_prompt


class StartForm(forms.Form):
    """The arguments of `start_run`, with the datasets and models of `workspace`."""

    dataset = forms.ModelChoiceField(
        queryset=Dataset.objects.none(),
        empty_label="Choose a dataset",
        error_messages={"required": "Choose a dataset."},
        widget=UnfoldAdminSelectWidget(),
    )
    models = forms.ModelMultipleChoiceField(
        queryset=SpeechModel.objects.none(),
        error_messages={"required": "Tick at least one model."},
    )
    name = forms.CharField(
        max_length=200,
        required=False,
        help_text="Optional. Without one the run is named after its dataset.",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )
    normalizer = forms.ChoiceField(
        label="Normaliser",
        initial=DEFAULT,
        choices=[(n.name, f"{n.name} v{n.version}") for n in NORMALIZERS],
        help_text="What is done to reference and hypothesis before their words are compared. Can be changed later "
        "without calling a model again.",
        widget=UnfoldAdminSelectWidget(),
    )
    language = forms.CharField(
        max_length=35,
        required=False,
        help_text="Optional, BCP-47 such as en or pt-BR. Models that take a hint are told the language by its name. "
        "Without one: each sample's own language, or else its dataset's.",
        widget=UnfoldAdminTextInputWidget(),
    )
    mode = forms.ChoiceField(
        initial="auto",
        choices=[
            ("auto", "Auto: in batches where the model has them, else one call a sample"),
            ("batch", "Batch: many samples in one job at the provider, at half the price; may take hours"),
            ("direct", "Direct: one call a sample, answered at once, at the full price"),
        ],
        help_text="Results, reasons and scores are the same either way.",
        widget=UnfoldAdminSelectWidget(),
    )
    prompt = forms.CharField(
        required=False,
        help_text="Optional. Given to models that take one: names, spelling, context.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
    )
    idempotency_key = forms.CharField(max_length=200, widget=forms.HiddenInput, initial=lambda: uuid.uuid4().hex)

    def __init__(self, *args: Any, workspace: Workspace, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.datasets = Dataset.objects.for_workspace(workspace).filter(task=Task.STT)
        self.catalogue = SpeechModel.objects.for_workspace(workspace).select_related("provider")
        usable = self.catalogue.usable().filter(speech_to_text=True)
        self.fields["dataset"].queryset = self.datasets  # type: ignore[attr-defined]
        self.fields["models"].queryset = usable  # type: ignore[attr-defined]
        self._show_default_prompt()

    def _show_default_prompt(self) -> None:
        kinds = sorted({model.provider.kind for model in self.catalogue})
        defaults = {kind: text for kind in kinds if (text := default_prompt(kind))}
        if not defaults:
            return
        field = self.fields["prompt"]
        field.widget.attrs["placeholder"] = "The default below"
        told = " ".join(f"{_kind(kind)}: “{text}”" for kind, text in defaults.items())
        field.help_text = f"Optional, for every model that takes a prompt. Empty: the provider's default. {told}"

    @property
    def chosen_mode(self) -> str:
        return (self.is_bound and self.cleaned_data.get("mode")) or "auto"

    @property
    def chosen_language(self) -> str:
        return (self.is_bound and self.cleaned_data.get("language")) or ""

    def chosen(self) -> tuple[Dataset | None, list[SpeechModel]]:
        """Return the dataset and models chosen so far, also of an incomplete form."""
        if self.is_bound:
            self.is_valid()
            return self.cleaned_data.get("dataset"), list(self.cleaned_data.get("models", []))
        wanted = id_in(self.initial.get("dataset") or "")
        return (self.datasets.filter(pk=wanted).first() if wanted else None), []


@dataclass(frozen=True)
class ModelChoice:
    """A model as the form shows it; one with a problem cannot be chosen."""

    model: SpeechModel
    problem: str
    estimate: ModelEstimate | None  # None without a chosen dataset
    is_chosen: bool


def model_choices(form: StartForm) -> list[tuple[Provider, str, list[ModelChoice]]]:
    """Return the models grouped by provider, with the name of its kind; each with its estimated cost on the chosen
    dataset, or why it cannot be used."""
    dataset, chosen = form.chosen()
    models = list(form.catalogue)
    estimate = _estimate(form, dataset, models)
    estimates = {each.model.pk: each for each in estimate.models} if estimate else {}
    choices = [
        ModelChoice(
            model, problem_with(model, task=Task.STT, mode=form.chosen_mode), estimates.get(model.pk), model in chosen
        )
        for model in models
    ]
    by_provider = groupby(choices, key=lambda choice: choice.model.provider)
    return [
        (provider, _kind(provider.kind), sorted(group, key=lambda choice: bool(choice.problem)))
        for provider, group in by_provider
    ]


def _kind(kind: str) -> str:
    """Return the display name of a provider kind; its code where the kind is not installed."""
    return KINDS[kind].info.label if kind in KINDS else kind


def estimate_of(form: StartForm) -> Estimate | None:
    """Estimate the run as chosen so far; None without a dataset."""
    dataset, chosen = form.chosen()
    return _estimate(form, dataset, chosen)


def _estimate(form: StartForm, dataset: Dataset | None, models: list[SpeechModel]) -> Estimate | None:
    if dataset is None:
        return None
    return estimate_run(dataset=dataset, models=models, mode=form.chosen_mode, language=form.chosen_language)
