"""Back-off and circuit breaker of a provider: calls back off when it asks for that, and the circuit opens after
FAILURES consecutive failures. The functions change the `ProviderThrottle` that they are given; the caller saves it."""

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from core.backoff import exponential_backoff, spread
from providers.adapters.base import ProviderError
from providers.models import ProviderThrottle
from providers.reasons import Reason

FAILURES = 5  # consecutive failed calls, each for another sample or request, that open the circuit
FIRST_OPENING = 3.0  # seconds that the circuit stays open; doubled each time it opens again, up to
LONGEST_OPENING = 60.0
FIRST_BACKOFF = 0.5  # seconds, where the provider sends no Retry-After; doubled each time, up to
LONGEST_BACKOFF = 30.0
LONGEST_RETRY_AFTER = 3600.0  # longer requests to wait are cut to this
BACKOFF_STREAK_GAP = timedelta(
    seconds=60
)  # a back-off later than this after the last one starts again at FIRST_BACKOFF
JITTER = (1.0, 1.1)  # of pauses: never shorter than the provider asked for
# Errors that, without an HTTP status, arose before the provider was called: they do not count for or against it.
FOUND_BEFORE_CALL = {
    Reason.AUDIO_TOO_LONG,
    Reason.AUDIO_UNREADABLE,
    Reason.CAPABILITY_NOT_SUPPORTED,
    Reason.INTERNAL_ERROR,
    Reason.INVALID_CREDENTIALS,
    Reason.UNSUPPORTED_FORMAT,
}


@dataclass
class Outcomes:
    """The outcomes of a holder's calls since its last report."""

    succeeded: bool = False  # a call succeeded; `failures` counts those after it
    failures: int = 0  # consecutive
    retry_after: float | None = (
        None  # longest wait that the provider asked for, seconds; 0: it gave none; None: no rate limit
    )
    fault: ProviderError | None = None  # the latest failure or rate limit

    def is_urgent(self, failures_before: int) -> bool:
        """Whether they start a back-off or open the circuit, so that they should be reported at once.
        `failures_before`: consecutive failures that were reported before."""
        before = 0 if self.succeeded else failures_before
        return self.retry_after is not None or (self.failures > 0 and before + self.failures >= FAILURES)

    def add(self, error: ProviderError | None, *, first: bool = True) -> None:
        """Count a finished call. An error that the caller's request is to blame for counts as a success.

        `first`: False for a retry, whose failures are not counted: the request itself may be the cause.
        """
        if error is None:
            self.succeeded, self.failures = True, 0
        elif error.reason == Reason.RATE_LIMITED or error.retry_after:
            self.retry_after = max(self.retry_after or 0.0, error.retry_after or 0.0)
            self.fault = error
        elif is_outage(error):
            self.failures += first
            self.fault = error
        elif error.status is not None or error.reason not in FOUND_BEFORE_CALL:
            self.succeeded, self.failures = True, 0


def is_outage(error: ProviderError) -> bool:
    """Whether the provider may be down: it did not answer in time, or reported an error of its own."""
    return error.retryable and error.reason in (Reason.PROVIDER_ERROR, Reason.TIMEOUT)


def note_outcomes(throttle: ProviderThrottle, outcomes: Outcomes, holder: UUID, now: datetime) -> None:
    """Apply outcomes to `throttle`. While the circuit is open or half-open only failures of the half-open holder count:
    the calls of others began before it opened."""
    if outcomes.succeeded or outcomes.retry_after is not None:
        throttle.failures = throttle.openings = 0
        throttle.open_until = throttle.half_open_by = None
    if outcomes.retry_after is not None:
        _back_off(throttle, outcomes, now)
    if outcomes.failures and not outcomes.retry_after and (not throttle.openings or throttle.half_open_by == holder):
        throttle.failures += outcomes.failures
        if throttle.openings or throttle.failures >= FAILURES:
            _open_circuit(throttle, outcomes, now)


def _back_off(throttle: ProviderThrottle, outcomes: Outcomes, now: datetime) -> None:
    backoff_until = throttle.backoff_until
    if backoff_until is None or backoff_until <= now:  # else: calls that began before the current back-off
        throttle.backoffs = throttle.backoffs + 1 if backoff_until and backoff_until > now - BACKOFF_STREAK_GAP else 1
    if outcomes.retry_after:
        seconds = spread(min(outcomes.retry_after, LONGEST_RETRY_AFTER), *JITTER)
    else:
        seconds = exponential_backoff(
            throttle.backoffs - 1, first=FIRST_BACKOFF, longest=LONGEST_BACKOFF, jitter=JITTER
        )
    end = now + timedelta(seconds=seconds)
    throttle.backoff_until = max(end, backoff_until) if backoff_until else end
    _note_fault(throttle, outcomes)


def _open_circuit(throttle: ProviderThrottle, outcomes: Outcomes, now: datetime) -> None:
    throttle.openings += 1
    throttle.half_open_by = None
    seconds = exponential_backoff(throttle.openings - 1, first=FIRST_OPENING, longest=LONGEST_OPENING, jitter=JITTER)
    throttle.open_until = now + timedelta(seconds=seconds)
    _note_fault(throttle, outcomes)


def _note_fault(throttle: ProviderThrottle, outcomes: Outcomes) -> None:
    if outcomes.fault is not None:
        throttle.reason, throttle.message = outcomes.fault.reason, str(outcomes.fault)


def is_half_open(throttle: ProviderThrottle, holder: UUID, live: Container[UUID]) -> bool:
    """Whether `holder` may make the one trial call of a half-open circuit. It is chosen if no live holder is yet."""
    if throttle.half_open_by is None or throttle.half_open_by not in live:
        throttle.half_open_by = holder
    return throttle.half_open_by == holder
