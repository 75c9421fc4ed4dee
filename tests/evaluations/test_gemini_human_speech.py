"""Human speech in every container through upload, batch and clean-up."""

import csv

import pytest

from datasets.models import Dataset
from datasets.services import add_audio_sample
from evaluations.models import Result, Upload
from evaluations.services import start_run
from providers.models import SpeechModel
from providers.registry import close_adapters
from tests.evaluations.gemini import finish, make_gemini
from tests.servers.gemini import GeminiServer

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

CLIPS = 53


def test_53_clips_of_human_speech_are_transcribed(workspace, human_speech, settings):
    settings.BATCH_POLL_SECONDS = 0.2
    rows = list(csv.DictReader((human_speech / "manifest.csv").read_text("utf-8").splitlines()))
    dataset = Dataset.objects.create(workspace=workspace, name="human")
    for number in range(CLIPS):
        row = rows[number % len(rows)]
        with (human_speech / row["file"]).open("rb") as audio:
            add_audio_sample(
                dataset=dataset,
                file=audio,
                filename=row["file"],
                key=f"{number} {row['file']}",
                reference=row["reference"],
                language=row["language"],
            )
    with GeminiServer.start() as gemini:
        model = SpeechModel.objects.get(provider=make_gemini(workspace, gemini), name="gemini-3.8-flash")
        run = start_run(dataset=dataset, models=[model])
        finish(run)
        close_adapters()
        state = gemini.state()
    assert run.status == "completed"
    assert Result.objects.filter(run=run, status="completed").count() == CLIPS
    assert state["files"] == []
    # What Gemini does not take as it is went up as FLAC.
    sent = dict(Upload.objects.filter(run=run, kind="audio").values_list("sample__key", "mime_type"))
    assert {mime for key, mime in sent.items() if key.endswith((".m4a", ".webm"))} == {"audio/flac"}
    assert {mime for key, mime in sent.items() if key.endswith(".mp3")} == {"audio/mpeg"}
