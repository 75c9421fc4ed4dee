"""Shards of models that take many samples in one job: upload, submit, poll, collect; each step resumed anywhere."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Max, Min
from django.utils import timezone

from core.backoff import exponential_backoff, spread
from core.leases import LeaseHeartbeat, LeaseLost
from core.queue import enqueue
from evaluations.models import Batch, Job, Result, Shard, Upload
from evaluations.pipeline.batch_input import live_input, release_inputs, upload_input
from evaluations.pipeline.batch_output import Collector, keep_output
from evaluations.pipeline.leases import ShardLease
from evaluations.pipeline.remote_files import FILE_HOURS, note_output, settled, upload_name
from evaluations.pipeline.results import fail_results
from evaluations.pipeline.uploads import (
    Plan,
    Uploader,
    are_uploaded,
    fail_without_upload,
    live_audio,
    plan_uploads,
)
from providers.adapters.base import (
    BatchTranscriber,
    ProviderError,
    RemoteBatch,
    as_batch_transcriber,
)
from providers.models import SpeechModel
from providers.pricing import price_list
from providers.reasons import Reason
from providers.registry import adapter_for, model_config

logger = logging.getLogger(__name__)

State = Batch.State
HELP = "evaluations.tasks.help_with_uploads"
HELP_FROM = 100  # files to upload or to delete; below that it is not worth while to ask other workers
OTHERS_UPLOAD_SECONDS = 0.5  # that other workers' last uploads are waited for; and before they are looked for again
LONGEST_PAUSE = 600.0
LONGEST_ASKED = 3600.0  # a provider may ask for a longer pause
REFUSALS = 8  # in a row, before what was paid for is given up
DOWNLOADS = 2  # more, of a result file that lacks lines
UPLOAD_HOURS = 4.0  # a file that lives this much shorter than the deadline is still good enough
REASONS = {
    "failed": (Reason.BATCH_FAILED, "The provider's batch failed"),
    "refused": (Reason.BATCH_FAILED, "The provider's batch failed"),
    "cancelled": (Reason.BATCH_CANCELLED, "The batch was cancelled at the provider"),
    "expired": (Reason.BATCH_EXPIRED, "The provider gave the batch up"),
    "ended": (Reason.MISSING_IN_OUTPUT, "The provider's results hold nothing for this sample"),
}


def new_batch(shard: Shard) -> Batch:
    """The shard's next batch. Its name is unique in the world, and is how the job is found at the provider."""
    number = (shard.batches.aggregate(last=Max("number"))["last"] or 0) + 1
    name = upload_name(shard.job.run, shard.job.model_id or 0, f"shard/{shard.pk}", number)
    return Batch.objects.get_or_create(
        shard=shard,
        number=number,
        defaults={
            "display_name": f"earshot-{name[3:]}",
            "deadline_at": timezone.now() + timedelta(hours=settings.BATCH_DEADLINE_HOURS),
        },
    )[0]


def help_with_uploads(shard_id: int) -> None:
    """Upload what a shard's worker has planned, beside it, for a slice of time."""
    shard = Shard.objects.open().filter(pk=shard_id).select_related("job__run", "job__model__provider").first()
    if shard is None or shard.job.model is None:
        return

    def check() -> None:
        if not shard.batches.filter(state=State.PREPARING).exists():
            raise LeaseLost

    adapter = as_batch_transcriber(adapter_for(shard.job.model.provider))
    with suppress(LeaseLost):
        Uploader(plan_of(shard), adapter, check, time.monotonic() + settings.SLICE_SECONDS).work()


def plan_of(shard: Shard) -> Plan:
    """The audio of the shard's pending results, to live until its batch has ended."""
    model = shard.job.model
    assert model is not None  # noqa: S101  (a shard whose model is gone is not worked on)
    # No longer than any file can live: none would do, and all would be uploaded again and again.
    hours = max(1.0, min(settings.BATCH_DEADLINE_HOURS, FILE_HOURS) - UPLOAD_HOURS)
    return Plan(
        run=shard.job.run,
        provider=model.provider,
        sample_ids=list(Result.objects.filter(shard=shard).pending().values_list("sample", flat=True)),
        alive_until=timezone.now() + timedelta(hours=hours),
    )


