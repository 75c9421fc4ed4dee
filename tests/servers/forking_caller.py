"""A process that calls a provider, forks, and calls it again on both sides: each prints how many words it heard."""

import asyncio
import os
import sys

import django

django.setup()

from providers.adapters.base import ProviderConfig  # noqa: E402
from providers.adapters.openai import OpenAICompatibleAdapter  # noqa: E402
from tests.providers.openai_calls import WHISPER, hearing  # noqa: E402


def call(adapter):
    heard = asyncio.run(adapter.transcribe(WHISPER, hearing()))
    sys.stdout.write(f"{len(heard.text.split())}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    adapter = OpenAICompatibleAdapter(ProviderConfig("openai_compatible", "box", sys.argv[1]))
    call(adapter)
    child = os.fork()
    call(adapter)
    if child:
        os.waitpid(child, 0)
