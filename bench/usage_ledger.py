"""The gateway's books: what admitting, reserving and settling one call costs beside the call itself.

    python -m bench.usage_ledger

1, 8 and 32 callers at once, on SQLite and on PostgreSQL (from a wheel), each in a fresh process. Every call checks a
key with a limit and a workspace with a budget, commits its record, and commits how it ended.
"""

import asyncio
import statistics
import time

from bench.measure import in_new_process, migrate, options, postgresql, setup_django


def measure(calls, **environment):
    setup_django(**environment)
    migrate()
    from accounts.services import create_api_key, ensure_workspace
    from gateway.auth import authenticate
    from gateway.models import Budget, MonthlySpend, UsageRecord
    from gateway.usage import recorder
    from providers.models import Provider, SpeechModel

    workspace = ensure_workspace(slug="bench", name="Bench")
    provider = Provider.objects.create(workspace=workspace, name="acme", kind="local")
    model = SpeechModel.objects.create(provider=provider, name="m", upstream_name="m", speech_to_text=True)
    api_key, secret = create_api_key(workspace=workspace, name="bench")
    api_key.requests_per_minute = 600_000
    api_key.save()
    Budget.objects.create(workspace=workspace, monthly_usd=1000)

    async def one(number, latencies):
        began = time.perf_counter()
        access = await authenticate(f"Bearer {secret}")
        reservation = await recorder.reserve(recorder.Call(access, "transcription", "acme/m", f"req-{number}"))
        reserved = time.perf_counter()
        await recorder.settle(
            reservation, recorder.Outcome("success", 200, model=model, audio_seconds=6.25, latency=0.2)
        )
        latencies.append((reserved - began, time.perf_counter() - began))

    async def many(first, at_once):
        numbers = iter(range(first, first + calls))
        latencies = []

        async def caller():
            for number in numbers:
                await one(number, latencies)

        await asyncio.gather(*(caller() for _ in range(at_once)))
        return latencies

    def timed(first, at_once):
        cpu, began = time.process_time(), time.perf_counter()
        latencies = asyncio.run(many(first, at_once))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        before, both = (statistics.median(each) * 1000 for each in zip(*latencies, strict=True))
        print(
            f"  {at_once:>2} at once: {1000 * cpu / calls:5.2f} ms of CPU a call, {calls / seconds:6.0f} calls/s, "
            f"median {before:5.2f} ms until reserved, {both:5.2f} ms with the settling",
            flush=True,
        )

    asyncio.run(one(10**9, []))
    for position, at_once in enumerate((1, 8, 32)):
        timed(position * calls, at_once)
    recorder.close()
    spend = MonthlySpend.objects.get(api_key=None)
    assert UsageRecord.objects.filter(state="settled").count() == spend.calls == 3 * calls + 1


def measure_on_postgresql(calls):
    measure(calls, DATABASE_URL=postgresql())


def main(calls):
    for name, function in {"SQLite": measure, "PostgreSQL": measure_on_postgresql}.items():
        print(name, flush=True)
        in_new_process(function, calls)


if __name__ == "__main__":
    main(options(__doc__, calls=(4000, 50)).calls)
