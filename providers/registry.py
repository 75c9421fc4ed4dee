"""The provider kinds there are, and one adapter of each provider in each process."""

import os
from collections.abc import Callable

from providers.adapters.base import Adapter, ModelConfig, ProviderConfig
from providers.models import Provider, SpeechModel

# A new kind is one module in providers/adapters and one line here.
KINDS: dict[str, Callable[[ProviderConfig], Adapter]] = {}

_adapters: dict[tuple[int, ProviderConfig], Adapter] = {}


def provider_config(provider: Provider) -> ProviderConfig:
    return ProviderConfig(
        kind=provider.kind, name=provider.name, base_url=provider.base_url, credential=provider.credential
    )


def model_config(model: SpeechModel) -> ModelConfig:
    return ModelConfig(upstream_name=model.upstream_name, options=model.options)


def adapter_for(provider: Provider) -> Adapter:
    """The adapter of a provider as it is configured now: made when it is first asked for in this process, then kept.

    The process is part of what it is kept by: connections and engines do not survive a fork.
    """
    config = provider_config(provider)
    key = (os.getpid(), config)
    if key not in _adapters:
        _adapters[key] = KINDS[config.kind](config)
    return _adapters[key]
