"""Changes of models."""

from collections.abc import Collection, Mapping
from typing import Any, TypedDict, Unpack

from django.db import IntegrityError, transaction

from core.errors import AlreadyExists, InvalidInput
from providers.capabilities import tasks_of_kind, unkept_claim
from providers.models import Provider, SpeechModel
from providers.registry import KINDS


class ModelSettings(TypedDict, total=False):
    """What of a model may be changed."""

    name: str
    upstream_name: str
    speech_to_text: bool
    text_to_speech: bool
    chat: bool
    translation: bool
    word_times: bool
    segment_times: bool
    supports_direct: bool
    supports_batch: bool
    max_audio_seconds: float | None
    max_audio_bytes: int | None
    languages: list[str]
    options: dict[str, Any]
    is_active: bool


def update_model(*, model: SpeechModel, **settings: Unpack[ModelSettings]) -> SpeechModel:
    """Change what is given. Raises InvalidInput, AlreadyExists."""
    for name, value in settings.items():
        setattr(model, name, value)
    refuse_bad_model(model)
    _save(model)
    return model


@transaction.atomic
def sync_models(*, provider: Provider, chosen: Mapping[str, Collection[str]]) -> list[SpeechModel]:
    """Add the models `{upstream name: tasks}`, under their upstream names and without a price: what they cost is
    unknown until somebody enters it. Those that are there already stay as they are. Raises InvalidInput or
    AlreadyExists."""
    here = set(provider.models.values_list("upstream_name", flat=True))
    added = []
    for upstream_name, tasks in chosen.items():
        if upstream_name not in here:
            added.append(_new_model(provider, upstream_name, tasks))
    return added


def delete_model(*, model: SpeechModel) -> None:
    """Delete a model with its prices. Its results stay, under the name it had."""
    model.delete()


def refuse_bad_model(model: SpeechModel) -> None:
    """Raises InvalidInput where such a model could not work."""
    kind = model.provider.kind
    if kind not in KINDS:
        raise InvalidInput(f"There are no providers of the kind {kind!r} in this version.", field="provider")
    if not model.tasks:
        raise InvalidInput("A model needs a task at least.", field="tasks")
    if claim := unkept_claim(kind, model.tasks, batch=model.supports_batch):
        unable = set(model.tasks) - set(tasks_of_kind(kind))
        raise InvalidInput(claim, field="tasks" if unable else "supports_batch")
    if problem := KINDS[kind].info.problem_with_model(model.upstream_name, model.options):
        raise InvalidInput(problem, field="options" if model.options else "upstream_name")


def _new_model(provider: Provider, upstream_name: str, tasks: Collection[str]) -> SpeechModel:
    longest = SpeechModel._meta.get_field("upstream_name").max_length
    if not 0 < len(upstream_name) <= (longest or 0):
        raise InvalidInput(f"A model's name has up to {longest} characters.", field="models")
    if not tasks or not set(tasks) <= set(SpeechModel.TASK_FIELDS):
        raise InvalidInput(f"Say what {upstream_name} does: {', '.join(SpeechModel.TASK_FIELDS)}.", field="models")
    model = SpeechModel(provider=provider, name=upstream_name[:100], upstream_name=upstream_name)
    for task in tasks:
        setattr(model, SpeechModel.TASK_FIELDS[task], True)
    refuse_bad_model(model)
    _save(model)
    return model


def _save(model: SpeechModel) -> None:
    try:
        with transaction.atomic():
            model.save()
    except IntegrityError as error:
        raise AlreadyExists(f"There is a model {model.name!r} already.", field="name") from error
