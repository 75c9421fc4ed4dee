"""Changes of providers, their models and prices."""

from datetime import date
from decimal import Decimal
from typing import TypedDict, Unpack

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts.models import Workspace
from core.errors import AlreadyExists, InvalidInput
from providers.addresses import check_public_url
from providers.engines.pool import engines_at_once
from providers.limits import reopen
from providers.models import Price, Provider, SpeechModel
from providers.registry import KINDS


class ProviderSettings(TypedDict, total=False):
    """What of a provider may be changed. `credential`: empty removes the stored one."""

    name: str
    base_url: str
    credential: str
    max_concurrency: int
    requests_per_minute: int | None
    is_active: bool


@transaction.atomic
def ensure_catalogue(*, workspace: Workspace) -> None:
    """Give `workspace` a provider of each embedded kind, and of each kind that the environment has a key for.

    Each has the models of its catalogue. What is there already stays as staff have made it.
    """
    for kind, adapter in KINDS.items():
        if adapter.info.embedded:
            defaults = {"kind": kind, "max_concurrency": engines_at_once()}
        elif adapter.info.key_setting and getattr(settings, adapter.info.key_setting):
            defaults = {"kind": kind}  # with neither address nor credential of its own: both are the environment's
        else:
            continue
        provider, _ = Provider.objects.get_or_create(workspace=workspace, name=kind, defaults=defaults)
        if provider.kind == kind:  # and not another one that somebody gave this name
            _add_missing_models(provider)


def create_provider(*, workspace: Workspace, kind: str, **settings: Unpack[ProviderSettings]) -> Provider:
    """Make a provider with the models that its kind's catalogue has. Raises InvalidInput, AlreadyExists."""
    provider = Provider(workspace=workspace, kind=kind)
    return _save(provider, settings)


def update_provider(*, provider: Provider, **settings: Unpack[ProviderSettings]) -> Provider:
    """Change what is given. With another address or credential, calls are tried again at once.

    Raises InvalidInput, AlreadyExists.
    """
    base_url = provider.base_url
    provider = _save(provider, settings)
    if "credential" in settings or provider.base_url != base_url:
        reopen(provider)
    return provider


def delete_provider(*, provider: Provider) -> None:
    """Delete a provider with its models and prices. Results of these models stay, under the name they had."""
    provider.delete()


def set_price(*, model: SpeechModel, unit: Price.Unit, usd: Decimal, valid_from: date) -> Price:
    """What `model` costs from that day on; a price of the same day is replaced."""
    price, _ = Price.objects.update_or_create(model=model, unit=unit, valid_from=valid_from, defaults={"usd": usd})
    return price


def refuse_bad_settings(provider: Provider, settings: ProviderSettings) -> None:
    """Raises InvalidInput or AlreadyExists where `provider` cannot have these settings; changes nothing."""
    if provider.kind not in KINDS:
        raise InvalidInput(f"Unknown kind {provider.kind!r}. Known: {', '.join(sorted(KINDS))}.", field="kind")
    name = settings.get("name", provider.name)
    if not name:
        raise InvalidInput("A provider needs a name.", field="name")
    if Provider.objects.for_workspace(provider.workspace).filter(name=name).exclude(pk=provider.pk).exists():
        raise _name_taken(name)
    _refuse_bad_access(provider, settings)


def _refuse_bad_access(provider: Provider, settings: ProviderSettings) -> None:
    info = KINDS[provider.kind].info
    base_url, credential = settings.get("base_url", ""), settings.get("credential", "")
    if base_url and info.address == "none":
        raise InvalidInput("It runs on this machine and has no address. Leave it empty.", field="base_url")
    if credential and info.credential == "none":
        raise InvalidInput("It needs no credential. Leave it empty.", field="credential")
    if info.address == "required" and not settings.get("base_url", provider.base_url):
        raise InvalidInput("Enter the address of this provider.", field="base_url")
    if base_url:
        try:
            check_public_url(base_url)
        except InvalidInput as error:
            raise InvalidInput(error.message, field="base_url") from error
    _refuse_borrowed_key(provider, settings)
    moved = settings.get("base_url", provider.base_url) != provider.base_url
    if moved and provider.has_credential and "credential" not in settings:
        message = "Enter the credential again: the stored one is not sent to a new address."
        raise InvalidInput(message, field="credential")


def _refuse_borrowed_key(provider: Provider, settings: ProviderSettings) -> None:
    """Only the provider that the site was set up with works with the environment's key: whoever may make or change
    another one would spend on it."""
    address = settings.get("base_url", provider.base_url)
    credential = bool(settings["credential"]) if "credential" in settings else provider.has_credential
    was_so = provider.pk is not None and not (provider.base_url or provider.has_credential)
    if KINDS[provider.kind].info.credential == "required" and not (address or credential or was_so):
        raise InvalidInput("Enter the API key of this provider.", field="credential")


def _save(provider: Provider, settings: ProviderSettings) -> Provider:
    refuse_bad_settings(provider, settings)
    is_new = provider.pk is None
    for name, value in settings.items():
        setattr(provider, name, value)
    try:
        with transaction.atomic():
            provider.save()
            if is_new:
                _add_missing_models(provider)
    except IntegrityError as error:  # taken since it was looked for
        raise _name_taken(provider.name) from error
    return provider


def _name_taken(name: str) -> AlreadyExists:
    return AlreadyExists(f"There is a provider {name!r} already.", field="name")


def _add_missing_models(provider: Provider) -> None:
    for entry in KINDS[provider.kind].info.catalogue:
        model, is_new = SpeechModel.objects.get_or_create(provider=provider, name=entry.name, defaults=entry.fields)
        if is_new:
            for day, prices in entry.prices.items():
                for unit, usd in prices.items():
                    set_price(model=model, unit=Price.Unit(unit), usd=Decimal(usd), valid_from=day)
