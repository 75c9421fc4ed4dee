"""Resolves the model name of a request to the models that may serve it, in the order in which they are tried."""

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

FRESH_SECONDS = 2.0  # seconds that a cached catalog is used as it is; older ones are reloaded in the background,
STALE_SECONDS = 6.0  # and above this age (seconds) before the request is served
SHORT_PATIENCE = 0.5  # seconds that a call waits for a slot if another model is left to try
RELOAD_DELAY = 0.05  # seconds before a reload in the background: the request that caused it goes first
ABILITIES = {
    "stt": "transcribes speech",
    "tts": "speaks texts",
    "chat": "answers texts",
    "translation": "translates speech to English",
}


@dataclass(frozen=True)
class ModelTarget:
    """A model that may serve a request."""

    model: SpeechModel

    @property
    def name(self) -> str:
        return self.model.public_name

    def slot(self, *, is_last: bool) -> AbstractAsyncContextManager[None]:
        """Hold a slot of the provider's limits for one call. Raises ProviderPaused if there is none within PATIENCE, or
        within SHORT_PATIENCE unless `is_last`. Embedded engines have a queue of their own and no limits."""
        if self.adapter.info.embedded:
            return nullcontext()
        return limiter_for(self.model.provider).slot(PATIENCE if is_last else SHORT_PATIENCE)

    @cached_property
    def adapter(self) -> Adapter:
        """The adapter of the model's provider. Raises ProviderError if it cannot be made."""
        return adapter_for(self.model.provider)

    @cached_property
    def openai_compatible(self) -> OpenAICompatible | None:
        """The adapter if its provider implements OpenAI's HTTP API, else None. Raises ProviderError."""
        return self.adapter if isinstance(self.adapter, OpenAICompatible) else None

    @cached_property
    def store(self) -> FileStore | None:
        """The adapter if its provider has a file store, for audio too large for a request, else None. Raises
        ProviderError."""
        return self.adapter if isinstance(self.adapter, FileStore) else None

    @cached_property
    def config(self) -> ModelConfig:
        return model_config(self.model)

    def prompt(self, hint: str) -> str:
        """Return the prompt for a transcription. `hint`: the client's prompt, such as words that may occur or the text
        before this audio; it is appended to the default prompt of kinds that have one. Raises ProviderError."""
        own = self.adapter.info.default_prompt
        return f"{own}\nFor context and spelling only, not to be answered: {hint}" if own and hint else own or hint


@dataclass(frozen=True)
class Alias:
    name: str
    targets: tuple[ModelTarget, ...]  # in the alias's order
    weights: tuple[int, ...]  # of the targets; empty: they are tried in order

    def order(self) -> list[ModelTarget]:
        """Return the targets in the order in which to try them; targets with weights are drawn anew each time."""
        if not self.weights:
            return list(self.targets)
        # Efraimidis and Spirakis: the first is drawn by weight, then the second among the rest, and so on.
        keys = [random.random() ** (1 / weight) for weight in self.weights]  # noqa: S311 - no secret
        return [target for _, target in sorted(zip(keys, self.targets, strict=True), key=lambda pair: -pair[0])]


class ModelCatalog:
    """The models and aliases of one workspace."""

    def __init__(self, models: Sequence[SpeechModel], aliases: Sequence[ModelAlias]) -> None:
        self.loaded_at = time.monotonic()
        self.targets = {model.public_name: ModelTarget(model) for model in models}
        by_id = {target.model.pk: target for target in self.targets.values()}
        built = [_alias(alias, by_id) for alias in aliases]
        self.aliases = {alias.name: alias for alias in built if alias.targets}
        self._by_model_name: dict[str, list[ModelTarget]] = {}
        for target in self.targets.values():
            self._by_model_name.setdefault(target.model.name, []).append(target)

    def find(self, name: str) -> list[ModelTarget]:
        """Return the models that `name` refers to: an alias, a public name (provider/model), or a model's name if only
        one provider has it. Raises ApiError 404."""
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
        """Return the models that `name` refers to and that support `task`. Raises ApiError 404, or 400 if none does."""
        found = self.find(name)
        able = [target for target in found if task in target.model.tasks and target.model.supports_direct]
        if not able:
            raise invalid(_unsupported_message(task, name, found), param="model", code="capability_not_supported")
        return able


def _alias(alias: ModelAlias, usable: Mapping[int, ModelTarget]) -> Alias:
    chosen = [each for each in alias.targets.all() if each.model_id in usable]
    weighted = alias.strategy == ModelAlias.Strategy.WEIGHTED
    return Alias(
        alias.name,
        tuple(usable[each.model_id] for each in chosen),
        tuple(each.weight for each in chosen) if weighted else (),
    )


def _unsupported_message(task: Task, name: str, found: list[ModelTarget]) -> str:
    tasks = sorted({each for target in found for each in target.model.tasks})
    if task in tasks:
        return f"The model {name!r} works in batches only, not request by request. Use another model."
    abilities = " and ".join(ABILITIES[each] for each in tasks) or "is not set up for anything"
    return f"The model {name!r} is none that {ABILITIES[task]}: it {abilities}. Use another model."


_catalogs: dict[int, ModelCatalog] = {}  # by workspace id
_loading: dict[int, asyncio.Future[ModelCatalog]] = {}


async def catalog_for(access: Access) -> ModelCatalog:
    """Return the catalog of the caller's workspace, at most STALE_SECONDS old."""
    key = access.workspace.pk
    known = _catalogs.get(key)
    age = time.monotonic() - known.loaded_at if known else math.inf
    if age > FRESH_SECONDS and key not in _loading:
        _loading[key] = asyncio.ensure_future(_load_after(RELOAD_DELAY if age <= STALE_SECONDS else 0, access))
        _loading[key].add_done_callback(partial(_loaded, key))
    if known is None or age > STALE_SECONDS:  # all requests share one load
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
            with suppress(ProviderError):  # raised again when the model is used
                _ = target.adapter  # made in this thread, as some take a second
        return catalog
    finally:
        close_old_connections()
