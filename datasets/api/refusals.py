"""What the services refuse, as the REST API says it."""

from collections.abc import Iterator
from contextlib import contextmanager

from rest_framework import status
from rest_framework.exceptions import ValidationError

from datasets.errors import AudioRefused, InUse, KeyTaken, NameTaken, Refused

FIELDS = {AudioRefused: "audio", KeyTaken: "key", NameTaken: "name"}


class RefusalResponse(ValidationError):  # noqa: N818 - an answer, not a fault
    """400, or 409 where something else stands in the way; its `type` ends in the refusal's code."""

    def __init__(self, refused: Refused) -> None:
        super().__init__({FIELDS.get(type(refused), "non_field_errors"): [refused.message]})
        self.code = refused.code
        if isinstance(refused, InUse | KeyTaken | NameTaken):
            self.status_code = status.HTTP_409_CONFLICT

    def get_codes(self) -> str:
        return self.code


@contextmanager
def refusals() -> Iterator[None]:
    """Turns what a service refuses into an answer."""
    try:
        yield
    except Refused as refused:
        raise RefusalResponse(refused) from refused
