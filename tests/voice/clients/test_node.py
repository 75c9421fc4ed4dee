"""Clients in JavaScript, unmodified from their registry."""

import json
import shutil
from pathlib import Path

import pytest

from tests.voice.clients.installed import BIN, node_clients, run_script

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
ANSWER = "Good morning. It is nine o'clock."
HEARD = "good morning to you"


def converse(live, turn_files, folder, script, way):
    copy = folder / script  # modules are looked for where the script is
    shutil.copy(HERE / script, copy)
    return json.loads(run_script([BIN / "node", copy], live, turn_files, way))


@pytest.fixture(scope="module")
def clients():
    return node_clients()


@pytest.mark.parametrize("way", ["hand", "vad"])
def test_the_reference_client_of_the_beta_dialect_holds_two_turns(live, turn_files, clients, way):
    seen = converse(live, turn_files, clients, "reference.mjs", way)
    assert seen["errors"] == []
    assert [item["role"] for item in seen["items"]] == ["user", "assistant", "user", "assistant"]
    assert [item["transcript"] for item in seen["items"]] == [HEARD, ANSWER, HEARD, ANSWER]
    assert {item["status"] for item in seen["items"]} == {"completed"}
    assert all(item["samples"] > 5000 for item in seen["items"])


@pytest.mark.parametrize("way", ["hand", "vad"])
def test_agents_in_javascript_hold_two_turns(live, turn_files, clients, way):
    seen = converse(live, turn_files, clients, "agents.mjs", way)
    assert seen["errors"] == []
    assert [item["role"] for item in seen["items"]] == ["user", "assistant", "user", "assistant"]
    assert [item["transcript"] for item in seen["items"]] == [HEARD, ANSWER, HEARD, ANSWER]
    assert seen["samples"] > 12_000
