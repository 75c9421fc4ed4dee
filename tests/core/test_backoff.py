"""Pauses before something is tried again."""

from core.backoff import exponential_backoff


def test_pauses_double_up_to_the_longest():
    pauses = [exponential_backoff(attempt, first=0.5, longest=3, jitter=(1, 1)) for attempt in range(5)]
    assert pauses == [0.5, 1, 2, 3, 3]


def test_pauses_are_spread():
    pauses = [exponential_backoff(2, first=1) for _ in range(200)]
    assert len(set(pauses)) > 100
    assert all(2 <= pause <= 6 for pause in pauses)


def test_a_provider_that_fails_for_weeks_is_no_overflow():
    assert exponential_backoff(100_000, first=1, longest=60, jitter=(1, 1)) == 60
