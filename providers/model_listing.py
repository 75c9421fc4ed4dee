"""The models that a provider says it offers."""

import asyncio
from dataclasses import dataclass, field

from providers.adapters.base import ModelLister, ProviderError
from providers.models import Provider
from providers.reasons import Reason
from providers.registry import adapter_for

SECONDS = 30.0


@dataclass(frozen=True)
class UpstreamModel:
    name: str  # the provider's own
    added: bool  # there is a model of that upstream name here


@dataclass(frozen=True)
class Upstream:
    """What the provider answered; `fault`, with its `reason`, where it did not."""

    models: list[UpstreamModel] = field(default_factory=list)
    fault: str = ""
    reason: str = ""  # of `providers.reasons.Reason`

    @property
    def advice(self) -> str:
        return Reason(self.reason).label if self.reason else ""


def upstream_models(provider: Provider) -> Upstream:
    """Ask the provider, which takes a moment; never raises for what is wrong with it."""
    try:
        adapter = adapter_for(provider)
        if not isinstance(adapter, ModelLister):
            return Upstream(fault=f"Providers of the kind {adapter.info.label} do not say which models they offer.")
        names = asyncio.run(listed(adapter))
    except ProviderError as error:
        return Upstream(fault=str(error), reason=error.reason)
    here = set(provider.models.values_list("upstream_name", flat=True))
    return Upstream([UpstreamModel(name, name in here) for name in sorted(set(names))])


async def listed(adapter: ModelLister) -> list[str]:
    """Raises ProviderError."""
    try:
        async with asyncio.timeout(SECONDS):
            return await adapter.list_models()
    except TimeoutError as error:
        raise ProviderError(Reason.TIMEOUT, f"There was no answer within {SECONDS:.0f} s.", retryable=True) from error
