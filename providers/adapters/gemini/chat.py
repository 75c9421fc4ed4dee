"""A conversation as Gemini takes it."""

from typing import TYPE_CHECKING, Any

from providers.adapters.base import ChatRequest
from providers.adapters.gemini.sdk import genai

if TYPE_CHECKING:
    from google.genai import types


def chat_contents(request: ChatRequest) -> list[dict[str, Any]]:
    """The messages but the system's. Where there are no others, the system's are the user's: none would be refused."""
    said = [message for message in request.messages if message.role != "system"] or request.messages
    return [
        {"role": "model" if message.role == "assistant" else "user", "parts": [{"text": message.content}]}
        for message in said
    ]


def chat_config(request: ChatRequest) -> "types.GenerateContentConfig":
    system = [message.content for message in request.messages if message.role == "system"]
    config: types.GenerateContentConfig = genai().types.GenerateContentConfig(
        system_instruction="\n\n".join(system) if 0 < len(system) < len(request.messages) else None,
        temperature=request.temperature,
        max_output_tokens=request.max_output_tokens,
        automatic_function_calling=genai().types.AutomaticFunctionCallingConfig(disable=True),
        automatic_continuation=False,
    )
    return config
