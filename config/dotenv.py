"""Reads and writes `.env`: secrets made on this machine, ignored by git. Settings read it, so it uses none.

python -m config.dotenv          makes sure that there is a SECRET_KEY
"""

import os
import secrets
from pathlib import Path

import environ

# Another file than `.env` beside manage.py: for a second site on the same checkout.
PATH = Path(os.environ.get("ENV_FILE") or Path(__file__).resolve().parent.parent / ".env")


def read() -> None:
    """Load the file into the environment; variables that are set already keep their values."""
    environ.Env.read_env(PATH)


def ensure(name: str) -> str:
    """Return the secret `name` from the environment or the file; otherwise make a random one and write it there."""
    read()
    if not os.environ.get(name):
        os.environ[name] = secrets.token_urlsafe(48 if name == "SECRET_KEY" else 12)
        PATH.touch(mode=0o600)
        before = PATH.read_text()
        with PATH.open("a") as file:
            file.write("\n" if before and not before.endswith("\n") else "")
            file.write(f"{name}={os.environ[name]}\n")
    return os.environ[name]


if __name__ == "__main__":
    ensure("SECRET_KEY")
