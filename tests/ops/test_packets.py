"""The channel between the processes of a cluster, any of which may be killed at any moment."""

import os

import pytest

from core.queue.packets import packet_channel


def test_a_reader_that_is_killed_amid_a_message_leaves_the_next_one_whole():
    reader, writer = packet_channel()
    writer.send_bytes(b"the task that dies with its worker" * 1000)
    writer.send_bytes(b"the next task")
    os.read(reader.fileno(), 4)  # as far as it came
    assert reader.recv_bytes() == b"the next task"
    reader.close()
    writer.close()


def test_the_end_of_a_channel_is_told():
    reader, writer = packet_channel()
    writer.send_bytes(b"last")
    writer.close()
    assert reader.recv_bytes() == b"last"
    with pytest.raises(EOFError):
        reader.recv_bytes()
    reader.close()
