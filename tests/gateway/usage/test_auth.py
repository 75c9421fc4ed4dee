"""Who may call, and how often."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.utils import timezone

from accounts.models import ApiKey, Role
from accounts.services import create_api_key, revoke_api_key
from gateway import auth, rate_limit
from gateway.auth import authenticate
from gateway.errors import ApiError
from gateway.models import Budget


def ask(secret, times=1):
    """The answers to as many requests, all at once."""

    async def all_at_once():
        return await asyncio.gather(*(authenticate(f"Bearer {secret}") for _ in range(times)), return_exceptions=True)

    return asyncio.run(all_at_once())


def errors(answers):
    return [(answer.status, answer.code) for answer in answers if isinstance(answer, ApiError)]


def test_a_valid_key_is_let_in_with_its_workspace_and_role(secret, workspace):
    (access,) = ask(secret)
    assert (access.workspace, access.role, access.api_key.name) == (workspace, Role.EVALUATOR, "ci")


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic abc", "ek-nothing", "Bearer ek-nothing", "Bearer a b", "Bearer é"]
)
def test_whoever_sends_no_valid_key_is_told_so(workspace, header):
    with pytest.raises(ApiError) as error:
        asyncio.run(authenticate(header))
    assert (error.value.status, error.value.code) == (401, "invalid_api_key")
    assert error.value.headers["WWW-Authenticate"] == "Bearer"


def test_the_word_bearer_is_taken_in_any_case(secret):
    assert asyncio.run(authenticate(f"bearer  {secret} ")).api_key.name == "ci"


def test_a_revoked_key_is_refused_within_seconds(secret, monkeypatch):
    monkeypatch.setattr(auth, "CACHE_SECONDS", 0.0)
    ask(secret)
    revoke_api_key(api_key=ApiKey.objects.get())
    assert errors(ask(secret)) == [(401, "invalid_api_key")]


def test_a_new_key_works_at_once_even_where_it_was_tried_before(workspace, secret):
    assert errors(ask("ek-not-yet")) == [(401, "invalid_api_key")]
    assert errors(ask(create_api_key(workspace=workspace, name="new")[1])) == []


@pytest.mark.parametrize("row", ["workspace", "organization"])
def test_a_workspace_that_is_switched_off_is_refused(secret, workspace, row):
    switched = workspace if row == "workspace" else workspace.organization
    switched.is_active = False
    switched.save()
    assert errors(ask(secret)) == [(403, "workspace_inactive")]


@pytest.mark.parametrize("role", [Role.REVIEWER, Role.VIEWER])
def test_a_key_that_may_start_nothing_may_call_nothing(workspace, role):
    (error,) = ask(create_api_key(workspace=workspace, name="reader", role=role)[1])
    assert (error.status, error.code) == (403, "role_too_low")
    assert role in error.message


def test_a_budget_that_is_used_up_is_known_before_anything_is_sent(secret, workspace, make_call, minute):
    Budget.objects.create(workspace=workspace, monthly_usd=Decimal("0.10"))
    assert errors(ask(secret)) == []
    make_call("req-1", minute())
    auth.forget()
    assert errors(ask(secret, 3)) == [(402, "budget_exceeded")] * 3


# --- How often ------------------------------------------------------------------------------------


def test_a_key_that_has_made_its_calls_is_told_when_to_come_again(secret):
    ApiKey.objects.update(requests_per_minute=3)
    answers = ask(secret, 5)
    assert errors(answers) == [(429, "rate_limit_exceeded")] * 2
    error = next(answer for answer in answers if isinstance(answer, ApiError))
    assert error.headers["Retry-After"] == "20"
    assert error.message == "This API key may make 3 calls a minute. Try again in 20 s."


def test_each_key_has_its_own_calls(workspace):
    secrets = [create_api_key(workspace=workspace, name=name)[1] for name in ("a", "b")]
    ApiKey.objects.update(requests_per_minute=2)
    assert [len(errors(ask(secret, 3))) for secret in secrets] == [1, 1]


def test_calls_come_in_evenly_again(secret, monkeypatch):
    begun, seconds = timezone.now(), 0.0
    monkeypatch.setattr(rate_limit, "timezone", SimpleNamespace(now=lambda: begun + timedelta(seconds=seconds)))
    monkeypatch.setattr(rate_limit, "time", SimpleNamespace(monotonic=lambda: seconds))
    ApiKey.objects.update(requests_per_minute=120)
    assert len(errors(ask(secret, 121))) == 1
    seconds = 1.1
    assert len(errors(ask(secret, 10))) == 8  # two have come in


def test_the_sites_limit_is_for_keys_without_their_own(workspace, settings):
    settings.GATEWAY_REQUESTS_PER_MINUTE = 2
    secrets = [create_api_key(workspace=workspace, name=name)[1] for name in ("a", "b")]
    ApiKey.objects.filter(name="b").update(requests_per_minute=4)
    assert [len(errors(ask(secret, 5))) for secret in secrets] == [3, 1]


def test_without_a_limit_a_key_may_call_as_often_as_it_likes(secret):
    assert errors(ask(secret, 500)) == []


def test_a_limit_that_was_lowered_holds_for_what_was_left_as_well(secret, monkeypatch):
    monkeypatch.setattr(auth, "CACHE_SECONDS", 0.0)
    ApiKey.objects.update(requests_per_minute=50)
    ask(secret)
    ApiKey.objects.update(requests_per_minute=5)
    assert len(errors(ask(secret, 10))) == 5
