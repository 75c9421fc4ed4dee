"""Texts that providers have written."""


def storable(text: str) -> str:
    """Without what JSON may hold but a database refuses: NUL, and half characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
