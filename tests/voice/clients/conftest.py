import wave

import numpy as np
import pytest

from tests.gateway.live import live_site
from tests.voice.conftest import make_pipelines
from tests.voice.speech import spoken

TURNS = ["good morning to you", "what time is it now"]


@pytest.fixture(scope="module")
def live(committed, tmp_path_factory):
    """A site of the module's own: what clients do in real time has nobody else's calls beside it."""
    with live_site(tmp_path_factory.mktemp("site")) as live:
        make_pipelines(live.workspace)
        yield live


@pytest.fixture(scope="session")
def turns():
    """Two things to say: 24 kHz samples, each with a second of silence behind it."""
    silence = np.zeros(24_000, np.int16)
    return [np.concatenate([spoken(text), silence]) for text in TURNS]


@pytest.fixture(scope="session")
def turn_files(turns, tmp_path_factory):
    """The same as WAV files."""
    folder = tmp_path_factory.mktemp("turns")
    for number, samples in enumerate(turns, start=1):
        with wave.open(str(folder / f"turn{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(24_000)
            file.writeframes(samples.tobytes())
    return folder


@pytest.fixture(autouse=True)
def answers(live, studio):
    """The stand-in hears the same in everything, and answers with two sentences, the second one a while later."""
    studio.settings(
        text="good morning to you",
        chat_text="Good morning. It is nine o'clock.",
        part_delay=0.02,
        seconds_a_character=0.02,
    )
