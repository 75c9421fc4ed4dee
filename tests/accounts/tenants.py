"""One row of everything in a workspace, every text of it marked, so that a leak of any of them is seen."""

import hashlib
from datetime import date

from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.utils import timezone

from accounts.models import Membership, Organization, Role, Workspace
from accounts.services import create_api_key
from datasets.models import Audio, Dataset, Import, ImportLine, Sample
from evaluations.models import Attempt, Job, Result, Run, Score, Shard
from gateway.models import AliasTarget, Budget, ModelAlias, MonthlySpend, UsageRecord
from providers.models import Price, Provider, SpeechModel
from voice.models import RealtimeSession, RealtimeTurn, VoicePipeline


def furnished(mark):
    """A new workspace with one row of every model; `mark` stands in each text that a page may show."""
    organization = Organization.objects.create(name=mark)
    workspace = Workspace.objects.create(organization=organization, name=mark, slug=mark)
    furnish(workspace, mark)
    return workspace


def furnish(workspace, mark):
    user = get_user_model().objects.create_user(f"{mark}-user", f"{mark}@example.com", "pw", is_staff=True)
    Membership.objects.create(workspace=workspace, user=user, role=Role.VIEWER)
    api_key, _ = create_api_key(workspace=workspace, name=f"{mark} key")
    dataset = Dataset.objects.create(workspace=workspace, name=f"{mark} dataset", description=mark, created_by=user)
    sample = _sample(workspace, dataset, mark)
    parent = Import.objects.create(dataset=dataset, source_name=f"{mark}.zip", total=1, error=mark, created_by=user)
    ImportLine.objects.create(parent=parent, number=1, name=f"{mark}.wav", problem=mark)
    provider = Provider.objects.create(workspace=workspace, name=f"{mark}-provider", kind="local")
    model = SpeechModel.objects.create(
        provider=provider, name=f"{mark}-model", upstream_name=mark, speech_to_text=True, options={}
    )
    Price.objects.create(model=model, unit=Price.Unit.AUDIO_MINUTE, usd=1, valid_from=date(2020, 1, 1))
    _run(workspace, dataset, sample, model, mark)
    _gateway(workspace, api_key, model, mark)


def _sample(workspace, dataset, mark):
    audio = Audio.objects.create(
        workspace=workspace,
        sha256=hashlib.sha256(mark.encode()).hexdigest(),
        size=4,
        container="wav",
        codec="pcm_s16le",
        mime_type="audio/wav",
        duration=1.0,
        sample_rate=16000,
        channels=1,
        peaks=b"\x01\x02",
    )
    audio.file.save(f"{mark}.wav", ContentFile(b"RIFF"))
    return Sample.objects.create(
        dataset=dataset, key=f"{mark}-key", audio=audio, reference=f"{mark} reference", tags={mark: mark}
    )


def _gateway(workspace, api_key, model, mark):
    now = timezone.now()
    UsageRecord.objects.create(
        workspace=workspace,
        api_key=api_key,
        key_name=api_key.name,
        model=model,
        model_name=model.public_name,
        served_by=model.public_name,
        endpoint="transcription",
        request_id=f"{mark}-request",
        state="settled",
        result="failed",
        reason="timeout",
        created_at=now,
        expires_at=now,
        settled_at=now,
    )
    MonthlySpend.objects.create(workspace=workspace, api_key=api_key, month=now.date().replace(day=1), calls=1)
    Budget.objects.create(workspace=workspace, api_key=api_key, monthly_usd=1)
    alias = ModelAlias.objects.create(workspace=workspace, name=f"{mark}-alias")
    AliasTarget.objects.create(alias=alias, model=model)
    _voice(workspace, api_key, model, mark)


def _voice(workspace, api_key, model, mark):
    models = {"stt_model": model, "chat_model": model, "tts_model": model}
    VoicePipeline.objects.create(workspace=workspace, name=f"{mark}-pipeline", instructions=mark, **models)
    now = timezone.now()
    names = dict.fromkeys(models, model.public_name)
    session = RealtimeSession.objects.create(
        workspace=workspace,
        api_key=api_key,
        caller=api_key.name,
        dialect="ga",
        kind="realtime",
        started_at=now,
        seen_at=now,
        ended_at=now,
        end="client",
        **names,
    )
    RealtimeTurn.objects.create(session=session, status="failed", reason=mark, duration=1, started_at=now, **names)


def _run(workspace, dataset, sample, model, mark):
    run = Run.objects.create(
        workspace=workspace,
        dataset=dataset,
        name=f"{mark} run",
        status="completed",
        options={"mode": "auto", "prompt": mark, "language": ""},
        normalizer="basic",
        normalizer_version=1,
    )
    job = Job.objects.create(
        run=run, model=model, model_name=model.public_name, status="completed", total=2, completed=1, failed=1
    )
    shard = Shard.objects.create(job=job, index=0, state=Shard.State.DONE)
    shared = {"workspace": workspace, "run": run, "job": job, "shard": shard}
    result = Result.objects.create(
        **shared, sample=sample, status="completed", hypothesis=f"{mark} hypothesis", audio_seconds=1.0, latency=0.5
    )
    Attempt.objects.create(result=result, number=1, reason="timeout", error=mark)
    Score.objects.create(
        result=result,
        job=job,
        normalizer="basic",
        normalizer_version=1,
        reference_revision=1,
        reference_empty=False,
        hits=1,
        substitutions=1,
        deletions=0,
        insertions=0,
        reference_words=2,
        character_errors=1,
        reference_characters=10,
        wer=0.5,
    )
    other = Sample.objects.create(dataset=dataset, key=f"{mark}-key-2", audio=sample.audio, is_duplicate=True)
    Result.objects.create(**shared, sample=other, status="failed", reason="timeout", error=f"{mark} error")
