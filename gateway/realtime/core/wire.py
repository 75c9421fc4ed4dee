"""A session as its client sees it: frames in; frames and commands out."""

from dataclasses import dataclass

from gateway.realtime.core.commands import Command


@dataclass(frozen=True)
class Step:
    frames: list[str]  # JSON texts to send, in this order
    commands: list[Command]  # to be begun after that, in this order
