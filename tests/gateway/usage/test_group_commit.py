"""A database that goes away for a while."""

import asyncio

import pytest
from django.db import OperationalError, connection

from gateway.errors import ApiError
from gateway.models import UsageRecord
from gateway.usage import recorder
from gateway.usage.group_commit import Writer


class Broken:
    """A handler whose database does not answer the first few times."""

    def __init__(self, times):
        self.times = times
        self.asked = 0

    def handle(self, arguments):
        self.asked += 1
        if self.asked <= self.times:
            raise OperationalError("the database is away")
        return [argument * 2 for argument in arguments]


@pytest.fixture
def writer():
    writer = Writer(periodic=lambda: None, period=lambda: 60.0)
    yield writer
    writer.close()


def submit(writer, handler, *arguments, must=False):
    async def all_at_once():
        answers = [writer.submit(handler, argument, must=must) for argument in arguments]
        return await asyncio.gather(*answers, return_exceptions=True)

    return asyncio.run(all_at_once())


def test_a_connection_that_broke_meanwhile_is_opened_again(writer):
    assert submit(writer, Broken(1).handle, 1, 2) == [2, 4]


def test_what_need_not_be_written_is_refused_while_the_database_is_away(writer):
    (refused,) = submit(writer, Broken(2).handle, 1)
    assert isinstance(refused, ApiError)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "2")


def test_what_must_be_written_is_tried_until_it_is(writer):
    assert submit(writer, Broken(7).handle, 1, 2, must=True) == [2, 4]


def test_what_cannot_be_written_does_no_harm_to_what_can(writer):
    def halve(arguments):
        return [1 / argument for argument in arguments]

    first, second, third = submit(writer, halve, 2, 0, 4)
    assert (first, third) == (0.5, 0.25)
    assert isinstance(second, ZeroDivisionError)


def test_what_is_waiting_is_written_before_the_end(writer):
    written = []

    def write(arguments):
        written.extend(arguments)
        return arguments

    async def leave_at_once():
        for number in range(1000):
            writer.submit(write, number)

    asyncio.run(leave_at_once())
    writer.close()
    assert written == list(range(1000))


def test_after_its_end_a_writer_starts_again(writer):
    double = Broken(0).handle
    assert submit(writer, double, 1) == [2]
    writer.close()
    assert submit(writer, double, 2) == [4]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no connections that a server could end")
def test_a_call_is_settled_although_the_server_ended_the_connection(call, minute):
    async def cut_in_between():
        reservation = await recorder.reserve(call("req-1"))
        await asyncio.to_thread(cut, await recorder.writer.submit(its_connections, None))
        await recorder.settle(reservation, minute())

    def its_connections(requests):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return [cursor.fetchone()[0] for _ in requests]

    def cut(pid):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
            assert cursor.fetchone() == (True,)
        connection.close()

    asyncio.run(cut_in_between())
    connection.close()
    assert UsageRecord.objects.get().result == "success"
