"""The whole way with audio on S3 instead of a folder."""

import io

import httpx
import pytest
from django.core.files.storage import storages

from datasets.audio_source import StoredAudio
from datasets.models import Dataset
from datasets.services import add_audio_sample
from evaluations.models import Batch, Result
from evaluations.services import start_run
from providers.models import SpeechModel
from providers.registry import close_adapters
from tests.audio import make_wav
from tests.evaluations.gemini import finish, make_gemini
from tests.servers.gemini import GeminiServer
from tests.servers.s3 import Bucket

pytestmark = pytest.mark.django_db


@pytest.fixture
def bucket(settings):
    with Bucket.start() as bucket:
        settings.STORAGES = {
            **settings.STORAGES,
            "default": {
                "BACKEND": "storages.backends.s3.S3Storage",
                "OPTIONS": {
                    "bucket_name": "earshot",
                    "endpoint_url": bucket.url,
                    "access_key": "key",
                    "secret_key": "secret",
                    "region_name": "us-east-1",
                    "addressing_style": "path",
                    "signature_version": "s3v4",
                    "max_memory_size": 1024 * 1024,
                },
            },
        }
        yield bucket
        storages["default"].connection.meta.client.close()


@pytest.fixture
def sample(bucket, workspace):
    dataset = Dataset.objects.create(workspace=workspace, name="on S3")
    return add_audio_sample(dataset=dataset, file=io.BytesIO(make_wav(1.0)), filename="tone.wav", reference="tone")


def test_audio_is_kept_in_the_bucket_and_read_from_it(bucket, sample):
    [(key, data)] = bucket.objects.items()
    assert sample.audio.sha256 in key
    with StoredAudio(sample.audio).local_path() as path:
        assert path.read_bytes() == data == make_wav(1.0)


def test_a_listener_is_sent_to_a_signed_address_that_seeks(bucket, sample, api):
    answer = api.get(f"/api/v1/samples/{sample.pk}/audio/")
    assert answer.status_code == 302
    assert "X-Amz-Signature" in answer["Location"]
    heard = httpx.get(answer["Location"], headers={"Range": "bytes=10-19"})
    assert (heard.status_code, heard.content) == (206, make_wav(1.0)[10:20])


def test_a_batch_takes_its_audio_from_the_bucket_and_keeps_its_results_there(bucket, sample, workspace, settings):
    settings.BATCH_POLL_SECONDS = 0.2
    with GeminiServer.start() as gemini:
        model = SpeechModel.objects.get(provider=make_gemini(workspace, gemini), name="gemini-3.8-flash")
        run = finish(start_run(dataset=sample.dataset, models=[model]))
        close_adapters()
    assert run.status == "completed"
    assert Result.objects.get(run=run).hypothesis
    assert any(Batch.objects.get().output.name in key for key in bucket.objects)
