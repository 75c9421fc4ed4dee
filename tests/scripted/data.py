"""Datasets and models for tests of runs: rows only, no audio is read by scripted models."""

import hashlib

from datasets.models import Audio, Dataset, Sample
from providers.models import Provider, SpeechModel


def sha(number):
    """The hash of the audio of sample `number`."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def make_dataset(workspace, *, samples=5, name="spoken", reference="heard", seconds=1.0):
    """A dataset of `samples` samples; each reference is what a scripted model answers unless told otherwise."""
    dataset = Dataset.objects.create(workspace=workspace, name=name)
    # The same audio may be there already, from another dataset of the workspace.
    Audio.objects.bulk_create(
        (
            Audio(
                workspace=workspace,
                sha256=sha(number),
                file=f"audio/{number}.wav",
                size=32000,
                container="wav",
                codec="pcm_s16le",
                mime_type="audio/wav",
                duration=seconds,
                sample_rate=16000,
                channels=1,
                peaks=b"\x00",
            )
            for number in range(samples)
        ),
        ignore_conflicts=True,
    )
    audio = dict(Audio.objects.filter(workspace=workspace).values_list("sha256", "pk"))
    Sample.objects.bulk_create(
        Sample(dataset=dataset, key=f"sample-{number}", audio_id=audio[sha(number)], reference=reference)
        for number in range(samples)
    )
    return dataset


def make_model(workspace, name="model", *, max_concurrency=8, provider="scripted", **options):
    provider, _ = Provider.objects.get_or_create(
        workspace=workspace, name=provider, defaults={"kind": "scripted", "max_concurrency": max_concurrency}
    )
    return SpeechModel.objects.create(
        provider=provider, name=name, upstream_name=name, speech_to_text=True, options=options
    )
