"""Several holders in this process, on one database: who may call what."""

from datetime import timedelta

import pytest
from django.utils import timezone

from providers.adapters.base import ProviderError
from providers.limits import SlotHolder
from providers.limits.circuit_breaker import FAILURES
from providers.models import Provider, SlotLease
from providers.reasons import Reason
from tests.providers.limits import DOWN, REFUSED, begin_all, break_down, limit, pass_time

pytestmark = pytest.mark.django_db


@pytest.fixture
def provider(workspace):
    return Provider.objects.create(workspace=workspace, name="remote", kind="scripted", max_concurrency=6)


def test_one_holder_gets_what_it_wants_up_to_the_limit(provider):
    assert begin_all(SlotHolder(provider.pk), wanted=4) == 4
    limit(provider, max_concurrency=9)
    assert begin_all(SlotHolder(provider.pk), wanted=20) == 5


def test_holders_never_hold_more_than_the_limit_together(provider):
    shares = [SlotHolder(provider.pk) for _ in range(4)]
    assert sum(begin_all(share, wanted=4) for share in shares) == 6
    assert sum(SlotLease.objects.values_list("slots", flat=True)) == 6


def test_a_second_holder_gets_its_half_as_soon_as_calls_of_the_first_have_ended(provider):
    first, second = SlotHolder(provider.pk), SlotHolder(provider.pk)
    assert begin_all(first, wanted=20) == 6
    assert begin_all(second, wanted=20) == 0
    first.ask(wanted=20)
    first.end()
    assert not first.has_room()  # it has more than its half still
    for _ in range(3):
        first.end()
    first.ask(wanted=20)
    second.ask(wanted=20)
    assert begin_all(second, wanted=20) == 3
    assert begin_all(first, wanted=20) == 1


def test_a_holder_that_wants_little_leaves_the_rest_to_the_others(provider):
    small, large = SlotHolder(provider.pk), SlotHolder(provider.pk)
    assert begin_all(small, wanted=1) == 1
    assert begin_all(large, wanted=20) == 5


def test_a_holder_that_ends_gives_its_slots_back_at_once(provider):
    first, second = SlotHolder(provider.pk), SlotHolder(provider.pk)
    begin_all(first, wanted=20)
    first.close()
    assert begin_all(second, wanted=20) == 6


def test_slots_of_a_holder_that_died_are_free_when_its_lease_is_over(provider):
    dead, living = SlotHolder(provider.pk), SlotHolder(provider.pk)
    begin_all(dead, wanted=20)
    assert begin_all(living, wanted=20) == 0
    SlotLease.objects.filter(holder=dead.holder).update(until=timezone.now() - timedelta(seconds=1))
    living.ask(wanted=20)
    assert begin_all(living, wanted=20) == 6


def test_fewer_slots_than_holders_go_around(provider):
    limit(provider, max_concurrency=1)
    first, second = SlotHolder(provider.pk), SlotHolder(provider.pk)
    assert begin_all(first, wanted=5) == 1
    assert begin_all(second, wanted=5) == 0
    SlotLease.objects.filter(holder=first.holder).update(since=timezone.now() - timedelta(seconds=3))
    first.end()
    first.ask(wanted=5)
    second.ask(wanted=5)
    assert begin_all(second, wanted=5) == 1
    assert begin_all(first, wanted=5) == 0


def test_a_lower_limit_holds_as_soon_as_the_calls_under_way_have_ended(provider):
    share = SlotHolder(provider.pk)
    begin_all(share, wanted=20)
    limit(provider, max_concurrency=2)
    for _ in range(5):
        share.end()
    share.ask(wanted=20)
    assert begin_all(share, wanted=20) == 1


def test_calls_of_all_holders_are_spaced_by_the_limit_a_minute(provider):
    limit(provider, max_concurrency=50, requests_per_minute=120)
    first, second = SlotHolder(provider.pk), SlotHolder(provider.pk)
    first.ask(wanted=20)
    second.ask(wanted=20)
    assert begin_all(first, wanted=20) == 1
    assert begin_all(second, wanted=20) == 0
    assert first.allocation.start_times == pytest.approx([0, 0.5], abs=0.1)
    assert second.allocation.start_times == pytest.approx([1, 1.5], abs=0.2)


def test_a_call_whose_turn_is_far_off_is_told_how_long_it_has_to_wait(provider):
    limit(provider, requests_per_minute=2)
    first, second = SlotHolder(provider.pk), SlotHolder(provider.pk)
    assert begin_all(first, wanted=5) == 1
    assert begin_all(second, wanted=5) == 0
    assert second.wait == pytest.approx(30, abs=2)


def test_failures_in_a_row_pause_the_provider_for_every_holder(provider):
    first, second = SlotHolder(provider.pk), SlotHolder(provider.pk)
    begin_all(first, wanted=FAILURES)
    for _ in range(FAILURES):
        first.end(DOWN)
    assert not first.ready(wanted=5)
    assert not second.ready(wanted=5)
    assert second.allocation.is_failing
    assert second.wait > 2
    assert second.allocation.message == "503: down"


