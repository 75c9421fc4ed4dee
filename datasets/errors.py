"""Errors of datasets, with their codes.

No Django here: the process that decodes audio imports this too.
"""

from enum import StrEnum

from core.errors import AlreadyExists, Conflict, InvalidInput


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


class InvalidAudio(InvalidInput):
    """A file that cannot be a sample's audio."""

    field = "audio"

    def __init__(self, code: AudioReason, message: str) -> None:
        super().__init__(message)
        self.code = code


class InvalidSample(InvalidInput):
    """Text, language or tags that cannot be stored, or a sample of the wrong kind for its dataset."""

    code = "invalid_sample"


class InvalidImport(InvalidInput):
    """An import that cannot be read as a whole; single lines have a `problem` instead."""

    code = "invalid_import"


class NameTaken(AlreadyExists):
    code = "name_taken"
    field = "name"


class KeyTaken(AlreadyExists):
    code = "key_taken"
    field = "key"


class InUse(Conflict):
    code = "in_use"
    field = ""
