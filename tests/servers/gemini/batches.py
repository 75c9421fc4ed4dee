"""The Batch API: jobs that pass from state to state as time goes by, and their quotas."""

import json
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.servers.gemini.answers import Answers
from tests.servers.gemini.errors import RPC_CODES, GoogleError, quota_error
from tests.servers.gemini.faults import Fault, Faults
from tests.servers.gemini.files import Files
from tests.servers.gemini.results import inline_responses, result_file, results_of
from tests.servers.gemini.settings import Clock, Settings, timestamp

ENDED = {"SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED"}
WITH_RESULTS = {"SUCCEEDED", "PARTIALLY_SUCCEEDED"}
_ID_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass
class Batch:
    id: str
    model: str
    display_name: str
    requests: list[dict[str, Any]]  # {"key", "request"}; inline ones {"metadata", "request"}
    source: str  # a file's name; empty: inline
    tokens: int
    created: float
    runs_from: float
    ends: float
    expires: float
    fate: Fault | None
    cancelled_at: float | None = None
    deleted: bool = False
    inlined: list[dict[str, Any]] | None = None
    result_file: str = ""
    stats: dict[str, str] = field(default_factory=dict)

    def state_and_end(self, now: float) -> tuple[str, float | None]:
        """The state's name without its prefix, and when it ended."""
        state, end = self._natural_state(now)
        if self.cancelled_at is not None and now >= self.cancelled_at and (end is None or self.cancelled_at < end):
            return "CANCELLED", self.cancelled_at
        if (end is None or end > self.expires) and now >= self.expires:
            return "EXPIRED", self.expires
        return state, end

    def _natural_state(self, now: float) -> tuple[str, float | None]:
        if now < self.runs_from:
            return "PENDING", None
        ends = self.ends
        if self.fate and self.fate.what not in ENDED:
            if self.fate.seconds is None or now < self.runs_from + self.fate.seconds:
                return self.fate.what, None
            ends = self.runs_from + self.fate.seconds
        if now < ends:
            return "RUNNING", None
        ended_as_told = self.fate is not None and self.fate.what in ENDED
        return (self.fate.what if ended_as_told else "SUCCEEDED"), ends


