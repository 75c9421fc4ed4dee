"""Parsers and content negotiation of the REST API."""

from collections.abc import Iterable
from typing import Any

from rest_framework import parsers
from rest_framework.exceptions import NotAcceptable, ParseError, ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from core.text import unstorable_part


def refuse_unstorable(value: object) -> None:
    """Raise ValidationError, with the field's name, if a database cannot store `value`."""
    fields = value.items() if isinstance(value, dict) else [("non_field_errors", value)]
    for name, each in fields:
        if unstorable_part(name):
            raise ParseError("The name of a field holds what cannot be stored.")
        if part := unstorable_part(each):
            raise ValidationError({name: [f"This holds {part}, which cannot be stored."]})


class JSONParser(parsers.JSONParser):
    """Parses JSON; a body that is nested too deeply is answered 400."""

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
    """Accepts an `Accept` header that no renderer serves: audio and event streams are sent without a renderer, and
    their errors are JSON."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        try:
            selected: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
        except NotAcceptable:
            first = next(iter(renderers))
            return first, first.media_type or "application/json"
        return selected
