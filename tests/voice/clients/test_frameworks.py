"""Frameworks for voice agents in Python, unmodified from their registry, in an environment of their own."""

import json
from pathlib import Path

import pytest

from tests.voice.clients.installed import python_clients, run_script

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
ANSWER = "Good morning. It is nine o'clock."
HEARD = "good morning to you"


def converse(live, turn_files, python, script, way):
    return json.loads(run_script([python, HERE / script], live, turn_files, way))


@pytest.fixture(scope="module")
def python():
    return python_clients()


@pytest.mark.parametrize("way", ["hand", "vad"])
def test_agents_in_python_hold_two_turns(live, turn_files, python, way):
    seen = converse(live, turn_files, python, "agents_script.py", way)
    assert seen["errors"] == []
    assert [item["role"] for item in seen["items"]] == ["user", "assistant", "user", "assistant"]
    assert [item["transcript"].strip() for item in seen["items"]] == [HEARD, ANSWER, HEARD, ANSWER]
    assert seen["bytes"] > 24_000


@pytest.mark.parametrize("way", ["hand", "vad"])
def test_livekits_plugin_holds_two_turns(live, turn_files, python, way):
    seen = converse(live, turn_files, python, "livekit_script.py", way)
    assert seen["errors"] == []
    assert seen["heard"] == [HEARD, HEARD]
    assert seen["said"] == [ANSWER, ANSWER]
    assert seen["samples"] > 12_000


@pytest.mark.parametrize("way", ["hand", "vad"])
def test_pipecats_service_holds_two_turns(live, turn_files, python, way):
    seen = converse(live, turn_files, python, "pipecat_script.py", way)
    assert seen["errors"] == []
    assert seen["heard"] == [HEARD, HEARD]
    assert seen["said"] == ANSWER + ANSWER
    assert seen["samples"] > 12_000
