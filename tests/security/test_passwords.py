"""Guessing passwords."""

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth import get_user
from django.contrib.auth.hashers import get_hasher
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.login_throttle import BY_ACCOUNT, BY_ACCOUNT_AND_ADDRESS, BY_ADDRESS, LoginAttempt, network_of
from accounts.models import LoginThrottle, User
from accounts.services import update_user
from config import settings as site

OFFICE, HOME = "203.0.113.5", "198.51.100.7"


@pytest.fixture
def anna(make_member):
    return make_member(username="anna")


def sign_in(password="pw", account="anna", address=OFFICE):
    """(whether it worked, what the page says)"""
    client = Client(REMOTE_ADDR=address)
    response = client.post(reverse("admin:login"), {"username": account, "password": password})
    return get_user(client).is_authenticated, response.content.decode()


def guess(times, **fields):
    for _ in range(times):
        assert not sign_in("wrong", **fields)[0]


def minutes_pass(minutes):
    for row in LoginThrottle.objects.all():
        LoginThrottle.objects.filter(pk=row.pk).update(expires_at=row.expires_at - timedelta(minutes=minutes))


def test_after_five_wrong_passwords_the_right_one_has_to_wait_five_minutes(anna):
    guess(BY_ACCOUNT_AND_ADDRESS)
    worked, page = sign_in()
    assert not worked
    assert "Too many attempts to sign in. Try again in 5 minutes." in page
    minutes_pass(4)
    assert "Try again in 1 minute." in sign_in()[1]
    minutes_pass(1.1)
    assert sign_in()[0]


def test_attempts_during_the_wait_do_not_make_it_longer(anna):
    guess(BY_ACCOUNT_AND_ADDRESS + 10)
    minutes_pass(5.1)
    assert sign_in()[0]


def test_a_guess_from_elsewhere_does_not_keep_the_owner_out(anna):
    guess(BY_ACCOUNT_AND_ADDRESS + 1, address=HOME)
    assert sign_in()[0]


def test_signing_in_forgets_the_mistakes_before(anna):
    for _ in range(3):
        guess(BY_ACCOUNT_AND_ADDRESS - 1)
        assert sign_in()[0]


def test_one_address_cannot_go_through_all_accounts(anna):
    for number in range(BY_ADDRESS):
        guess(1, account=f"user{number}")
    assert "Too many attempts" in sign_in()[1]
    assert sign_in(address=HOME)[0]


def test_many_addresses_together_cannot_guess_one_account_nor_keep_its_owner_out(anna):
    assert sign_in(address=HOME)[0]
    for number in range(BY_ACCOUNT):
        assert LoginAttempt("anna", f"192.0.2.{number}").wait() is None
    assert "Too many attempts" in sign_in(address=OFFICE)[1]
    assert sign_in(address=HOME)[0]


def test_an_unknown_account_is_treated_as_a_known_one(anna):
    known = [sign_in("wrong")[1] for _ in range(BY_ACCOUNT_AND_ADDRESS + 1)]
    unknown = [sign_in("wrong", account="nobody")[1] for _ in range(BY_ACCOUNT_AND_ADDRESS + 1)]
    assert ["Too many attempts" in page for page in known] == ["Too many attempts" in page for page in unknown]


def test_letters_of_another_case_are_the_same_account(anna):
    guess(BY_ACCOUNT_AND_ADDRESS, account="ANNA")
    assert "Too many attempts" in sign_in()[1]


def test_what_failed_is_logged_without_the_password_nor_what_may_be_one(anna, caplog):
    with caplog.at_level(logging.INFO):
        sign_in("s3cret-typed")
        sign_in("s3cret-typed", account="s3cret-in-the-wrong-field")
        guess(BY_ACCOUNT_AND_ADDRESS)
    assert f"An attempt to sign in to 'anna' from {OFFICE} failed." in caplog.text
    assert f"An attempt to sign in to an unknown account from {OFFICE} failed." in caplog.text
    assert f"Too many attempts to sign in to 'anna' from {OFFICE}." in caplog.text
    assert "s3cret" not in caplog.text
    assert all("anna" not in row.key for row in LoginThrottle.objects.all())


def test_rows_go_when_they_are_over(anna):
    guess(3, account="nobody")
    minutes_pass(6)
    sign_in()
    assert set(LoginThrottle.objects.values_list("attempts", flat=True)) == {0}


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_an_ipv6_customer_is_one_address(address, network):
    assert network_of(address) == network


@pytest.mark.django_db(transaction=True)
def test_attempts_at_the_same_time_do_not_slip_through():
    def attempt(_):
        try:
            return LoginAttempt("anna", OFFICE).wait()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        waits = list(threads.map(attempt, range(24)))
    assert waits.count(None) == BY_ACCOUNT_AND_ADDRESS


def test_passwords_are_hashed_with_argon2_and_earlier_ones_still_open(settings, anna):
    settings.PASSWORD_HASHERS = site.PASSWORD_HASHERS
    User.objects.filter(pk=anna.pk).update(password=get_hasher("pbkdf2_sha256").encode("pw", "salt", 1000))
    assert sign_in()[0]
    anna.refresh_from_db()
    assert anna.password.startswith("argon2$argon2id$")
    assert sign_in()[0]


@pytest.mark.parametrize("password", ["short", "password123", "8462915370", "anna.becker"])
def test_weak_passwords_are_refused(password):
    with pytest.raises(ValidationError):
        validate_password(password, User(username="anna.becker"))


def test_setup_refuses_a_weak_password_and_makes_nothing(db):
    with pytest.raises(CommandError, match="too common"):
        call_command("setup", admin_password="password")
    assert not User.objects.exists()


def link_for(user):
    out = StringIO()
    call_command("password_link", user.username, stdout=out)
    return out.getvalue().strip().removeprefix("http://localhost:8000")


def set_password(link, password):
    """What the page says at the end."""
    client = Client()
    form = client.get(link, follow=True)
    fields = {"new_password1": password, "new_password2": password}
    return client.post(form.request["PATH_INFO"], fields, follow=True).content.decode()


def test_a_link_sets_a_password_once(anna):
    link = link_for(anna)
    assert "Your password is set." in set_password(link, "correct horse battery")
    assert sign_in("correct horse battery")[0]
    assert "This link has been used" in set_password(link, "another good password")
    assert sign_in("correct horse battery")[0]


def test_a_link_takes_no_weak_password(anna):
    assert "too common" in set_password(link_for(anna), "password")
    assert sign_in("pw")[0]


def test_a_link_is_over_after_a_day(anna, settings):
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert "This link has been used, or is older than a day." in set_password(link_for(anna), "correct horse battery")


def test_a_link_of_somebody_who_lost_access_is_over_for_good(anna):
    link = link_for(anna)
    for is_active in (False, True):
        anna.is_active = is_active
        update_user(user=anna)
        assert "This link has been used" in set_password(link, "correct horse battery")


def test_the_page_of_a_link_does_not_hold_it(anna):
    link = link_for(anna)
    page = Client().get(link, follow=True)
    assert page.status_code == 200
    assert link.split("/")[-2] not in page.request["PATH_INFO"] + page.content.decode()


@pytest.mark.parametrize(("name", "problem"), [("nobody", "There is no user"), ("gone", "switched off")])
def test_who_could_not_sign_in_gets_no_link(anna, name, problem):
    User.objects.create_user("gone", is_active=False)
    with pytest.raises(CommandError, match=problem):
        call_command("password_link", name)
