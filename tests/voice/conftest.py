import pytest

from providers.models import SpeechModel
from tests.waiting import wait_for
from voice.models import RealtimeSession, VoicePipeline

STUDIO = "studio/transcribe", "studio/chat", "studio/voice"


def make_pipelines(workspace):
    """`studio` (the default): all three places by the stand-in of OpenAI, which says again what it heard."""
    models = {model.public_name: model for model in SpeechModel.objects.for_workspace(workspace)}
    stt, chat, tts = (models[name] for name in STUDIO)
    VoicePipeline.objects.create(
        workspace=workspace, name="studio", stt_model=stt, chat_model=chat, tts_model=tts, is_default=True
    )


@pytest.fixture(scope="module")
def live(live):
    make_pipelines(live.workspace)
    return live


@pytest.fixture
def sessions(live):
    """sessions(count) -> the rows of that many sessions that have ended, oldest first; those from before the test do
    not count."""
    before = set(RealtimeSession.objects.values_list("pk", flat=True))

    def ended(count=1):
        found = RealtimeSession.objects.exclude(pk__in=before).order_by("pk")
        wait_for(lambda: found.exclude(ended_at=None).count() == count)
        return list(found)

    return ended
