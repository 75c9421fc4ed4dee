"""What REST reads, and what it answers in."""

from collections.abc import Iterable
from typing import Any

from rest_framework import parsers
from rest_framework.exceptions import NotAcceptable, ParseError, ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from core.text import unstorable_part


def refuse_unstorable(value: object) -> None:
    """Raise ValidationError, with the field's name, where no database could store `value`: then it is never stored in
    part, or met again later."""
    fields = value.items() if isinstance(value, dict) else [("non_field_errors", value)]
    for name, each in fields:
        if unstorable_part(name):
            raise ParseError("The name of a field holds what cannot be stored.")
        if part := unstorable_part(each):
            raise ValidationError({name: [f"This holds {part}, which cannot be stored."]})


class JSONParser(parsers.JSONParser):
    """JSON; a body nested so deeply that it cannot be read is the client's mistake, not a crash."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            value = super().parse(stream, media_type, parser_context)
            refuse_unstorable(value)
        except RecursionError as error:
            raise ParseError("JSON parse error - nested too deeply.") from error
        return value


class MultiPartParser(parsers.MultiPartParser):
    """Forms with files."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        parsed = super().parse(stream, media_type, parser_context)
        refuse_unstorable(dict(parsed.data.lists()))
        return parsed


class LenientNegotiation(DefaultContentNegotiation):
    """An `Accept` that no renderer serves is answered all the same: players and event sources ask for audio and
    events, which are streamed without a renderer, and their errors are JSON."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        try:
            selected: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
        except NotAcceptable:
            first = next(iter(renderers))
            return first, first.media_type or "application/json"
        return selected
