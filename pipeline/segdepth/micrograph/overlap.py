"""An iterator that runs ahead in a thread of its own, so that reading, the network and writing overlap."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
WAIT_S = 0.2


def ahead(items: Iterable[T], number: int = 2) -> Iterator[T]:
    """The same items in the same order; up to ``number`` of them are made before they are asked for.

    An exception comes where the item would. When the consumer stops, so does the thread, after its current item.
    """
    waiting: queue.Queue = queue.Queue(number)
    stopped = threading.Event()
    end = object()

    def put(item: object) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=WAIT_S)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
        except BaseException as failure:  # it is raised again in the consumer's thread
            put((end, failure))
        else:
            put((end, None))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while True:
            item, failure = waiting.get()
            if failure is not None:
                raise failure
            if item is end:
                return
            yield item
    finally:
        stopped.set()
        thread.join()
