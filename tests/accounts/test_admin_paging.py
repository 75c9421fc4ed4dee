import pytest
from django.contrib import admin
from django.core.paginator import EmptyPage
from django.template.loader import render_to_string
from django.test import RequestFactory
from unfold.admin import ModelAdmin

from accounts.models import User
from core.admin_paging import NoCountMixin, NoCountPaginator


class UserList(NoCountMixin, ModelAdmin):
    ordering = ["-id"]
    list_per_page = 2

    def has_view_permission(self, request, obj=None):
        return True


@pytest.fixture
def five_users(db):
    return [User.objects.create_user(f"user {n}") for n in range(5)]


@pytest.fixture
def change_list(five_users):
    """change_list(query string) -> the list of five users, two to a page."""

    def make(query=""):
        request = RequestFactory().get(f"/{query}")
        request.user = User(is_superuser=True)
        return UserList(User, admin.site).get_changelist_instance(request)

    return make


def test_a_page_is_read_in_one_query_that_counts_nothing(five_users, django_assert_num_queries):
    with django_assert_num_queries(1) as queries:
        page = NoCountPaginator(User.objects.order_by("id"), 2).page(1)
        assert list(page) == five_users[:2]
    assert "COUNT(" not in queries[0]["sql"].upper()


def test_the_last_page_knows_that_it_is_the_last(five_users):
    pages = NoCountPaginator(User.objects.order_by("id"), 2)
    assert [pages.page(n).has_next() for n in (1, 2, 3)] == [True, True, False]
    assert [pages.page(n).has_previous() for n in (1, 2, 3)] == [False, True, True]


def test_a_last_page_that_is_full_has_no_next_page(five_users):
    assert not NoCountPaginator(User.objects.order_by("id"), 5).page(1).has_next()


def test_a_page_after_the_last_is_refused(five_users):
    with pytest.raises(EmptyPage):
        NoCountPaginator(User.objects.order_by("id"), 2).page(4)


def test_an_empty_list_has_one_empty_page(db):
    page = NoCountPaginator(User.objects.order_by("id"), 2).page(1)
    assert (len(page), page.has_next(), page.start_index(), page.end_index()) == (0, False, 0, 0)


def test_the_change_list_opens_without_counting(change_list, django_assert_num_queries):
    with django_assert_num_queries(1) as queries:
        assert len(change_list().result_list) == 2
    assert "COUNT(" not in queries[0]["sql"].upper()


def test_the_change_list_links_to_the_pages_before_and_after(change_list):
    page = render_to_string("admin/pagination_no_count.html", {"cl": change_list("?p=2")})
    assert 'rel="prev"' in page
    assert 'href="?p=1"' in page
    assert "Users 3&ndash;4" in page
    assert 'href="?p=3"' in page


def test_the_first_and_the_last_page_of_the_change_list_link_one_way_only(change_list):
    first = render_to_string("admin/pagination_no_count.html", {"cl": change_list()})
    last = render_to_string("admin/pagination_no_count.html", {"cl": change_list("?p=3")})
    assert ('rel="prev"' in first, 'rel="next"' in first) == (False, True)
    assert ('rel="prev"' in last, 'rel="next"' in last) == (True, False)
