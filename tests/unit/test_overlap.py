"""An iterator that runs ahead: order, exceptions, and no thread left behind."""

from __future__ import annotations

import threading
import time

import pytest

from segdepth.micrograph.overlap import ahead


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
@pytest.mark.parametrize("number", [1, 2, 7])
def test_all_items_come_in_their_order(count, number):
    assert list(ahead(iter(range(count)), number)) == list(range(count))
    assert list(ahead([None] * count)) == [None] * count  # None is an item as any other


def test_stages_can_follow_each_other():
    doubled = ahead(2 * item for item in ahead(range(20)))
    assert list(ahead(doubled)) == list(range(0, 40, 2))


def test_items_are_made_before_they_are_asked_for_but_not_many():
    made = []

    def items():
        for item in range(20):
            made.append(item)
            yield item

    found = ahead(items(), 3)
    assert next(found) == 0
    until = time.monotonic() + 5
    while len(made) < 5 and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.3)
    assert len(made) == 5  # one taken, three wait, one is in hand
    assert list(found) == list(range(1, 20))


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_an_exception_comes_where_the_item_would(kind):
    def items():
        yield 1
        yield 2
        raise kind("no more")

    found = ahead(items())
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(kind, match="no more"):
        next(found)
    with pytest.raises(StopIteration):
        next(found)


def test_a_consumer_that_stops_early_ends_the_whole_chain():
    closed = []

    def endless():
        try:
            item = 0
            while True:
                yield (item := item + 1)
        finally:
            closed.append(threading.current_thread())

    found = ahead(2 * item for item in ahead(endless()))
    assert [next(found), next(found)] == [2, 4]
    found.close()
    del found
    assert len(closed) == 1
