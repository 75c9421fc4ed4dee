"""The architecture page's table of the voice protocol is what the protocol does."""

import re
from typing import get_args

from tests.docs.pages import DOCS, section
from tests.docs.protocol_table import HEAD, INPUTS, rows
from voice.protocol import runner_events


def documented():
    lines = section(DOCS / "architecture.md", "The voice protocol").splitlines()
    start = lines.index(HEAD[0])
    end = next((at for at in range(start, len(lines)) if not lines[at].startswith("|")), len(lines))
    return lines[start:end]


def test_the_table_is_what_the_protocol_does():
    assert documented() == rows(), "python -m tests.docs.protocol_table prints it"


def test_every_event_of_the_runner_is_in_the_table():
    [union] = [value for name, value in vars(runner_events).items() if name in {"RunnerEvent", "Happening"}]
    names = {re.split(r"[ ,]", name)[0] for name in INPUTS}

    assert {event.__name__ for event in get_args(union)} <= names
