"""Gemini: the Files API, batches and direct calls, through the google-genai SDK."""

from providers.adapters.gemini.adapter import GeminiAdapter

__all__ = ["GeminiAdapter"]