class BatchRunner:
    """One worker's time with a batch shard."""

    def __init__(self, lease: ShardLease, heartbeat: LeaseHeartbeat, model: SpeechModel) -> None:
        self.lease = lease
        self.heartbeat = heartbeat
        self.model = model
        self.shard = lease.shard
        self.run = lease.shard.job.run
        self.adapter: BatchTranscriber = as_batch_transcriber(adapter_for(model.provider))
        self.pending = Result.objects.filter(shard=self.shard).pending()
        self.ends_at = time.monotonic() + settings.SLICE_SECONDS
        self.batch = self.shard.batches.exclude(state=State.ENDED).order_by("number").last() or new_batch(self.shard)

    def work(self) -> float | None:
        """Take the shard as far as it goes now. Seconds until it is worth going on; None when it has ended."""
        steps: dict[str, Callable[[], float | None]] = {
            State.PREPARING: self._prepare,
            State.SUBMITTING: self._submit,
            State.SUBMITTED: self._poll,
            State.COLLECTING: self._collect,
        }
        while self.batch.state != State.ENDED:
            self.heartbeat.check()
            pause = self._step(steps[self.batch.state])
            if pause is not None:
                return pause
        return None

    def _step(self, step: Callable[[], float | None]) -> float | None:
        """One step; a fault that may pass is waited out, with what it was on screen; another one ends the batch.
        The deadline ends what would have to wait longer, never what is there to be fetched."""
        try:
            pause = step()
        except ProviderError as error:
            if not self._may_pass(error):
                self._give_up(error.reason, str(error))
                return None
            pause = self._wait(error)
        else:
            # To go on looking for what a failed call may have made is no success.
            if self.batch.faults and self.batch.state not in {State.SUBMITTING, State.ENDED}:
                self._set(faults=0, waiting_for="")
        if pause is not None and self.batch.deadline_at and timezone.now() > self.batch.deadline_at:
            self._give_up(Reason.BATCH_DEADLINE, "The batch did not end before its deadline.")
            return None
        return pause

    def _may_pass(self, error: ProviderError) -> bool:
        """What was submitted is paid for: no poll fails it, and its results are asked for again and again. A key that
        is refused by then may be a new one soon."""
        if error.retryable or self.batch.state == State.SUBMITTED:
            return True
        if self.batch.state != State.COLLECTING:
            return False
        return error.reason == Reason.INVALID_CREDENTIALS or self.batch.faults < REFUSALS

    def _set(self, **fields: object) -> None:
        """Raises LeaseLost where the batch was ended, or its shard taken over, in the meantime."""
        mine = Batch.objects.filter(pk=self.batch.pk, ended_at=None, shard__lease_token=self.lease.token)
        if not mine.update(**fields):
            raise LeaseLost
        for name, value in fields.items():
            setattr(self.batch, name, value)

    def _log(self, text: str, *figures: object) -> None:
        """Figures and our own words only: what the provider says may hold anything."""
        logger.info(f"run %s job %s shard %s: {text}", self.run.pk, self.shard.job_id, self.shard.pk, *figures)

    def _hold(self) -> None:
        """In a transaction: nobody ends the batch, or takes its shard over, until that ends. Raises LeaseLost."""
        self._set(state=self.batch.state)

    def _wait(self, error: ProviderError) -> float:
        self._set(faults=self.batch.faults + 1, waiting_for=str(error))
        longest = min(LONGEST_PAUSE, settings.BATCH_POLL_SECONDS * 2)
        pause = exponential_backoff(self.batch.faults - 1, first=1.0, longest=longest)
        pause = max(pause, min(error.retry_after or 0.0, LONGEST_ASKED))
        self._log("%s while %s, fault %s, again in %.1f s", error.reason, self.batch.state, self.batch.faults, pause)
        return pause

    @transaction.atomic
    def _give_up(self, reason: str, message: str) -> None:
        """End the batch and every result that still waits for it."""
        fail_results(self.pending, reason, message)
        self._end(error=message, cancel_pending=bool(self.batch.create_sent_at))

    def _end(self, **fields: object) -> None:
        now = timezone.now()
        self._set(state=State.ENDED, ended_at=now, waiting_for="", **fields)
        if self.batch.error:
            Job.objects.filter(pk=self.shard.job_id).update(error=self.batch.error)
        self.batch.uploads.alive().filter(delete_due_at=None).update(delete_due_at=now)
        seconds = (now - (self.batch.submitted_at or now)).total_seconds()
        self._log("batch ended, %.1f s after it was submitted", seconds)

    # --- preparing --------------------------------------------------------------------------------

    def _prepare(self) -> float | None:
        """Audio of every pending result at the provider; those whose audio cannot be had fail."""
        plan = plan_of(self.shard)
        if plan_uploads(plan) > HELP_FROM:
            for _ in range(settings.Q_CLUSTER["workers"] - 1):
                enqueue(HELP, self.shard.pk)
        through = Uploader(plan, self.adapter, self.heartbeat.check, self.ends_at).work()
        is_late = time.monotonic() >= self.ends_at
        through = through or (not is_late and are_uploaded(plan, within=OTHERS_UPLOAD_SECONDS))
        fail_without_upload(plan, self.pending)
        if not through:
            return 0.0 if is_late else OTHERS_UPLOAD_SECONDS
        if not self.pending.exists():
            self._end(error="No audio could be uploaded: nothing was submitted.")
        else:
            self._set(state=State.SUBMITTING)
        return None

    # --- submitting -------------------------------------------------------------------------------

    def _submit(self) -> float | None:
        """Create the batch, unless an earlier try has: after one without an answer it is looked for first."""
        if self.batch.create_sent_at:
            found = self.adapter.find_batches(self.batch.display_name)
            if found:
                self._adopt(*found)
                return None
            if not settled(self.batch.create_sent_at):
                return min(5.0, settings.BATCH_POLL_SECONDS)
        plan = plan_of(self.shard)
        if live_audio(plan).count() < len(plan.sample_ids):
            release_inputs(self.batch)
            self._check_lives(plan)
            self._set(state=State.PREPARING)  # files have expired while it waited for a quota
            return None
        name = live_input(self.batch) or upload_input(self.batch, plan, self.adapter)
        sent_before = self.batch.create_sent_at
        self._set(create_sent_at=timezone.now())
        try:
            created = self.adapter.create_batch(model_config(self.model), name, self.batch.display_name)
        except ProviderError as error:
            if error.refused:
                self._set(create_sent_at=sent_before)  # nothing was created by this call; by an earlier one, maybe
            else:
                self._note_open_create()
            if error.status in {400, 404, 501} and error.reason == Reason.REQUEST_REFUSED and self._may_go_direct():
                self._go_direct(str(error))
                return None
            raise
        try:
            self._adopt(created)
        except LeaseLost:
            self._note_open_create()
            raise
        return None

    def _note_open_create(self) -> None:
        """A call to create the batch has ended just now, and may have made one: whoever looks for it waits until it
        must have appeared. Where nobody will, since the batch was ended meanwhile, it is to be stopped."""
        batch = Batch.objects.filter(pk=self.batch.pk)
        batch.update(create_sent_at=timezone.now())
        batch.filter(state=State.ENDED).update(cancel_pending=True)

    def _check_lives(self, plan: Plan) -> None:
        """Raises ProviderError where audio that was put there lately does not live long enough: no other would."""
        lately = timezone.now() - timedelta(hours=UPLOAD_HOURS / 2)
        audio = self.run.uploads.filter(kind=Upload.Kind.AUDIO, provider=plan.provider, state=Upload.State.ACTIVE)
        if audio.filter(sample__in=plan.sample_ids, created_at__gt=lately, expires_at__lt=plan.alive_until).exists():
            message = "The provider deletes audio before a batch may have ended. Use mode direct."
            raise ProviderError(Reason.FILE_REFUSED, message)

    def _may_go_direct(self) -> bool:
        """Where the model, or its batches of audio, is refused as such, a run that leaves the mode open goes on so."""
        return self.run.options.get("mode") == "auto" and self.model.supports_direct

    @transaction.atomic
    def _go_direct(self, refusal: str) -> None:
        self._end(error=f"Sent one by one instead, since the batch was refused: {refusal}")
        Shard.objects.filter(pk=self.shard.pk).update(kind=Shard.Kind.DIRECT)
        self.shard.kind = Shard.Kind.DIRECT

    def _adopt(self, batch: RemoteBatch, *others: RemoteBatch) -> None:
        """From now on it is this one that is waited for. Others of the same name are stopped."""
        for other in others:
            self.adapter.cancel_batch(other.name)
        now = timezone.now()
        plan = plan_of(self.shard)
        expires = live_audio(plan).aggregate(first=Min("expires_at"))["first"]
        deadline = now + timedelta(hours=settings.BATCH_DEADLINE_HOURS)
        self._set(
            state=State.SUBMITTED,
            remote_name=batch.name,
            remote_state=batch.remote_state,
            submitted_at=now,
            deadline_at=min(deadline, expires) if expires else deadline,
        )
        self._log("batch submitted, %s samples", len(plan.sample_ids))

    # --- polling and collecting -------------------------------------------------------------------

    def _poll(self) -> float | None:
        batch = self.adapter.get_batch(self.batch.remote_name)
        if batch is None:
            unknown = "The provider does not know the batch any more."
            if self.batch.faults < REFUSALS:
                raise ProviderError(Reason.BATCH_FAILED, unknown, retryable=True)
            self._give_up(Reason.BATCH_FAILED, unknown)
            return None
        if batch.remote_state != self.batch.remote_state:
            self._log("batch is %s", batch.state)
        self._set(remote_state=batch.remote_state, error=batch.error)
        if batch.state == "running":
            return self._poll_pause()
        if batch.output_file:
            note_output(self.batch, self.model.provider, batch.output_file)
            self._set(state=State.COLLECTING)
            return None
        if batch.state == "refused" and self._may_go_direct():
            self._go_direct(batch.error)
            return None
        if batch.state == "ended" and self.batch.faults < REFUSALS:
            raise ProviderError(Reason.PROVIDER_ERROR, "The provider names no result file yet.", retryable=True)
        self._end_unanswered(batch.state, batch.error or batch.remote_state)
        return None

    def _poll_pause(self) -> float:
        """Short at first, then up to BATCH_POLL_SECONDS, spread so that batches are not asked for all at once."""
        waited = (timezone.now() - (self.batch.submitted_at or timezone.now())).total_seconds()
        return spread(min(settings.BATCH_POLL_SECONDS, 0.2 + waited / 4), 0.75, 1.25)

    def _collect(self) -> float | None:
        output = self.batch.uploads.get(kind=Upload.Kind.OUTPUT)
        if not self.batch.output:
            keep_output(self.batch, self.adapter, f"files/{output.name}", self.heartbeat)
        prices = price_list(self.model, timezone.localdate(self.batch.submitted_at))
        if self._may_go_direct() and (refusal := Collector(self.batch, self.adapter, prices).refusal_of_all()):
            self._go_direct(refusal)
            return None
        collector = Collector(self.batch, self.adapter, prices, before_rows=self._hold)
        collector.collect()
        if collector.lacks_lines(self.pending) and self.batch.faults < DOWNLOADS:
            cut = self.batch.output
            self._set(output="")
            cut.delete(save=False)
            raise ProviderError(Reason.PROVIDER_ERROR, "The result file is not whole.", retryable=True)
        batch = self.adapter.get_batch(self.batch.remote_name) if self.pending.exists() else None
        self._end_unanswered(batch.state if batch else "ended", self.batch.error)
        return None

    @transaction.atomic
    def _end_unanswered(self, state: str, detail: str) -> None:
        """What the provider has not answered fails with what became of the batch."""
        reason, sentence = REASONS.get(state, REASONS["ended"])
        fail_results(self.pending, reason, f"{sentence}{': ' + detail if detail else ''}.")
        self._end()
