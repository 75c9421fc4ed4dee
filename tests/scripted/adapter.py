"""Answers by the model's options, and writes down each call.

Options (samples are named by the hash of their audio):
    latency     seconds each call takes
    log         file that gets a line "<sha256> <process>" a call, across processes
    text        what is answered; "heard" without it
    kill        samples at which the worker's process dies as by kill -9
    hang        samples that are never answered
    refuse      samples that fail at once, for good
    flaky       samples that fail at their first call in a process
    retry_after seconds that are asked for before the next call of these
    journal     file that gets a line "<time> start|end <process> <sha256>" for each, across processes
    fault       file: while it is there, every call fails with the ProviderError that it describes (JSON)
"""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

from providers.adapters.base import ProviderError, Transcription
from providers.adapters.kinds import KindInfo
from providers.reasons import Reason


class ScriptedAdapter:
    kind = "scripted"
    info = KindInfo(label="Scripted", credential="optional")

    def __init__(self, config):
        self.failed_before = set()

    async def transcribe(self, model, request):
        options = model.options
        sample = request.audio.sha256
        if "log" in options:
            with Path(options["log"]).open("a") as log:
                log.write(f"{sample} {os.getpid()}\n")
        if sample in options.get("kill", ()):
            os.kill(os.getpid(), signal.SIGKILL)
        if sample in options.get("hang", ()):
            await asyncio.Event().wait()
        if sample in options.get("refuse", ()):
            raise ProviderError(Reason.PROVIDER_ERROR, "The scripted model refuses this sample.")
        if sample in options.get("flaky", ()) and sample not in self.failed_before:
            self.failed_before.add(sample)
            pause = options.get("retry_after")
            raise ProviderError(
                Reason.PROVIDER_ERROR, "The scripted model stumbles.", retryable=True, retry_after=pause
            )
        latency = options.get("latency", 0)
        write_down(options, "start", sample)
        try:
            if latency:
                await asyncio.sleep(latency)
            raise_fault(options)
        finally:
            write_down(options, "end", sample)
        return Transcription(text=options.get("text", "heard"), processing_seconds=latency or 0.001)

    def close(self):
        pass


def write_down(options, what, sample):
    if "journal" in options:
        with Path(options["journal"]).open("a") as journal:
            journal.write(f"{time.time()} {what} {os.getpid()} {sample}\n")


def raise_fault(options):
    path = Path(options.get("fault", "none"))
    if path.exists():
        fault = json.loads(path.read_text())
        raise ProviderError(Reason(fault.pop("reason")), fault.pop("message", "The scripted model fails."), **fault)