class Batches:
    def __init__(self, settings: Settings, clock: Clock, faults: Faults, files: Files, answers: Answers) -> None:
        self._settings = settings
        self._clock = clock
        self._faults = faults
        self._files = files
        self._answers = answers
        self._by_id: dict[str, Batch] = {}  # oldest first
        self.submitted_keys: Counter[str] = Counter()

    def create(self, model: str, body: dict[str, Any]) -> dict[str, Any]:
        if not self._settings.models.get(model):
            raise GoogleError(
                404,
                f"models/{model} is not found for API version v1beta, or is not supported for batchGenerateContent. "
                "Call ListModels to see the list of available models and their supported methods.",
            )
        described = body.get("batch") or {}
        source = (described.get("inputConfig") or {}).get("fileName", "")
        requests = self._read(source) if source else self._inline(described)
        tokens = sum(map(_tokens, requests))
        self._check_quotas(model, tokens)
        now = self._clock.now()
        settings = self._settings
        batch = Batch(
            "".join(secrets.choice(_ID_LETTERS) for _ in range(36)),
            model,
            described.get("displayName", ""),
            requests,
            source,
            tokens,
            created=now,
            runs_from=now + settings.batch_pending_seconds,
            ends=now + settings.batch_pending_seconds + settings.batch_running_seconds,
            expires=now + settings.batch_lifetime_seconds,
            fate=self._faults.take("batch", subject=f"{model} {described.get('displayName', '')}"),
        )
        self._by_id[batch.id] = batch
        self.submitted_keys.update(str(request.get("key")) for request in requests if "key" in request)
        return self._resource(batch)

    def _read(self, source: str) -> list[dict[str, Any]]:
        stored = self._files.get(source.removeprefix("files/"))
        if stored.state(self._clock.now()) != "ACTIVE":
            raise GoogleError(400, f"The File {stored.id} is not in an ACTIVE state.", status="FAILED_PRECONDITION")
        try:
            requests = [json.loads(line) for line in (stored.content or b"").splitlines() if line.strip()]
        except ValueError:
            raise GoogleError(400, "The input file holds a line that is not JSON.") from None
        if not requests or not all(isinstance(one, dict) and "request" in one for one in requests):
            raise GoogleError(400, "The input file must hold one {key, request} in each line.")
        return requests

    @staticmethod
    def _inline(described: dict[str, Any]) -> list[dict[str, Any]]:
        requests = ((described.get("inputConfig") or {}).get("requests") or {}).get("requests") or []
        if not requests:
            raise GoogleError(400, "* BatchGenerateContentRequest.batch.input_config: it is empty.\n")
        return requests

    def _check_quotas(self, model: str, tokens: int) -> None:
        now = self._clock.now()
        active = [batch for batch in self._by_id.values() if batch.state_and_end(now)[0] not in ENDED]
        if len(active) >= self._settings.max_concurrent_batches:
            raise quota_error(
                "You exceeded the number of concurrent batch jobs of this project.",
                "BatchConcurrentJobsPerProject",
                self._settings.quota_retry_seconds,
            )
        most = self._settings.max_enqueued_tokens
        if most is not None and tokens + sum(batch.tokens for batch in active if batch.model == model) > most:
            raise quota_error(
                "You exceeded the number of enqueued tokens of this model.",
                "BatchEnqueuedTokensPerProjectPerModel",
                self._settings.quota_retry_seconds,
            )

    def get(self, batch_id: str) -> dict[str, Any]:
        return self._resource(self._find(batch_id))

    def newest_first(self) -> list[dict[str, Any]]:
        latest = self._clock.now() - self._settings.batch_listed_after_seconds
        batches = [batch for batch in self._by_id.values() if not batch.deleted and batch.created <= latest]
        return [self._resource(batch) for batch in reversed(batches)]

    def cancel(self, batch_id: str) -> None:
        batch = self._find(batch_id)
        now = self._clock.now()
        if batch.state_and_end(now)[0] in ENDED:
            raise GoogleError(400, "The batch has ended: it cannot be cancelled.", status="FAILED_PRECONDITION")
        batch.cancelled_at = batch.cancelled_at or now + self._settings.batch_cancel_seconds

    def delete(self, batch_id: str) -> None:
        self._find(batch_id).deleted = True

    def _find(self, batch_id: str) -> Batch:
        batch = self._by_id.get(batch_id)
        if batch is None or batch.deleted:
            raise GoogleError(404, "Requested entity was not found.")
        return batch

    def _resource(self, batch: Batch) -> dict[str, Any]:
        state, end = batch.state_and_end(self._clock.now())
        metadata: dict[str, Any] = {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
            "name": f"batches/{batch.id}",
            "model": f"models/{batch.model}",
            "displayName": batch.display_name,
            "createTime": timestamp(batch.created),
            "updateTime": timestamp(end or batch.created),
            "state": f"BATCH_STATE_{state}",
        }
        if batch.source:
            metadata["inputConfig"] = {"fileName": batch.source}
        operation: dict[str, Any] = {"name": f"batches/{batch.id}", "metadata": metadata}
        if end is not None:
            metadata["endTime"] = timestamp(end)
            operation["done"] = True
            self._end(batch, state, end, operation)
        metadata["batchStats"] = batch.stats or {
            "requestCount": str(len(batch.requests)),
            "pendingRequestCount": str(len(batch.requests)),
        }
        return operation

    def _end(self, batch: Batch, state: str, end: float, operation: dict[str, Any]) -> None:
        if state not in WITH_RESULTS:
            operation["error"] = {
                "code": {"CANCELLED": 1, "EXPIRED": 4}.get(state) or _failure_code(batch),
                "message": _reason(batch, state),
            }
            return
        if not batch.stats:
            self._make_results(batch, end)
        output: dict[str, Any] = {"responsesFile": f"files/{batch.result_file}"}
        if batch.inlined is not None:
            output = {"inlinedResponses": {"inlinedResponses": batch.inlined}}
        operation["metadata"]["output"] = output
        operation["response"] = output

    def _make_results(self, batch: Batch, end: float) -> None:
        results = results_of(batch.requests, batch.model, end, self._answers, self._faults)
        good = sum(1 for result in results if "response" in result.body)
        batch.stats = {
            "requestCount": str(len(batch.requests)),
            "successfulRequestCount": str(good),
            "failedRequestCount": str(len(batch.requests) - good),
        }
        if not batch.source:
            batch.inlined = inline_responses(results)
            return
        content = result_file(results, self._faults, f"{batch.model} {batch.display_name}")
        batch.result_file = self._files.add_generated(f"batch-{batch.id}", content, end).id

    def report(self) -> dict[str, Any]:
        """For assertions: name -> what became of it."""
        now = self._clock.now()
        for batch in self._by_id.values():
            self._resource(batch)
        return {
            f"batches/{batch.id}": {
                "display_name": batch.display_name,
                "model": batch.model,
                "state": batch.state_and_end(now)[0],
                "keys": [request.get("key") for request in batch.requests],
                "source": batch.source,
                "result_file": f"files/{batch.result_file}" if batch.result_file else "",
                "cancelled": batch.cancelled_at is not None,
                "deleted": batch.deleted,
            }
            for batch in self._by_id.values()
        }


def _tokens(one: dict[str, Any]) -> int:
    """Of the request's text; as many for each file, however long."""
    parts = [part for content in one["request"].get("contents") or [] for part in content.get("parts") or []]
    return sum(len(part.get("text", "")) // 4 if "text" in part else 32 for part in parts)


def _failure_code(batch: Batch) -> int:
    """gRPC's: of the status that the test has told, or else INTERNAL."""
    return RPC_CODES.get(batch.fate.status if batch.fate else 0, RPC_CODES[500])


def _reason(batch: Batch, state: str) -> str:
    if batch.fate and batch.fate.message:
        return batch.fate.message
    return {
        "CANCELLED": "The batch was cancelled.",
        "EXPIRED": "The batch was pending or running for too long.",
    }.get(state, "The batch could not be run.")
