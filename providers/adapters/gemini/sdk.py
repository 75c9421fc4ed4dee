"""The google-genai SDK, imported when Gemini is first used: it takes 26 MB and a second, and most processes call other
providers, or none."""

import functools
from types import ModuleType


@functools.cache
def genai() -> ModuleType:
    from google import genai as module

    return module
