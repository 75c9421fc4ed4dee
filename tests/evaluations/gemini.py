"""Runs against the Gemini stand-in: a provider that is it, datasets with audio in storage, and the queue."""

import hashlib
import io
import wave

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django_q.models import OrmQ

from datasets.models import Audio, Dataset, Sample
from evaluations.models import Run, Upload
from providers.models import Provider
from providers.services import _add_missing_models
from tests.evaluations.delivery import deliver_all
from tests.servers.gemini import API_KEY, words_for
from tests.waiting import wait_for


def make_gemini(workspace, server, *, name="gemini"):
    """The provider, with the models of the catalogue."""
    provider = Provider(workspace=workspace, name=name, kind="gemini", base_url=server.base_url)
    provider.credential = API_KEY
    provider.save()
    _add_missing_models(provider)
    return provider


def tone(number, seconds=0.2):
    """A short WAV that no other number has."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(16000)
        wav.writeframes(number.to_bytes(4, "little") * int(8000 * seconds))
    return buffer.getvalue()


def make_audio_dataset(workspace, *, samples, name="spoken", language="en"):
    """Samples with audio in storage; each reference is what the stand-in answers unless it is told otherwise."""
    dataset = Dataset.objects.create(workspace=workspace, name=name, language=language)
    rows = []
    for number in range(samples):
        data = tone(number)
        sha = hashlib.sha256(data).hexdigest()
        path = f"audio/{workspace.pk}/{sha}.wav"
        if not default_storage.exists(path):
            default_storage.save(path, ContentFile(data))
        audio, _ = Audio.objects.get_or_create(
            workspace=workspace,
            sha256=sha,
            defaults={
                "file": path,
                "size": len(data),
                "container": "wav",
                "codec": "pcm_s16le",
                "mime_type": "audio/wav",
                "duration": 0.2,
                "sample_rate": 16000,
                "channels": 1,
                "peaks": b"\x00",
            },
        )
        rows.append(Sample(dataset=dataset, key=f"sample-{number}", audio=audio, reference=words_for(sha)))
    Sample.objects.bulk_create(rows)
    return dataset


def deliver_until(condition):
    """Deliver the queue, delayed tasks too as they fall due, until `condition()`."""
    wait_for(lambda: condition() or deliver_all() or condition(), every=0.02, state=state_of_everything)


def state_of_everything():
    runs = list(Run.objects.values_list("status", "jobs__status", "jobs__shards__batches__state"))
    return f"{runs}, uploads {list(Upload.objects.alive().values_list('kind', 'state'))}, queue {OrmQ.objects.count()}"


def finish(run):
    """Deliver the queue until the run has ended and nothing of it is alive at the provider."""
    deliver_until(lambda: has_ended_and_left_nothing(run))
    run.refresh_from_db()
    return run


def has_ended_and_left_nothing(run):
    return Run.objects.get(pk=run.pk).is_finished and not Upload.objects.alive().filter(run=run).exists()
