"""What tests of shared limits do with a provider and its slots."""

from contextlib import closing
from datetime import timedelta

from django.utils import timezone

from providers.adapters.base import ProviderError
from providers.limits import SlotHolder, reopen
from providers.limits.circuit_breaker import FAILURES
from providers.models import Provider, ProviderThrottle, SlotLease
from providers.reasons import Reason
from tests.waiting import wait_for

DOWN = ProviderError(Reason.PROVIDER_ERROR, "503: down", retryable=True, status=503)
REFUSED = ProviderError(Reason.REQUEST_REFUSED, "400: no", status=400)


def limit(provider, **limits):
    Provider.objects.filter(pk=provider.pk).update(**limits)


def begin_all(share, wanted):
    """Begin calls until none may begin; how many there were."""
    begun = 0
    while share.in_use < wanted and share.ready(wanted):
        share.begin()
        begun += 1
    return begun


def pass_time(provider, **fields):
    """Let what is waited for be over, by the database's clock too, which counts in milliseconds."""
    over = timezone.now() - timedelta(seconds=1)
    ProviderThrottle.objects.filter(pk=provider.pk).update(**dict.fromkeys(fields, over))


def break_down(provider):
    share = SlotHolder(provider.pk)
    begin_all(share, wanted=FAILURES)
    for _ in range(FAILURES):
        share.end(DOWN)
    share.close()


def assert_all_is_given_back(provider):
    """To whoever wants it."""
    limit(provider, requests_per_minute=None)
    reopen(provider)
    provider.refresh_from_db()
    with closing(SlotHolder(provider.pk)) as other:
        wait_for(lambda: (begin_all(other, 99), other.in_use)[1] == provider.max_concurrency)
    wait_for(lambda: not SlotLease.objects.exists())
