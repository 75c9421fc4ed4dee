"""Frameworks for voice agents in Python, unmodified from their registry, each in an environment of its own."""

import json
from pathlib import Path

import pytest

from tests.voice.clients.installed import python_packages, run_script

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
ANSWER = "Good morning. It is nine o'clock."
HEARD = "good morning to you"


def converse(live, turn_files, python, script, way):
    return json.loads(run_script([python, HERE / script], live, turn_files, way))


@pytest.fixture(scope="module")
def agents():
    return python_packages("openai-agents[realtime]==0.24.0")


@pytest.mark.parametrize("way", ["hand", "vad"])
def test_agents_in_python_hold_two_turns(live, turn_files, agents, way):
    seen = converse(live, turn_files, agents, "agents_script.py", way)
    assert seen["errors"] == []
    assert [item["role"] for item in seen["items"]] == ["user", "assistant", "user", "assistant"]
    assert [item["transcript"].strip() for item in seen["items"]] == [HEARD, ANSWER, HEARD, ANSWER]
    assert seen["bytes"] > 24_000


@pytest.fixture(scope="module")
def livekit():
    return python_packages("livekit-plugins-openai==1.8.9")


@pytest.mark.parametrize("way", ["hand", "vad"])
def test_livekits_plugin_holds_two_turns(live, turn_files, livekit, way):
    seen = converse(live, turn_files, livekit, "livekit_script.py", way)
    assert seen["errors"] == []
    assert seen["heard"] == [HEARD, HEARD]
    assert seen["said"] == [ANSWER, ANSWER]
    assert seen["samples"] > 12_000


@pytest.fixture(scope="module")
def pipecat():
    return python_packages("pipecat-ai[openai]==1.14.0")


@pytest.mark.parametrize("way", ["hand", "vad"])
def test_pipecats_service_holds_two_turns(live, turn_files, pipecat, way):
    seen = converse(live, turn_files, pipecat, "pipecat_script.py", way)
    assert seen["errors"] == []
    assert seen["heard"] == [HEARD, HEARD]
    assert seen["said"] == ANSWER + ANSWER
    assert seen["samples"] > 12_000
