"""Streams are streams, and clients belong to their event loop."""

import asyncio
import gc
import subprocess
import sys
import threading
from contextlib import aclosing
from pathlib import Path

import pytest

from providers.adapters.base import ChatMessage, ChatRequest, ModelConfig, ProviderError
from providers.reasons import Reason
from tests.providers.openai_calls import CHAT, STREAMS, WHISPER, collect, compatible, hearing
from tests.waiting import async_wait_for, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("stream", STREAMS)
def test_the_first_part_arrives_before_the_last_is_sent(openai, stream):
    openai.settings(hold_after=2, text="one two three four")

    async def listen():
        async with aclosing(STREAMS[stream](compatible(openai))) as parts:
            first = await anext(parts)
            assert openai.open_streams == 1  # the provider waits to be told to go on
            openai.release()
            return [first, *[part async for part in parts]]

    assert len(asyncio.run(listen())) > 1
    assert openai.open_streams == 0


@pytest.mark.parametrize("stream", STREAMS)
def test_closing_a_stream_closes_the_providers(openai, stream):
    openai.settings(hold_after=2, text="one two three four")

    async def leave():
        async with aclosing(STREAMS[stream](compatible(openai))) as parts:
            await anext(parts)
            assert openai.left == 0

    asyncio.run(leave())
    wait_for(lambda: openai.left == 1 and openai.open_streams == 0)


@pytest.mark.parametrize("stream", STREAMS)
def test_cancelling_the_caller_closes_the_providers_stream(openai, stream):
    openai.settings(hold_after=2, text="one two three four")

    async def give_up():
        task = asyncio.create_task(collect(STREAMS[stream](compatible(openai))))
        await async_wait_for(lambda: openai.open_streams)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(give_up())
    wait_for(lambda: openai.left == 1 and openai.open_streams == 0)


def test_a_stream_that_stalls_is_given_up(openai):
    openai.settings(hold_after=2, text="one two three four")
    stream = compatible(openai).stream_transcription(ModelConfig("gpt", {"timeout_seconds": 0.3}), hearing())
    with pytest.raises(ProviderError) as caught:
        asyncio.run(collect(stream))
    assert (caught.value.reason, caught.value.retryable) == (Reason.TIMEOUT, True)
    wait_for(lambda: openai.left == 1)


def test_cancelling_a_call_closes_its_connection(openai):
    openai.fault("transcriptions", "hang")

    async def give_up():
        task = asyncio.create_task(compatible(openai).transcribe(WHISPER, hearing()))
        await async_wait_for(lambda: openai.calls)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(give_up())
    wait_for(lambda: openai.left == 1)


def test_an_adapter_works_in_one_loop_after_another(openai):
    adapter = compatible(openai)
    for _ in range(3):
        asyncio.run(adapter.transcribe(WHISPER, hearing()))
    gc.collect()  # connections that were left open would warn now
    assert len(openai.calls) == 3


def test_an_adapter_works_in_two_loops_at_once(openai):
    adapter, together, texts = compatible(openai), threading.Barrier(2), []

    async def hear_often():
        for _ in range(5):
            together.wait(120)
            texts.append((await adapter.transcribe(WHISPER, hearing())).text)

    threads = [threading.Thread(target=lambda: asyncio.run(hear_often())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(texts), len(set(texts))) == (10, 1)


def test_calls_of_a_loop_share_its_connections(openai):
    async def three_calls():
        adapter = compatible(openai)
        for _ in range(3):
            await adapter.transcribe(WHISPER, hearing())
        return openai.connections

    assert asyncio.run(three_calls()) == 1
    wait_for(lambda: openai.connections == 0)


def test_closing_an_adapter_closes_its_connections_in_a_loop_that_goes_on(openai):
    async def close_and_go_on():
        adapter = compatible(openai)
        await adapter.transcribe(WHISPER, hearing())
        adapter.close()
        await async_wait_for(lambda: not openai.connections)

    asyncio.run(close_and_go_on())


def test_an_adapter_closes_its_connections_when_its_last_call_lets_go_of_it(openai):
    async def let_go():
        adapter = compatible(openai)
        asked = ChatRequest((ChatMessage("user", "one two three"),))
        parts = adapter.stream_chat(CHAT, asked)
        text = (await anext(parts)).text
        del adapter
        text += "".join([part.text async for part in parts])
        assert openai.connections == 1
        del parts
        await async_wait_for(lambda: not openai.connections)
        return text

    assert asyncio.run(let_go())


def test_an_adapter_works_on_both_sides_of_a_fork(openai):
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "tests.servers.forking_caller", openai.url]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert len(answer.stdout.split()) == 3
    assert len(set(answer.stdout.split())) == 1
    assert len(openai.calls) == 3
