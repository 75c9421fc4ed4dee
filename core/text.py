"""Texts that providers have written."""


def storable(text: str) -> str:
    """Without what JSON may hold but a database refuses: NUL, and half characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def whole_letters(text: str) -> str:
    """`text` with U+FFFD for each half of a surrogate pair: a model's text may be cut within a letter, and nobody could
    pass it on."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
