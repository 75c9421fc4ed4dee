"""The hash of a request's body, made beside."""

import asyncio
import hashlib
import threading
from contextlib import suppress

from gateway.http.multipart import BodyHash

PIECE = b"some of a body" * 1000


def test_callers_who_leave_while_their_body_is_hashed_leave_the_room_to_others():
    go_on = threading.Event()

    async def leave():
        hashing = BodyHash()
        await hashing.add(PIECE)
        with suppress(TimeoutError):
            await asyncio.wait_for(hashing.add(PIECE), 0.05)

    async def some_leave():
        await asyncio.gather(*(leave() for _ in range(8)))

    BodyHash._hash_thread.submit(go_on.wait)
    try:
        asyncio.run(some_leave())
    finally:
        go_on.set()
    BodyHash._hash_thread.submit(int).result()  # after all that waited

    assert BodyHash._room._value == BodyHash._room._initial_value


def test_pieces_are_hashed_in_their_order():
    async def hashed():
        hashing = BodyHash()
        for number in range(50):
            await hashing.add(PIECE + bytes([number]))
        return hashing.hex()

    assert asyncio.run(hashed()) == hashlib.sha256(b"".join(PIECE + bytes([n]) for n in range(50))).hexdigest()
