"""The models that a session can use, and those that it starts with."""

import asyncio
import time
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from django.db import IntegrityError, close_old_connections, transaction

from accounts.access import Access
from accounts.models import Workspace
from core.errors import AlreadyExists, InvalidInput
from gateway.catalog import ModelCatalog, Task, catalog_for
from gateway.errors import ApiError
from providers.adapters.base import OpenAICompatible, ProviderError
from providers.models import SpeechModel
from voice.models import VoicePipeline
from voice.protocol.config import Models

FRESH = 3.0  # seconds that a workspace's pipelines are cached
DEFAULT_NAME = "default"
PLACES: dict[str, Task] = {"stt_model": "stt", "chat_model": "chat", "tts_model": "tts"}


class AnyButOpenAIs(Container[str]):
    """The voices of other providers. Clients send an OpenAI voice by default, which means the model's default here."""

    NAMES = frozenset(
        {"alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "juniper", "marin", "nova", "onyx", "sage"}
        | {"shimmer", "verse"}
    )

    def __contains__(self, voice: object) -> bool:
        return voice not in self.NAMES


@dataclass(frozen=True)
class Pipeline:
    """What a session starts with; models by their public names."""

    name: str
    stt_model: str
    llm_model: str
    tts_model: str
    voice: str = ""
    instructions: str = ""


@dataclass(frozen=True)
class Choices:
    """The models and pipelines of one workspace."""

    catalog: ModelCatalog
    models: Models
    pipelines: Mapping[str, Pipeline]
    default: Pipeline | None

    def pipeline_for(self, name: str | None) -> Pipeline:
        """Return the pipeline of this name, or the default one with the chat model of this name.

        Raises ApiError: 404 if there is neither.
        """
        if name is not None and name in self.pipelines:
            return self.pipelines[name]
        if self.default is None:
            raise _not_found(
                "There is no voice pipeline here to begin with. Make one in the admin under Voice pipelines, from "
                "models for speech to text, chat and text to speech."
            )
        if not name:
            return self.default
        if name not in self.models.llm:
            known = ", ".join([*self.pipelines, *sorted(self.models.llm)])
            raise _not_found(f"There is no voice pipeline or chat model {name!r} here. There are: {known}.")
        return Pipeline(
            name, self.default.stt_model, name, self.default.tts_model, self.default.voice, self.default.instructions
        )


async def choices_for(access: Access) -> Choices:
    """Return the caller's choices, at most a few seconds old."""
    workspace = access.workspace
    read_at, rows = _rows.get(workspace.pk, (0.0, []))
    if not rows or time.monotonic() - read_at > FRESH:
        rows = await asyncio.to_thread(_load, workspace)
        _rows[workspace.pk] = (time.monotonic(), rows)
    return _choices(await catalog_for(access), rows)


def ensure_default_pipeline(*, workspace: Workspace) -> None:
    """Create a pipeline of the embedded models if the workspace has none: voice works without a provider's key."""
    pipelines = VoicePipeline.objects.for_workspace(workspace)
    if pipelines.exists():
        return
    local = SpeechModel.objects.for_workspace(workspace).usable().filter(provider__kind="local")
    stt, chat, tts = (
        local.filter(**{task: True}).order_by("pk").first() for task in ("speech_to_text", "chat", "text_to_speech")
    )
    if stt and chat and tts:
        with transaction.atomic():
            pipelines.get_or_create(
                workspace=workspace,
                name=DEFAULT_NAME,
                defaults={"stt_model": stt, "chat_model": chat, "tts_model": tts, "is_default": True},
            )


@transaction.atomic
def save_pipeline(*, pipeline: VoicePipeline) -> None:
    """Save `pipeline`; a new default replaces the old one.

    Raises InvalidInput for a model of another workspace or task, AlreadyExists for a name that is taken.
    """
    for place, task in PLACES.items():
        model: SpeechModel = getattr(pipeline, place)
        if model.provider.workspace_id != pipeline.workspace_id or task not in model.tasks:
            message = f"Name a model of this workspace for {task}: {model.public_name} does {', '.join(model.tasks)}."
            raise InvalidInput(message, field=place)
    workspace = Workspace.objects.select_for_update().get(pk=pipeline.workspace_id)  # one default at a time
    if pipeline.is_default:
        others = VoicePipeline.objects.for_workspace(workspace).exclude(pk=pipeline.pk)
        others.filter(is_default=True).update(is_default=False)
    try:
        with transaction.atomic():
            pipeline.save()
    except IntegrityError as error:
        raise AlreadyExists(f"There is a pipeline {pipeline.name!r} already.", field="name") from error


_rows: dict[int, tuple[float, list[VoicePipeline]]] = {}  # by workspace


def _load(workspace: Workspace) -> list[VoicePipeline]:
    try:
        ensure_default_pipeline(workspace=workspace)
        return list(VoicePipeline.objects.for_workspace(workspace).with_models())
    finally:
        close_old_connections()


def _choices(catalog: ModelCatalog, rows: Iterable[VoicePipeline]) -> Choices:
    pipelines = {row.name: _pipeline(row) for row in rows if _is_usable(row, catalog)}
    default = next((pipelines[row.name] for row in rows if row.is_default and row.name in pipelines), None)
    speak = _names(catalog, "tts")
    voices = {name: AnyButOpenAIs() for name in speak if not _takes_openais_voices(catalog, name)}
    models = Models(stt=_names(catalog, "stt"), llm=_names(catalog, "chat"), tts=speak, voices=voices)
    return Choices(catalog, models, pipelines, default)


def _pipeline(row: VoicePipeline) -> Pipeline:
    models = (row.stt_model.public_name, row.chat_model.public_name, row.tts_model.public_name)
    return Pipeline(row.name, *models, row.voice, row.instructions)


def _is_usable(row: VoicePipeline, catalog: ModelCatalog) -> bool:
    """Whether all its models are available."""
    return all(model.public_name in catalog.targets for model in (row.stt_model, row.chat_model, row.tts_model))


def _names(catalog: ModelCatalog, task: Task) -> frozenset[str]:
    """Return all names of the models for `task`."""
    names = {*catalog.targets, *catalog.aliases, *(target.model.name for target in catalog.targets.values())}
    return frozenset(name for name in names if _does(catalog, task, name))


def _does(catalog: ModelCatalog, task: Task, name: str) -> bool:
    try:
        return bool(catalog.find_for(task, name))
    except ApiError:
        return False


def _takes_openais_voices(catalog: ModelCatalog, name: str) -> bool:
    try:
        return all(isinstance(target.adapter, OpenAICompatible) for target in catalog.find_for("tts", name))
    except ProviderError:  # wrong settings: reported when it is asked to speak
        return True


def _not_found(message: str) -> ApiError:
    return ApiError(404, message, code="model_not_found")
