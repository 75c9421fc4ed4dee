"""Another process that calls: `python -m tests.gateway.usage.process WHAT KEY MODEL COUNT`, on the test database.

spend   COUNT calls at a dollar's worth each, ten at once; prints how many were let through
ask     COUNT times whether the key may call; prints how many were let through
die     reserves COUNT calls, prints so, and waits to be killed
"""

import asyncio
import os
import sys

import django


def say(number):
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


async def run(what, secret, model_name, count):
    from gateway.auth import authenticate
    from gateway.errors import ApiError
    from gateway.usage import recorder
    from providers.models import SpeechModel

    model = await SpeechModel.objects.select_related("provider").aget(name=model_name)
    ten_at_once = asyncio.Semaphore(10)

    async def reserve(number):
        access = await authenticate(f"Bearer {secret}")
        return await recorder.reserve(recorder.Call(access, "speech", model_name, f"{os.getpid()}-{number}"))

    async def ask(number):
        try:
            await authenticate(f"Bearer {secret}")
        except ApiError:
            return False
        return True

    async def spend(number):
        async with ten_at_once:
            try:
                reservation = await reserve(number)
            except ApiError:
                return False
            await asyncio.sleep(0.01)
            await recorder.settle(reservation, recorder.Outcome("success", 200, model=model, characters=100_000))
            return True

    if what == "die":
        held = [await reserve(number) for number in range(count)]
        say(len(held))
        await asyncio.sleep(600)
    passed = await asyncio.gather(*(ask(number) if what == "ask" else spend(number) for number in range(count)))
    say(sum(passed))


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    asked, secret_given, model, times = sys.argv[1:5]
    asyncio.run(run(asked, secret_given, model, int(times)))
