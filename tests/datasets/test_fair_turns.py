"""Whose file is decoded next, with four decoders."""

import threading
from functools import partial

import pytest

from datasets import fair_turns
from datasets.fair_turns import FairTurns

ACME, RIVAL, THIRD = 1, 2, 3


class Line:
    """Files that are decoded until they are told to end."""

    def __init__(self, count=4):
        self.turns = FairTurns(count)
        self._at_work = []  # (name, the event that ends it)
        self._threads = []
        self._changed = threading.Condition()

    @property
    def at_work(self):
        return [name for name, _ in self._at_work]

    def add(self, workspace, name, *, is_short=False):
        """Returns once the file is decoded, or waits."""
        before = len(self.turns._waiting) + len(self.turns._at_work)
        thread = threading.Thread(target=self._decode, args=(workspace, name, is_short))
        thread.start()
        self._threads.append(thread)
        self._wait_for(lambda: len(self.turns._waiting) + len(self.turns._at_work) == before + 1)
        self._settle()

    def end(self, name):
        """Returns once whoever comes next is at work."""
        ended = next(each for each in self._at_work if each[0] == name)
        ended[1].set()
        self._wait_for(lambda: ended not in self._at_work)
        self._settle()

    def _decode(self, workspace, name, is_short):
        ended = threading.Event()
        with self.turns.turn(workspace, is_short=is_short):
            with self._changed:
                self._at_work.append((name, ended))
                self._changed.notify_all()
            ended.wait()
            with self._changed:
                self._at_work.remove((name, ended))
        with self._changed:
            self._changed.notify_all()

    def _settle(self):
        """Whoever may begin has begun."""
        self._wait_for(lambda: len(self._at_work) == len(self.turns._at_work))

    def _wait_for(self, condition):
        with self._changed:
            while not condition():
                self._changed.wait(0.01)

    def close(self):
        while self._at_work:
            self.end(self.at_work[0])
        for thread in self._threads:
            thread.join()


@pytest.fixture
def line():
    line = Line()
    yield line
    line.close()


def test_a_workspace_takes_half_of_the_decoders_for_long_files(line):
    for name in "abc":
        line.add(ACME, name)
    assert line.at_work == ["a", "b"]
    line.add(RIVAL, "theirs")
    assert line.at_work == ["a", "b", "theirs"]


def test_one_decoder_is_kept_for_short_files(line):
    for workspace, name in [(ACME, "a"), (ACME, "b"), (RIVAL, "c"), (THIRD, "d")]:
        line.add(workspace, name)
    assert line.at_work == ["a", "b", "c"]
    line.add(THIRD, "short", is_short=True)
    assert line.at_work == ["a", "b", "c", "short"]


def test_a_short_file_passes_long_ones_of_its_own_workspace_that_wait(line):
    for name in "abc":
        line.add(ACME, name)
    line.add(ACME, "short", is_short=True)
    assert line.at_work == ["a", "b", "short"]


def test_short_files_of_one_workspace_take_all_decoders_until_another_waits(line):
    for name in "abcdef":
        line.add(ACME, name, is_short=True)
    assert line.at_work == ["a", "b", "c", "d"]
    line.add(RIVAL, "theirs", is_short=True)
    line.end("a")
    assert line.at_work == ["b", "c", "d", "theirs"]
    line.end("b")
    assert line.at_work == ["c", "d", "theirs", "e"]


def test_who_has_fewest_at_work_comes_next(line):
    for name in "abcd":
        line.add(ACME, name, is_short=True)
    line.add(ACME, "e", is_short=True)
    line.add(RIVAL, "long")
    line.add(THIRD, "short", is_short=True)
    line.end("a")
    assert line.at_work[-1] == "long"
    line.end("b")
    assert line.at_work[-1] == "short"
    line.end("c")
    assert line.at_work[-1] == "e"


def test_two_decoders_are_one_for_anything_and_one_for_short_files():
    line = Line(2)
    line.add(ACME, "a")
    line.add(RIVAL, "b")
    line.add(RIVAL, "short", is_short=True)
    assert line.at_work == ["a", "short"]
    line.end("a")
    assert line.at_work == ["short", "b"]
    line.close()


def test_a_decoder_that_fails_gives_its_place_back(line):
    for _ in range(10):
        with pytest.raises(ZeroDivisionError), line.turns.turn(ACME, is_short=False):
            raise ZeroDivisionError
    line.add(ACME, "a")
    assert line.at_work == ["a"]


def test_who_gives_up_waiting_is_passed_over(line, monkeypatch):
    class GivesUp(threading.Event):
        def wait(self):
            raise KeyboardInterrupt

    line.add(ACME, "a")
    line.add(ACME, "b")
    with monkeypatch.context() as patched:
        patched.setattr(fair_turns, "_Turn", partial(fair_turns._Turn, has_begun=GivesUp()))
        with pytest.raises(KeyboardInterrupt), line.turns.turn(ACME, is_short=False):
            pass
    line.end("a")
    line.add(ACME, "c")
    assert line.at_work == ["b", "c"]
