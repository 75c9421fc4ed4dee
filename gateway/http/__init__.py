"""The providers, served to applications the way OpenAI serves its audio models."""
