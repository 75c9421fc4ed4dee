import asyncio
from datetime import date
from decimal import Decimal

import pytest

from accounts.api_keys import access_of_key
from accounts.models import Role
from accounts.services import create_api_key
from gateway import auth
from gateway.usage import costs, recorder
from providers.models import Price, Provider, SpeechModel


@pytest.fixture(autouse=True)
def writer_at_rest(transactional_db):
    """The writer's thread has a connection of its own: it is closed before the database is emptied."""
    yield
    recorder.close()
    auth.forget()
    costs.forget()


@pytest.fixture
def secret(workspace):
    """An evaluator's key."""
    return create_api_key(workspace=workspace, name="ci", role=Role.EVALUATOR)[1]


@pytest.fixture
def access(secret):
    return access_of_key(secret)


@pytest.fixture
def model(workspace):
    """acme/ears: ten cents a minute of audio, ten dollars a million characters."""
    provider = Provider.objects.create(workspace=workspace, name="acme", kind="local")
    model = SpeechModel.objects.create(provider=provider, name="ears", upstream_name="ears", speech_to_text=True)
    day = date(2020, 1, 1)
    Price.objects.create(model=model, unit=Price.Unit.AUDIO_MINUTE, usd=Decimal("0.1"), valid_from=day)
    Price.objects.create(model=model, unit=Price.Unit.CHARACTERS, usd=10, valid_from=day)
    return model


@pytest.fixture
def call(access):
    """call(request_id, ...) -> a transcription that is about to be asked for."""

    def make(request_id, **more):
        given = {"access": access, "endpoint": "transcription", "model_name": "acme/ears", "request_id": request_id}
        return recorder.Call(**given | more)

    return make


@pytest.fixture
def minute(model):
    """minute(n=1) -> the outcome of n minutes of audio, at ten cents each."""
    return lambda n=1, **more: recorder.Outcome("success", 200, model=model, audio_seconds=60.0 * n, **more)


@pytest.fixture
def make_call(call):
    """make_call(request_id, outcome) reserves and settles."""

    def make(request_id, outcome, **more):
        async def reserve_and_settle():
            await recorder.settle(await recorder.reserve(call(request_id, **more)), outcome)

        asyncio.run(reserve_and_settle())

    return make
