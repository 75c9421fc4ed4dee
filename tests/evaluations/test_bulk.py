"""Many rows changed at once."""

from datetime import UTC, datetime

import pytest

from evaluations.bulk import update_each
from evaluations.models import Timer

pytestmark = pytest.mark.django_db


@pytest.fixture
def timers():
    due_at = datetime(2026, 1, 1, tzinfo=UTC)
    return Timer.objects.bulk_create(Timer(name=name, due_at=due_at) for name in ("one", "two", "three"))


def test_each_row_gets_values_of_its_own(timers, django_assert_num_queries):
    for day, timer in enumerate(timers[:2], start=2):
        timer.due_at = timer.due_at.replace(day=day)
    with django_assert_num_queries(1):
        update_each(timers[:2], ["due_at"])
    days = {timer.name: timer.due_at.day for timer in Timer.objects.all()}
    assert days == {"one": 2, "two": 3, "three": 1}


def test_a_row_that_is_gone_by_now_stays_gone(timers):
    Timer.objects.filter(name="two").delete()
    update_each(timers, ["due_at"])
    assert set(Timer.objects.values_list("name", flat=True)) == {"one", "three"}


def test_no_rows_are_no_statement(django_assert_num_queries, db):
    with django_assert_num_queries(0):
        update_each([], ["due_at"])
