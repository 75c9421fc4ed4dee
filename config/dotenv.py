"""The ignored file `.env`: secrets that were made on this machine. Needs no settings, as it comes before them.

python -m config.dotenv          makes sure that there is a SECRET_KEY
"""

import os
import secrets
from pathlib import Path

import environ

# Another file than `.env` beside manage.py: for a second site on the same checkout.
PATH = Path(os.environ.get("ENV_FILE") or Path(__file__).resolve().parent.parent / ".env")


def read() -> None:
    """Put what the file says into the environment, where it does not say otherwise already."""
    environ.Env.read_env(PATH)


def ensure(name: str) -> str:
    """The secret `name`: from the environment or the file, or else a new random one, written to the file."""
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
