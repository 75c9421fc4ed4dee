"""Calls from asyncio code: coroutines and threads share the slots that their process holds."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest
from django.utils import timezone

from providers.adapters.base import ProviderError
from providers.limits import ProviderPaused, limiter_for
from providers.limits.circuit_breaker import FAILURES
from providers.limits.holder import SHORT_TICK
from providers.models import Provider, ProviderThrottle
from providers.reasons import Reason
from tests.providers.limits import DOWN, assert_all_is_given_back, limit

pytestmark = pytest.mark.django_db


@pytest.fixture
def provider(workspace):
    return Provider.objects.create(workspace=workspace, name="remote", kind="scripted", max_concurrency=6)


@pytest.mark.django_db(transaction=True)
def test_coroutines_hold_the_limit_and_all_get_their_turn(provider):
    under_way = most = done = 0

    async def call():
        nonlocal under_way, most, done
        async with limiter_for(provider).slot():
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.01)
            under_way -= 1
            done += 1

    async def calls():
        await asyncio.gather(*(call() for _ in range(50)))

    asyncio.run(calls())
    assert (most, done) == (6, 50)
    assert_all_is_given_back(provider)


@pytest.mark.django_db(transaction=True)
def test_a_coroutine_that_gives_up_waiting_takes_nothing_with_it(provider):
    limit(provider, max_concurrency=1)

    async def calls():
        async with limiter_for(provider).slot():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), limiter_for(provider).slot():
                    raise AssertionError("two calls at once")
        async with asyncio.timeout(30), limiter_for(provider).slot():
            pass

    asyncio.run(calls())
    assert_all_is_given_back(provider)


@pytest.mark.django_db(transaction=True)
def test_coroutines_are_told_that_the_provider_is_paused_and_why(provider):
    async def fail():
        async with limiter_for(provider).slot():
            raise DOWN

    async def calls():
        for _ in range(FAILURES):
            with pytest.raises(ProviderError):
                await fail()
        await asyncio.sleep(2 * SHORT_TICK)
        with pytest.raises(ProviderPaused, match="503") as paused:
            await fail()
        assert paused.value.until > timezone.now()
        assert paused.value.reason == Reason.PROVIDER_ERROR

    asyncio.run(calls())
    assert_all_is_given_back(provider)


@pytest.mark.django_db(transaction=True)
def test_coroutines_do_not_wait_long_for_their_turn_under_a_limit_a_minute(provider):
    limit(provider, requests_per_minute=1)

    async def calls():
        async with limiter_for(provider).slot():
            pass
        with pytest.raises(ProviderPaused, match="requests a minute") as paused:
            async with limiter_for(provider).slot():
                raise AssertionError("too many calls")
        assert paused.value.until > timezone.now() + timedelta(seconds=50)

    asyncio.run(calls())
    assert_all_is_given_back(provider)


@pytest.mark.django_db(transaction=True)
def test_a_call_that_lasts_takes_no_turns_from_others_under_a_limit_a_minute(provider):
    limit(provider, requests_per_minute=300)

    async def call():
        async with limiter_for(provider).slot():
            await asyncio.sleep(0.8)  # four turns

    asyncio.run(call())
    assert ProviderThrottle.objects.get().next_start_at < timezone.now()
    assert_all_is_given_back(provider)


@pytest.mark.django_db(transaction=True)
def test_coroutines_call_again_when_the_pause_that_was_asked_for_is_over(provider):
    slow_down = ProviderError(Reason.RATE_LIMITED, "429", retryable=True, status=429, retry_after=0.4)

    async def calls():
        with pytest.raises(ProviderError, match="429"):
            async with limiter_for(provider).slot():
                raise slow_down
        with pytest.raises(ProviderPaused):
            async with limiter_for(provider).slot():
                raise AssertionError("it asked for a pause")
        for _ in range(100):
            with suppress(ProviderPaused):
                async with limiter_for(provider).slot():
                    return
            await asyncio.sleep(0.1)
        raise AssertionError("the pause is not over after 10 s")

    asyncio.run(calls())
    assert_all_is_given_back(provider)
