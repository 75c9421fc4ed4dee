"""The two dialects of OpenAI's protocol."""
