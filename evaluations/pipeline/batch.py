"""Runs batch shards: uploads audio, submits a batch job, polls it and collects its results.

Any worker can go on with any step: a batch's state is stored before and after each call.
"""

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
from evaluations.pipeline.batch_output import Collector, store_output
from evaluations.pipeline.leases import ShardLease
from evaluations.pipeline.remote_files import FILE_HOURS, create_call_has_ended, record_output_file, upload_name
from evaluations.pipeline.results import fail_results
from evaluations.pipeline.uploads import (
    Uploader,
    UploadPlan,
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
HELP_TASK = "evaluations.tasks.help_with_uploads"
HELP_FROM = 100  # files to upload or to delete, from which on other workers are asked to help
OTHERS_UPLOAD_SECONDS = 0.5  # to wait for other workers' last uploads, and before the next look at them
LONGEST_PAUSE = 600.0  # seconds
LONGEST_RETRY_AFTER = 3600.0  # seconds that a provider may ask to wait
MAX_FAULTS = 8  # failed calls in a row, before a batch that was paid for is given up
MAX_DOWNLOADS_AGAIN = 2  # of a result file that lacks lines
UPLOAD_HOURS = 4.0  # a file may expire so long before the batch's deadline and still be used
REASONS = {
    "failed": (Reason.BATCH_FAILED, "The provider's batch failed"),
    "refused": (Reason.BATCH_FAILED, "The provider's batch failed"),
    "cancelled": (Reason.BATCH_CANCELLED, "The batch was cancelled at the provider"),
    "expired": (Reason.BATCH_EXPIRED, "The provider gave the batch up"),
    "ended": (Reason.MISSING_IN_OUTPUT, "The provider's results hold nothing for this sample"),
}


def new_batch(shard: Shard) -> Batch:
    """Create the shard's next batch, under a globally unique display name by which it is found at the provider."""
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
    """Upload files that the worker of a shard has planned, in parallel with it, for a slice of time."""
    shard = Shard.objects.open().filter(pk=shard_id).select_related("job__run", "job__model__provider").first()
    if shard is None or shard.job.model is None:
        return

    def check() -> None:
        if not shard.batches.filter(state=State.PREPARING).exists():
            raise LeaseLost

    adapter = as_batch_transcriber(adapter_for(shard.job.model.provider))
    with suppress(LeaseLost):
        Uploader(plan_of(shard), adapter, check, time.monotonic() + settings.SLICE_SECONDS).work()


def plan_of(shard: Shard) -> UploadPlan:
    """Plan the upload of the audio of the shard's pending results, to stay until its batch has ended."""
    model = shard.job.model
    assert model is not None  # noqa: S101  (a shard whose model is gone is not worked on)
    # Never more than FILE_HOURS: no file would be usable, and all would be uploaded again and again.
    hours = max(1.0, min(settings.BATCH_DEADLINE_HOURS, FILE_HOURS) - UPLOAD_HOURS)
    return UploadPlan(
        run=shard.job.run,
        provider=model.provider,
        sample_ids=list(Result.objects.filter(shard=shard).pending().values_list("sample", flat=True)),
        alive_until=timezone.now() + timedelta(hours=hours),
    )


class BatchRunner:
    """Takes a shard's batch through its states, for one slice of a worker's time."""

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
        """Do every step that can be done now. Returns the seconds after which to go on; None when the batch has ended.

        Raises LeaseLost.
        """
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
        """Do one step. A retryable error is stored, shown and retried after a pause; another one ends the batch.

        After its deadline a batch ends instead of waiting again; results that are ready are still collected.
        """
        try:
            pause = step()
        except ProviderError as error:
            if not self._is_worth_retrying(error):
                self._give_up(error.reason, str(error))
                return None
            pause = self._wait(error)
        else:
            # While submitting, success may only mean that a batch of an uncertain create call was not found yet.
            if self.batch.faults and self.batch.state not in {State.SUBMITTING, State.ENDED}:
                self._update(faults=0, waiting_for="")
        if pause is not None and self.batch.deadline_at and timezone.now() > self.batch.deadline_at:
            self._give_up(Reason.BATCH_DEADLINE, "The batch did not end before its deadline.")
            return None
        return pause

    def _is_worth_retrying(self, error: ProviderError) -> bool:
        """Return whether to retry after `error`. A submitted batch is paid for: polling never gives up, collecting only
        after MAX_FAULTS errors; a refused key may be replaced."""
        if error.retryable or self.batch.state == State.SUBMITTED:
            return True
        if self.batch.state != State.COLLECTING:
            return False
        return error.reason == Reason.INVALID_CREDENTIALS or self.batch.faults < MAX_FAULTS

    def _update(self, **fields: object) -> None:
        """Update the batch. Raises LeaseLost where it was ended, or another worker has taken over its shard."""
        mine = Batch.objects.filter(pk=self.batch.pk, ended_at=None, shard__lease_token=self.lease.token)
        if not mine.update(**fields):
            raise LeaseLost
        for name, value in fields.items():
            setattr(self.batch, name, value)

    def _log(self, text: str, *figures: object) -> None:
        """Log figures and texts of our own; never what the provider says, which may hold confidential data."""
        logger.info(f"run %s job %s shard %s: {text}", self.run.pk, self.shard.job_id, self.shard.pk, *figures)

    def _lock(self) -> None:
        """Lock the batch in a transaction, so that nobody ends it until the transaction ends. Raises LeaseLost."""
        self._update(state=self.batch.state)

    def _wait(self, error: ProviderError) -> float:
        """Store the error and return the seconds before the next try."""
        self._update(faults=self.batch.faults + 1, waiting_for=str(error))
        longest = min(LONGEST_PAUSE, settings.BATCH_POLL_SECONDS * 2)
        pause = exponential_backoff(self.batch.faults - 1, first=1.0, longest=longest)
        pause = max(pause, min(error.retry_after or 0.0, LONGEST_RETRY_AFTER))
        self._log("%s while %s, fault %s, again in %.1f s", error.reason, self.batch.state, self.batch.faults, pause)
        return pause

    @transaction.atomic
    def _give_up(self, reason: str, message: str) -> None:
        """Fail every pending result, end the batch, and have it cancelled at the provider."""
        fail_results(self.pending, reason, message)
        self._end(error=message, cancel_pending=bool(self.batch.create_sent_at))

    def _end(self, **fields: object) -> None:
        """End the batch, and mark its files as due for deletion. Raises LeaseLost."""
        now = timezone.now()
        self._update(state=State.ENDED, ended_at=now, waiting_for="", **fields)
        if self.batch.error:
            Job.objects.filter(pk=self.shard.job_id).update(error=self.batch.error)
        self.batch.uploads.alive().filter(delete_due_at=None).update(delete_due_at=now)
        seconds = (now - (self.batch.submitted_at or now)).total_seconds()
        self._log("batch ended, %.1f s after it was submitted", seconds)

    # --- preparing --------------------------------------------------------------------------------

    def _prepare(self) -> float | None:
        """Upload the audio of every pending result; fail those whose audio cannot be uploaded."""
        plan = plan_of(self.shard)
        if plan_uploads(plan) > HELP_FROM:
            for _ in range(settings.Q_CLUSTER["workers"] - 1):
                enqueue(HELP_TASK, self.shard.pk)
        is_complete = Uploader(plan, self.adapter, self.heartbeat.check, self.ends_at).work()
        is_late = time.monotonic() >= self.ends_at
        is_complete = is_complete or (not is_late and are_uploaded(plan, within=OTHERS_UPLOAD_SECONDS))
        fail_without_upload(plan, self.pending)
        if not is_complete:
            return 0.0 if is_late else OTHERS_UPLOAD_SECONDS
        if not self.pending.exists():
            self._end(error="No audio could be uploaded: nothing was submitted.")
        else:
            self._update(state=State.SUBMITTING)
        return None

    # --- submitting -------------------------------------------------------------------------------

    def _submit(self) -> float | None:
        """Create the batch at the provider; after a try without an answer look for its batch first."""
        if self.batch.create_sent_at:
            found = self.adapter.find_batches(self.batch.display_name)
            if found:
                self._adopt(*found)
                return None
            if not create_call_has_ended(self.batch.create_sent_at):
                return min(5.0, float(settings.BATCH_POLL_SECONDS))
        plan = plan_of(self.shard)
        if live_audio(plan).count() < len(plan.sample_ids):
            release_inputs(self.batch)
            self._check_expiry(plan)
            self._update(state=State.PREPARING)  # files expired while it waited, such as for a quota
            return None
        name = live_input(self.batch) or upload_input(self.batch, plan, self.adapter)
        sent_before = self.batch.create_sent_at
        self._update(create_sent_at=timezone.now())
        try:
            created = self.adapter.create_batch(model_config(self.model), name, self.batch.display_name)
        except ProviderError as error:
            if error.refused:
                self._update(create_sent_at=sent_before)  # this call created nothing; an earlier one may have
            else:
                self._record_uncertain_create()
            if (
                error.status in {400, 404, 501}
                and error.reason == Reason.REQUEST_REFUSED
                and self._may_switch_to_direct()
            ):
                self._switch_to_direct(str(error))
                return None
            raise
        try:
            self._adopt(created)
        except LeaseLost:
            self._record_uncertain_create()
            raise
        return None

    def _record_uncertain_create(self) -> None:
        """Store that a call to create the batch ended just now and may have created one, so that it is looked for.

        Where the batch was ended here meanwhile, what the call created is to be cancelled.
        """
        batch = Batch.objects.filter(pk=self.batch.pk)
        batch.update(create_sent_at=timezone.now())
        batch.filter(state=State.ENDED).update(cancel_pending=True)

    def _check_expiry(self, plan: UploadPlan) -> None:
        """Raise ProviderError where audio that was just uploaded expires too soon: another upload would not help."""
        lately = timezone.now() - timedelta(hours=UPLOAD_HOURS / 2)
        audio = self.run.uploads.filter(kind=Upload.Kind.AUDIO, provider=plan.provider, state=Upload.State.ACTIVE)
        if audio.filter(sample__in=plan.sample_ids, created_at__gt=lately, expires_at__lt=plan.alive_until).exists():
            message = "The provider deletes audio before a batch may have ended. Use mode direct."
            raise ProviderError(Reason.FILE_REFUSED, message)

    def _may_switch_to_direct(self) -> bool:
        """Return whether the run leaves the mode open and the model can be called directly, if it refuses batches."""
        return self.run.options.get("mode") == "auto" and self.model.supports_direct

    @transaction.atomic
    def _switch_to_direct(self, refusal: str) -> None:
        self._end(error=f"Sent one by one instead, since the batch was refused: {refusal}")
        Shard.objects.filter(pk=self.shard.pk).update(kind=Shard.Kind.DIRECT)
        self.shard.kind = Shard.Kind.DIRECT

    def _adopt(self, batch: RemoteBatch, *others: RemoteBatch) -> None:
        """Store the provider's batch as the submitted one; cancel others of the same name. Raises LeaseLost."""
        for other in others:
            self.adapter.cancel_batch(other.name)
        now = timezone.now()
        plan = plan_of(self.shard)
        expires = live_audio(plan).aggregate(first=Min("expires_at"))["first"]
        deadline = now + timedelta(hours=settings.BATCH_DEADLINE_HOURS)
        self._update(
            state=State.SUBMITTED,
            remote_name=batch.name,
            remote_state=batch.remote_state,
            submitted_at=now,
            deadline_at=min(deadline, expires) if expires else deadline,
        )
        self._log("batch submitted, %s samples", len(plan.sample_ids))

    # --- polling and collecting -------------------------------------------------------------------

    def _poll(self) -> float | None:
        """Ask the provider for the batch's state. Returns the seconds until the next poll; None to go on now."""
        batch = self.adapter.get_batch(self.batch.remote_name)
        if batch is None:
            unknown = "The provider does not know the batch any more."
            if self.batch.faults < MAX_FAULTS:
                raise ProviderError(Reason.BATCH_FAILED, unknown, retryable=True)
            self._give_up(Reason.BATCH_FAILED, unknown)
            return None
        if batch.remote_state != self.batch.remote_state:
            self._log("batch is %s", batch.state)
        self._update(remote_state=batch.remote_state, error=batch.error)
        if batch.state == "running":
            return self._poll_pause()
        if batch.output_file:
            record_output_file(self.batch, self.model.provider, batch.output_file)
            self._update(state=State.COLLECTING)
            return None
        if batch.state == "refused" and self._may_switch_to_direct():
            self._switch_to_direct(batch.error)
            return None
        if batch.state == "ended" and self.batch.faults < MAX_FAULTS:
            raise ProviderError(Reason.PROVIDER_ERROR, "The provider names no result file yet.", retryable=True)
        self._fail_unanswered(batch.state, batch.error or batch.remote_state)
        return None

    def _poll_pause(self) -> float:
        """Return the seconds until the next poll: few at first, then up to BATCH_POLL_SECONDS, with jitter."""
        waited = (timezone.now() - (self.batch.submitted_at or timezone.now())).total_seconds()
        return spread(min(settings.BATCH_POLL_SECONDS, 0.2 + waited / 4), 0.75, 1.25)

    def _collect(self) -> float | None:
        """Download the result file and end the results by its lines. Raises ProviderError where lines are missing."""
        output = self.batch.uploads.get(kind=Upload.Kind.OUTPUT)
        if not self.batch.output:
            store_output(self.batch, self.adapter, f"files/{output.name}", self.heartbeat)
        prices = price_list(self.model, timezone.localdate(self.batch.submitted_at))
        if self._may_switch_to_direct() and (refusal := Collector(self.batch, self.adapter, prices).refusal_of_all()):
            self._switch_to_direct(refusal)
            return None
        collector = Collector(self.batch, self.adapter, prices, before_write=self._lock)
        collector.collect()
        if collector.lacks_lines(self.pending) and self.batch.faults < MAX_DOWNLOADS_AGAIN:
            cut = self.batch.output
            self._update(output="")
            cut.delete(save=False)
            raise ProviderError(Reason.PROVIDER_ERROR, "The result file is not whole.", retryable=True)
        batch = self.adapter.get_batch(self.batch.remote_name) if self.pending.exists() else None
        self._fail_unanswered(batch.state if batch else "ended", self.batch.error)
        return None

    @transaction.atomic
    def _fail_unanswered(self, state: str, detail: str) -> None:
        """Fail the results without an answer, by the state in which the provider's batch ended; end the batch."""
        reason, sentence = REASONS.get(state, REASONS["ended"])
        fail_results(self.pending, reason, f"{sentence}{': ' + detail if detail else ''}.")
        self._end()
