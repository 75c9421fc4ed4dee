"""Everything that datasets refuse. Screens show the message; REST adds the code.

No Django here: the process that decodes audio imports this too.
"""

from enum import StrEnum


class Refused(Exception):  # noqa: N818 - a refusal is the answer to a request, not a fault
    """What was asked for is not done. `str(refusal)` says to a person what was wrong and what to do."""

    code = "refused"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class AudioReason(StrEnum):
    """Why audio is refused."""

    NOT_AUDIO = "not_audio"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    NO_AUDIO_STREAM = "no_audio_stream"
    ENCRYPTED = "encrypted"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TOO_LARGE = "too_large"
    TOO_LONG = "too_long"
    TOO_SPARSE = "too_sparse"
    TOO_SHORT = "too_short"
    TOO_SLOW = "too_slow"


class AudioRefused(Refused):
    """A file that cannot be a sample's audio."""

    def __init__(self, code: AudioReason, message: str) -> None:
        super().__init__(message)
        self.code = code


class NameTaken(Refused):
    code = "name_taken"


class KeyTaken(Refused):
    code = "key_taken"


class InUse(Refused):
    code = "in_use"


class InvalidSample(Refused):
    """Text, language or tags that cannot be stored, or a sample of the wrong kind for its dataset."""

    code = "invalid_sample"


class ImportRefused(Refused):
    """A whole import that cannot be read; single lines have their own problems."""

    code = "invalid_import"
