"""Batch jobs as the API answers them, read without the SDK: it drops their error and some of their states."""

from typing import Any, Literal

from core.text import storable
from providers.adapters.base import RemoteBatch

LONGEST_WORD = 60

REFUSALS = {3, 9, 12}  # gRPC's INVALID_ARGUMENT, FAILED_PRECONDITION, UNIMPLEMENTED

State = Literal["running", "ended", "failed", "refused", "cancelled", "expired"]
STATES: dict[str, State] = {
    "SUCCEEDED": "ended",
    "PARTIALLY_SUCCEEDED": "ended",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "EXPIRED": "expired",
}


def remote_batch(answer: dict[str, Any]) -> RemoteBatch:
    """Parse a batch. Raises ValueError, KeyError or TypeError if the JSON is none."""
    metadata = answer.get("metadata") or {}
    word = str(metadata.get("state") or answer.get("state") or "")
    word = storable(word.removeprefix("BATCH_STATE_").removeprefix("JOB_STATE_"))[:LONGEST_WORD]
    if not word:
        raise ValueError("a batch without a state")
    output = metadata.get("output") or answer.get("response") or {}
    error = answer.get("error") or {}
    # Unknown states count as running, unless the provider says that the job is done.
    done: State = "failed" if error else "ended"
    state = STATES.get(word, done if answer.get("done") else "running")
    return RemoteBatch(
        name=str(answer["name"]),
        state="refused" if state == "failed" and error.get("code") in REFUSALS else state,
        remote_state=word,
        error=storable(str(error.get("message", "")))[:2000],
        output_file=str(output.get("responsesFile", "")),
    )
