"""What the outcomes of calls do to a provider's gate: it is held while the provider asks for that, and paused where
calls fail again and again. Functions change the row that they are given; saving it is the caller's part."""

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from core.backoff import exponential_backoff, spread
from providers.adapters.base import ProviderError
from providers.models import ProviderThrottle
from providers.reasons import Reason

FAILURES = 5  # calls in a row, each for another sample or request, that pause a provider
FIRST_PAUSE = 3.0  # seconds; doubled with each pause in a row, up to
LONGEST_PAUSE = 60.0
FIRST_HOLD = 0.5  # where the provider takes no more calls and does not say for how long; doubled up to
LONGEST_HOLD = 30.0
LONGEST_ASKED = 3600.0  # a provider may ask for a longer pause; it is asked again then
HOLDS_APART = timedelta(seconds=60)  # holds that are further apart are not in a row
JITTER = (1.0, 1.1)  # of a pause: it is never shorter than asked for
# Faults that, where the provider has answered no status, are found before it is called and tell nothing of it.
OURS = {
    Reason.AUDIO_TOO_LONG,
    Reason.AUDIO_UNREADABLE,
    Reason.CAPABILITY_NOT_SUPPORTED,
    Reason.INTERNAL_ERROR,
    Reason.INVALID_CREDENTIALS,
    Reason.UNSUPPORTED_FORMAT,
}


@dataclass
class Outcomes:
    """What became of a holder's calls since it last told."""

    succeeded: bool = False  # one was answered; what follows has happened since
    failures: int = 0  # in a row
    asked: float | None = None  # seconds to wait, the longest that was asked for; 0: it does not say
    fault: ProviderError | None = None  # the latest failure or refusal

    def is_urgent(self, failures_before: int) -> bool:
        """Whether they close the gate, so that all should know at once. `failures_before`: in a row, told already."""
        before = 0 if self.succeeded else failures_before
        return self.asked is not None or (self.failures > 0 and before + self.failures >= FAILURES)

    def add(self, error: ProviderError | None, *, first: bool = True) -> None:
        """Count a call that ended with `error`, or without one. A fault of what was sent is an answer, too.

        Not `first`: something was sent again that has failed before, and may be at fault itself.
        """
        if error is None:
            self.succeeded, self.failures = True, 0
        elif error.reason == Reason.RATE_LIMITED or error.retry_after:
            self.asked = max(self.asked or 0.0, error.retry_after or 0.0)
            self.fault = error
        elif is_outage(error):
            self.failures += first
            self.fault = error
        elif error.status is not None or error.reason not in OURS:
            self.succeeded, self.failures = True, 0


def is_outage(error: ProviderError) -> bool:
    """Whether the provider may be down: it did not answer, or said that it failed."""
    return error.retryable and error.reason in (Reason.PROVIDER_ERROR, Reason.TIMEOUT)


def note_outcomes(throttle: ProviderThrottle, outcomes: Outcomes, holder: UUID, now: datetime) -> None:
    """Let the gate know. Of calls that were under way when it closed, failures change nothing any more."""
    if outcomes.succeeded or outcomes.asked is not None:
        throttle.failures = throttle.openings = 0
        throttle.open_until = throttle.half_open_by = None
    if outcomes.asked is not None:
        _hold(throttle, outcomes, now)
    if outcomes.failures and not outcomes.asked and (not throttle.openings or throttle.half_open_by == holder):
        throttle.failures += outcomes.failures
        if throttle.openings or throttle.failures >= FAILURES:
            _pause(throttle, outcomes, now)


def _hold(throttle: ProviderThrottle, outcomes: Outcomes, now: datetime) -> None:
    backoff_until = throttle.backoff_until
    if backoff_until is None or backoff_until <= now:  # else: calls that were under way already
        throttle.backoffs = throttle.backoffs + 1 if backoff_until and backoff_until > now - HOLDS_APART else 1
    if outcomes.asked:
        seconds = spread(min(outcomes.asked, LONGEST_ASKED), *JITTER)
    else:
        seconds = exponential_backoff(throttle.backoffs - 1, first=FIRST_HOLD, longest=LONGEST_HOLD, jitter=JITTER)
    end = now + timedelta(seconds=seconds)
    throttle.backoff_until = max(end, backoff_until) if backoff_until else end
    _say_why(throttle, outcomes)


def _pause(throttle: ProviderThrottle, outcomes: Outcomes, now: datetime) -> None:
    throttle.openings += 1
    throttle.half_open_by = None
    seconds = exponential_backoff(throttle.openings - 1, first=FIRST_PAUSE, longest=LONGEST_PAUSE, jitter=JITTER)
    throttle.open_until = now + timedelta(seconds=seconds)
    _say_why(throttle, outcomes)


def _say_why(throttle: ProviderThrottle, outcomes: Outcomes) -> None:
    if outcomes.fault is not None:
        throttle.reason, throttle.message = outcomes.fault.reason, str(outcomes.fault)


def is_half_open(throttle: ProviderThrottle, holder: UUID, live: Container[UUID]) -> bool:
    """After a pause: whether `holder` is the one that tries a call. It becomes that where no live holder is."""
    if throttle.half_open_by is None or throttle.half_open_by not in live:
        throttle.half_open_by = holder
    return throttle.half_open_by == holder
