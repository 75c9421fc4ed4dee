"""A site with a gateway, served by uvicorn on the test database, and two providers behind it: a stand-in of OpenAI's
API, and the embedded engines."""

import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from accounts.models import Organization, Workspace
from accounts.services import create_api_key
from gateway.models import AliasTarget, ModelAlias, UsageRecord
from providers.limits import reopen
from providers.models import Provider, SlotLease, SpeechModel
from providers.services import ensure_catalogue
from tests.evaluations.site import ServedSite, served_site
from tests.servers.openai import OpenAIServer
from tests.waiting import wait_for

UPSTREAM_KEY = "sk-the-provider-s-own-key"


@dataclass
class Live:
    address: str  # without a slash at its end
    key: str
    workspace: Workspace
    studio: OpenAIServer
    log: Path
    process: subprocess.Popen

    @property
    def api(self):
        return f"{self.address}/v1"

    def make_key(self, name="another", workspace=None, **fields):
        """The secret of a new key."""
        key, secret = create_api_key(workspace=workspace or self.workspace, name=name)
        type(key).objects.filter(pk=key.pk).update(**fields)
        return secret

    def let_calls_through(self):
        """Forget failures, and what providers asked for."""
        providers = Provider.objects.filter(workspace=self.workspace)
        for provider in providers:
            reopen(provider)
        closed = SlotLease.objects.filter(provider__in=providers, slots=0)
        wait_for(lambda: not closed.exists())  # the site has looked again

    def records(self, count, **filters):
        """The usage records that match, oldest first, once there are `count` and all are settled."""
        found = UsageRecord.objects.filter(workspace=self.workspace, **filters).order_by("id")
        wait_for(lambda: found.count() == count and not found.filter(state="reserved").exists())
        return list(found)

    def reserved(self):
        """The usage records of calls that are under way."""
        return UsageRecord.objects.filter(workspace=self.workspace, state="reserved")

    def only_record(self, **filters):
        return self.records(1, **filters)[0]


def make_provider(workspace, name, url):
    """One without models, that takes as many calls as anybody here makes."""
    provider = Provider(workspace=workspace, name=name, kind="openai_compatible", base_url=url, max_concurrency=500)
    provider.credential = UPSTREAM_KEY
    provider.save()
    return provider


def make_models(workspace, studio_url):
    """studio/whisper, studio/transcribe (no times), studio/diarize (speakers), studio/chat, studio/voice,
    studio/plain-voice (wav only), and what the embedded engines offer; the aliases whisper-1 and narrator, with a
    second model each."""
    ensure_catalogue(workspace=workspace)
    provider = make_provider(workspace, "studio", studio_url)
    hears = {"speech_to_text": True}
    SpeechModel.objects.create(
        provider=provider,
        name="whisper",
        upstream_name="whisper-1",
        translation=True,
        word_times=True,
        segment_times=True,
        options={"audio_formats": ["flac", "mp3", "mp4", "ogg", "wav", "webm"]},
        **hears,
    )
    SpeechModel.objects.create(provider=provider, name="transcribe", upstream_name="gpt-4o-transcribe", **hears)
    SpeechModel.objects.create(provider=provider, name="diarize", upstream_name="gpt-4o-transcribe-diarize", **hears)
    SpeechModel.objects.create(provider=provider, name="chat", upstream_name="gpt-5-mini", chat=True)
    speaks = {"upstream_name": "gpt-4o-mini-tts", "text_to_speech": True}
    SpeechModel.objects.create(provider=provider, name="voice", **speaks)
    SpeechModel.objects.create(provider=provider, name="plain-voice", options={"speech_formats": ["wav"]}, **speaks)
    make_alias(workspace, "whisper-1", "studio/transcribe", "studio/whisper")
    make_alias(workspace, "narrator", "studio/voice", "local/espeak-ng")


def make_alias(workspace, name, *models, **fields):
    """`models`: public names, in order."""
    alias = ModelAlias.objects.create(workspace=workspace, name=name, **fields)
    for position, public_name in enumerate(models):
        provider, _, model_name = public_name.partition("/")
        model = SpeechModel.objects.get(provider__workspace=workspace, provider__name=provider, name=model_name)
        AliasTarget.objects.create(alias=alias, model=model, position=position)
    return alias


@dataclass
class Site(ServedSite):
    """With the stand-in of OpenAI that the providers of its workspaces are at."""

    studio: OpenAIServer

    def fresh(self):
        """A Live: a new workspace with models."""
        slug = f"speech-{time.time_ns()}"
        organization = Organization.objects.create(name=slug)
        workspace = Workspace.objects.create(organization=organization, name="Speech", slug=slug)
        _, key = create_api_key(workspace=workspace, name="application")
        make_models(workspace, self.studio.url)
        self.studio.reset()
        return Live(self.address, key, workspace, self.studio, self.log, self.process)


@contextmanager
def running_site(folder, **env):
    """Yields a Site, with settings of its own."""
    with (
        OpenAIServer.start(valid_key=UPSTREAM_KEY) as studio,
        served_site(folder, ALLOW_PRIVATE_ADDRESSES="1", **env) as site,
    ):
        yield Site(site.address, site.log, site.process, studio)


@contextmanager
def live_site(folder, **env):
    """Yields a Live on a site of its own, with other settings."""
    with running_site(folder, **env) as site:
        yield site.fresh()
