"""The provider kinds, and the adapters that this process has made."""

import atexit
import os
from typing import TYPE_CHECKING, Literal

from django.core.exceptions import ImproperlyConfigured

from providers.adapters.base import (
    Adapter,
    CapabilityNotSupported,
    ModelConfig,
    ProviderConfig,
    ProviderError,
)
from providers.adapters.gemini import GeminiAdapter
from providers.adapters.local import LocalAdapter
from providers.adapters.openai import OpenAIAdapter, OpenAICompatibleAdapter
from providers.reasons import Reason

if TYPE_CHECKING:
    from providers.models import Provider, SpeechModel

KINDS: dict[str, type[Adapter]] = {
    LocalAdapter.kind: LocalAdapter,
    GeminiAdapter.kind: GeminiAdapter,
    OpenAIAdapter.kind: OpenAIAdapter,
    OpenAICompatibleAdapter.kind: OpenAICompatibleAdapter,
}

_adapters: dict[tuple[int, int], tuple[ProviderConfig, Adapter]] = {}


def adapter_for(provider: "Provider") -> Adapter:
    """Return the adapter of `provider`, cached for this process and made anew when its settings have changed. The
    previous one is dropped once its last call has ended.

    Raises ProviderError if the kind is unknown or the credential cannot be decrypted.
    """
    try:
        key, config = (os.getpid(), provider.pk), provider_config(provider)
    except ImproperlyConfigured as error:
        raise ProviderError(Reason.INVALID_CREDENTIALS, str(error)) from error
    known = _adapters.get(key)
    if known is None or known[0] != config:
        if provider.kind not in KINDS:
            raise CapabilityNotSupported(f"There are no providers of the kind {provider.kind!r} in this version.")
        known = _adapters[key] = (config, KINDS[provider.kind](config))
    return known[1]


@atexit.register
def close_adapters() -> None:
    """Close the adapters of this process, with their connections and engines."""
    for key in [key for key in _adapters if key[0] == os.getpid()]:
        _adapters.pop(key)[1].close()


def default_prompt(kind: str) -> str:
    """Return the prompt that models of this kind get if a run has none of its own."""
    return KINDS[kind].info.default_prompt if kind in KINDS else ""


def embedded_kinds() -> list[str]:
    """Return the kinds whose engines run on this machine."""
    return [kind for kind, adapter in KINDS.items() if adapter.info.embedded]


def provider_config(provider: "Provider") -> ProviderConfig:
    return ProviderConfig(
        kind=provider.kind, name=provider.name, base_url=provider.base_url, credential=provider.credential
    )


def model_config(model: "SpeechModel") -> ModelConfig:
    able: dict[Literal["word", "segment"], bool] = {"word": model.word_times, "segment": model.segment_times}
    return ModelConfig(
        upstream_name=model.upstream_name,
        options=model.options,
        max_audio_seconds=model.max_audio_seconds,
        max_audio_bytes=model.max_audio_bytes,
        timestamp_granularities=frozenset(unit for unit, is_able in able.items() if is_able),
    )
