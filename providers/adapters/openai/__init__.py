"""OpenAI, and every server that speaks its protocol (vLLM, speaches, LocalAI, Groq...), through the openai SDK."""

from providers.adapters.openai.adapter import OpenAIAdapter, OpenAICompatibleAdapter

__all__ = ["OpenAIAdapter", "OpenAICompatibleAdapter"]
