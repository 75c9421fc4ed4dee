from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import Role
from accounts.services import create_api_key
from gateway.models import MonthlySpend, UsageRecord
from providers.models import Provider, SpeechModel


@pytest.fixture
def as_owner(client, make_member):
    client.force_login(make_member(Role.OWNER))
    return client


@pytest.fixture
def as_evaluator(client, make_member):
    client.force_login(make_member(Role.EVALUATOR))
    return client


@pytest.fixture
def key(workspace):
    return create_api_key(workspace=workspace, name="website")[0]


@pytest.fixture
def make_model(workspace):
    """make_model("acme/ears", speech_to_text=True) -> a model"""

    def make(public_name, workspace=workspace, **abilities):
        provider_name, _, name = public_name.partition("/")
        provider, _ = Provider.objects.get_or_create(
            workspace=workspace, name=provider_name, defaults={"kind": "local"}
        )
        return SpeechModel.objects.create(provider=provider, name=name, upstream_name=name, **abilities)

    return make


@pytest.fixture
def ears(make_model):
    return make_model("acme/ears", speech_to_text=True)


@pytest.fixture
def use(workspace, key, ears):
    """use("req-1", cost_usd=...) -> the record of a call that is over."""

    def record(request_id, **more):
        now = timezone.now()
        given = {
            "workspace": workspace,
            "api_key": key,
            "key_name": key.name,
            "model": ears,
            "model_name": "acme/ears",
            "served_by": "acme/ears",
            "endpoint": "transcription",
            "request_id": request_id,
            "state": "settled",
            "result": "success",
            "status": 200,
            "audio_seconds": 60.0,
            "cost_usd": Decimal("0.10"),
            "latency": 0.5,
            "created_at": now,
            "expires_at": now,
            "settled_at": now,
        }
        return UsageRecord.objects.create(**given | more)

    return record


@pytest.fixture
def last_month():
    """A moment in it."""
    return datetime.now(UTC).replace(day=1) - timedelta(days=3)


@pytest.fixture
def spend(workspace):
    """spend(usd, api_key=None) -> what was spent this month."""

    def make(usd, api_key=None, **more):
        month = timezone.now().date().replace(day=1)
        return MonthlySpend.objects.create(
            workspace=workspace, api_key=api_key, month=month, spent_usd=Decimal(usd), calls=1, **more
        )

    return make
