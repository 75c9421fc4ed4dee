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
        "Earshot itself failed on this sample. The worker's log has the traceback.",
    )
    EMPTY_OUTPUT = "empty_output", "The model answered with no text."