def test_a_success_between_failures_keeps_the_provider_open(provider):
    share = SlotHolder(provider.pk)
    for number in range(3 * FAILURES):
        assert share.ready(wanted=5)
        share.begin()
        share.end(None if number % FAILURES == 0 else DOWN)
    assert share.ready(wanted=5)


@pytest.mark.parametrize("error", [REFUSED, ProviderError(Reason.BLOCKED, "blocked")])
def test_faults_of_a_sample_do_not_pause_the_provider(provider, error):
    share = SlotHolder(provider.pk)
    for _ in range(3 * FAILURES):
        assert share.ready(wanted=5)
        share.begin()
        share.end(error)
    share.ask(wanted=5)
    assert share.ready(wanted=5)


@pytest.mark.parametrize("error", [REFUSED, ProviderError(Reason.AUDIO_TOO_LONG, "longer than the model takes")])
def test_what_no_provider_was_asked_about_does_not_open_it_again(provider, error):
    break_down(provider)
    pass_time(provider, open_until=True)
    share = SlotHolder(provider.pk)
    assert begin_all(share, wanted=20) == 1
    share.end(error)
    share.ask(wanted=20)
    assert share.allocation.is_failing == (error is not REFUSED)


def test_what_fails_again_tells_nothing_new_of_the_provider(provider):
    share = SlotHolder(provider.pk)
    for _ in range(3 * FAILURES):
        assert share.ready(wanted=5)
        share.begin()
        share.end(DOWN, first=False)
    share.ask(wanted=5)
    assert share.ready(wanted=5)


def test_after_a_pause_one_call_is_tried_and_its_success_opens_the_provider(provider):
    break_down(provider)
    pass_time(provider, open_until=True)
    first, second = SlotHolder(provider.pk), SlotHolder(provider.pk)
    assert begin_all(first, wanted=20) == 1
    assert begin_all(second, wanted=20) == 0
    first.end()
    first.ask(wanted=20)
    second.ask(wanted=20)
    assert begin_all(first, wanted=20) + begin_all(second, wanted=20) == 6


def test_a_probe_that_fails_makes_the_next_pause_longer(provider):
    break_down(provider)
    waits = []
    for _ in range(4):
        pass_time(provider, open_until=True)
        share = SlotHolder(provider.pk)
        assert begin_all(share, wanted=20) == 1
        share.end(DOWN)
        share.ask(wanted=20)
        waits.append(share.wait)
        share.close()
    assert waits == sorted(waits)
    assert waits[-1] > 3 * waits[0]


def test_a_probe_whose_holder_died_is_made_by_another_one(provider):
    break_down(provider)
    pass_time(provider, open_until=True)
    dead, living = SlotHolder(provider.pk), SlotHolder(provider.pk)
    assert begin_all(dead, wanted=20) == 1
    SlotLease.objects.filter(holder=dead.holder).update(until=timezone.now() - timedelta(seconds=1))
    assert begin_all(living, wanted=20) == 1


def test_a_provider_that_asks_for_a_pause_is_left_alone_by_every_holder(provider):
    first, second = SlotHolder(provider.pk), SlotHolder(provider.pk)
    begin_all(second, wanted=1)
    begin_all(first, wanted=1)
    first.end(ProviderError(Reason.RATE_LIMITED, "429: slow down", retryable=True, status=429, retry_after=40))
    assert not first.ready(wanted=20)
    second.end()  # was under way: its success does not end what was asked for
    second.ask(wanted=20)
    assert not second.has_room()
    assert 40 <= second.wait <= 45
    pass_time(provider, backoff_until=True)
    second.ask(wanted=20)
    assert begin_all(second, wanted=20) > 1


def test_a_provider_that_takes_no_more_calls_without_a_word_is_left_alone_ever_longer(provider):
    waits = []
    for _ in range(4):
        share = SlotHolder(provider.pk)
        begin_all(share, wanted=1)
        share.end(ProviderError(Reason.RATE_LIMITED, "429", retryable=True, status=429))
        share.ask(wanted=20)
        waits.append(share.wait)
        share.close()
        pass_time(provider, backoff_until=True)
    assert waits == sorted(waits)
    assert waits[-1] > 3 * waits[0]


def test_a_deleted_provider_is_an_error(provider):
    share = SlotHolder(provider.pk)
    provider.delete()
    with pytest.raises(ProviderError, match="deleted"):
        share.ready(wanted=1)


def test_rest_and_the_list_of_providers_say_why_calls_are_held_back(provider, api, client, make_member):
    client.force_login(make_member())
    assert api.get("/api/v1/providers/").data["results"][0]["waiting_for"] == ""
    assert "get through" in client.get("/admin/providers/provider/").content.decode()
    break_down(provider)
    [why] = [found["waiting_for"] for found in api.get("/api/v1/providers/").data["results"]]
    assert why.startswith("remote failed again and again, and is paused until")
    assert "503: down" in why
    assert "503: down" in client.get("/admin/providers/provider/").content.decode()
