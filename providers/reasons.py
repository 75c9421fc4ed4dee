"""Why a result failed: the codes, and what each tells a person."""

from django.db import models


class Reason(models.TextChoices):
    """Each code's label says what happened and what to do about it."""

    TIMEOUT = "timeout", "The model did not answer in time. Retry; if it happens again, shorten the audio."
    PROVIDER_ERROR = "provider_error", "The provider failed. Retry later; the error text says more."
    ENGINE_CRASHED = "engine_crashed", "The engine crashed on this audio. Listen to it; it may be damaged."
    ENGINE_MISSING = "engine_missing", "The embedded engine is not installed. Install the `local` extra."
    AUDIO_UNREADABLE = "audio_unreadable", "The stored audio could not be read or decoded. Upload it again."
    AUDIO_TOO_LONG = (
        "audio_too_long",
        "The audio is longer than the model takes. Cut it, or use another model.",
    )
    UNSUPPORTED_FORMAT = (
        "unsupported_format",
        "The model does not take audio of this format, and it could not be converted. Upload WAV, MP3 or FLAC.",
    )
    CAPABILITY_NOT_SUPPORTED = (
        "capability_not_supported",
        "The model cannot do this task. Choose another model.",
    )
    MODEL_REMOVED = "model_removed", "The model was deleted while the run went on. Add it again and start a new run."
    WORKER_LOST = (
        "worker_lost",
        "Workers died again and again on this sample. Look at the worker's log, then retry.",
    )
    INTERNAL_ERROR = (
        "internal_error",
        "Earshot itself failed on this sample. The worker's log has the traceback: report it, then retry.",
    )
    INVALID_CREDENTIALS = "invalid_credentials", "The provider refused the API key. Enter a valid one, then retry."
    QUOTA_EXHAUSTED = (
        "quota_exhausted",
        "The provider's account has no credit or quota left. Add some there, then retry.",
    )
    RATE_LIMITED = "rate_limited", "The provider takes no more calls just now. Retry later."
    REQUEST_REFUSED = (
        "request_refused",
        "The provider refused the request; the error text says why. Change the model's settings, or use another model.",
    )
    FILE_REFUSED = (
        "file_refused",
        "The provider could not take the audio; the error text says why. Upload it in another format, such as FLAC.",
    )
    NAME_TAKEN = "name_taken", "The provider holds an unusable file of the same name. Retry: another name is used."
    BLOCKED = "blocked", "The provider's filters blocked the answer. Use another prompt or another model."
    CUT_OFF = "cut_off", "The answer was cut off at the model's output limit. Shorten the audio or text."
    NO_CANDIDATES = "no_candidates", "The provider answered without a text and without saying why. Retry."
    BAD_JSON = "bad_json", "The provider's line for this sample is not readable. Retry."
    NO_RESPONSE = "no_response", "The provider's line for this sample holds neither answer nor error. Retry."
    MISSING_IN_OUTPUT = "missing_in_output", "The provider's results hold nothing for this sample. Retry."
    BATCH_FAILED = "batch_failed", "The provider's batch failed; the error text says why. Retry."
    BATCH_CANCELLED = "batch_cancelled", "The batch was cancelled at the provider, not from here. Retry."
    BATCH_EXPIRED = "batch_expired", "The provider did not get to the batch in its time. Retry, or use mode direct."
    BATCH_DEADLINE = "batch_deadline", "The batch did not end in time and was given up. Retry, or use mode direct."
    EMPTY_OUTPUT = (
        "empty_output",
        "The model answered with nothing. Listen to the audio: if something is said in it, try another model.",
    )
