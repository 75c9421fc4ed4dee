"""From the name that a client asks for to the models that may serve it, in the order in which they are tried."""

import asyncio
import math
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

from django.db import close_old_connections

from accounts.access import Access
from gateway.errors import ApiError, invalid
from gateway.models import ModelAlias
from providers.adapters.base import Adapter, FileStore, ModelConfig, OpenAICompatible, ProviderError
from providers.limits import PATIENCE, limiter_for
from providers.models import SpeechModel
from providers.registry import adapter_for, model_config

Task = Literal["stt", "tts", "chat", "translation"]

FRESH = 2.0  # seconds that a workspace's models are remembered; afterwards they are loaded anew beside the request,
STALE = 6.0  # and after these before it
IMPATIENCE = 0.5  # seconds that a call waits for its turn where another model may serve it
PAUSE = 0.05  # seconds until then: the request that noticed goes first
DOES = {
    "stt": "transcribes speech",
    "tts": "speaks texts",
    "chat": "answers texts",
    "translation": "translates speech to English",
}


@dataclass(frozen=True)
class ModelTarget:
    """One model that a request may be sent to."""

    model: SpeechModel

    @property
    def name(self) -> str:
        return self.model.public_name

    def slot(self, *, is_last: bool) -> AbstractAsyncContextManager[None]:
        """Inside, one call to the provider is under way: within its limits, which hold for all processes together.
        Raises ProviderPaused, soon where another target is left. Embedded engines keep their own order."""
        if self.adapter.info.embedded:
            return nullcontext()
        return limiter_for(self.model.provider).slot(PATIENCE if is_last else IMPATIENCE)

    @cached_property
    def adapter(self) -> Adapter:
        """Raises ProviderError."""
        return adapter_for(self.model.provider)

    @cached_property
    def wire(self) -> OpenAICompatible | None:
        """The adapter, where its provider speaks OpenAI's protocol itself. Raises ProviderError."""
        return self.adapter if isinstance(self.adapter, OpenAICompatible) else None

    @cached_property
    def store(self) -> FileStore | None:
        """The adapter, where its provider has a store for audio that a request cannot hold. Raises ProviderError."""
        return self.adapter if isinstance(self.adapter, FileStore) else None

    @cached_property
    def config(self) -> ModelConfig:
        return model_config(self.model)

    def prompt(self, hint: str) -> str:
        """What the model is told beside the audio. `hint`: what may be said in it, or was said before; models that do
        nothing unasked are told what to do as well. Raises ProviderError."""
        own = self.adapter.info.default_prompt
        return f"{own}\nFor context and spelling only, not to be answered: {hint}" if own and hint else own or hint


@dataclass(frozen=True)
class Alias:
    name: str
    targets: tuple[ModelTarget, ...]  # in their order
    weights: tuple[int, ...]  # empty: they are tried in their order

    def order(self) -> list[ModelTarget]:
        """The targets in the order of trying them, drawn anew where they have weights."""
        if not self.weights:
            return list(self.targets)
        # Efraimidis and Spirakis: the first is drawn by weight, then the second among the rest, and so on.
        keys = [random.random() ** (1 / weight) for weight in self.weights]  # noqa: S311 - no secret
        return [target for _, target in sorted(zip(keys, self.targets, strict=True), key=lambda pair: -pair[0])]


class ModelCatalog:
    """What one workspace can ask for."""

    def __init__(self, models: Sequence[SpeechModel], aliases: Sequence[ModelAlias]) -> None:
        self.loaded_at = time.monotonic()
        self.targets = {model.public_name: ModelTarget(model) for model in models}
        by_id = {target.model.pk: target for target in self.targets.values()}
        made = [_alias(alias, by_id) for alias in aliases]
        self.aliases = {alias.name: alias for alias in made if alias.targets}
        self._by_model_name: dict[str, list[ModelTarget]] = {}
        for target in self.targets.values():
            self._by_model_name.setdefault(target.model.name, []).append(target)

    def find(self, name: str) -> list[ModelTarget]:
        """The models behind `name`: an alias, a public name, or a model's own name where only one provider has it.
        Raises ApiError 404."""
        if name in self.aliases:
            return self.aliases[name].order()
        if name in self.targets:
            return [self.targets[name]]
        found = self._by_model_name.get(name, [])
        if len(found) > 1:
            choices = ", ".join(sorted(target.name for target in found))
            message = f"Several providers have a model {name!r}. Ask for one of: {choices}."
            raise ApiError(404, message, param="model", code="model_not_found")
        if not found:
            message = f"There is no model {name!r} here. GET /v1/models lists those that there are."
            raise ApiError(404, message, param="model", code="model_not_found")
        return found

    def find_for(self, task: Task, name: str) -> list[ModelTarget]:
        """Those behind `name` that do `task`. Raises ApiError 404, and 400 where none does it."""
        found = self.find(name)
        able = [target for target in found if task in target.model.tasks and target.model.supports_direct]
        if not able:
            raise invalid(_cannot(task, name, found), param="model", code="capability_not_supported")
        return able


def _alias(alias: ModelAlias, usable: Mapping[int, ModelTarget]) -> Alias:
    chosen = [each for each in alias.targets.all() if each.model_id in usable]
    weighted = alias.strategy == ModelAlias.Strategy.WEIGHTED
    return Alias(
        alias.name,
        tuple(usable[each.model_id] for each in chosen),
        tuple(each.weight for each in chosen) if weighted else (),
    )


def _cannot(task: Task, name: str, found: list[ModelTarget]) -> str:
    tasks = sorted({each for target in found for each in target.model.tasks})
    if task in tasks:
        return f"The model {name!r} works in batches only, not request by request. Use another model."
    abilities = " and ".join(DOES[each] for each in tasks) or "is not set up for anything"
    return f"The model {name!r} is none that {DOES[task]}: it {abilities}. Use another model."


_catalogs: dict[int, ModelCatalog] = {}  # by workspace
_loading: dict[int, asyncio.Future[ModelCatalog]] = {}


async def catalog_for(access: Access) -> ModelCatalog:
    """What the caller's workspace offers, at most a few seconds old."""
    key = access.workspace.pk
    known = _catalogs.get(key)
    age = time.monotonic() - known.loaded_at if known else math.inf
    if age > FRESH and key not in _loading:
        _loading[key] = asyncio.ensure_future(_load_after(PAUSE if age <= STALE else 0, access))
        _loading[key].add_done_callback(partial(_loaded, key))
    if known is None or age > STALE:  # everybody who comes meanwhile waits for the same answer
        return await asyncio.shield(_loading[key])
    return known


async def _load_after(seconds: float, access: Access) -> ModelCatalog:
    await asyncio.sleep(seconds)
    return await asyncio.to_thread(_load, access)


def _loaded(key: int, loading: asyncio.Future[ModelCatalog]) -> None:
    del _loading[key]
    if not loading.cancelled() and loading.exception() is None:
        _catalogs[key] = loading.result()


def _load(access: Access) -> ModelCatalog:
    try:
        models = SpeechModel.objects.for_workspace(access.workspace).usable()
        aliases = ModelAlias.objects.for_workspace(access.workspace).with_targets()
        catalog = ModelCatalog(list(models), list(aliases))
        for target in catalog.targets.values():
            with suppress(ProviderError):  # told to whoever asks for the model
                _ = target.adapter  # made here and not in the event loop: some need a second
        return catalog
    finally:
        close_old_connections()
