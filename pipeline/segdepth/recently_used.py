"""A cache of the values that were used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Kept = TypeVar("Kept")


class RecentlyUsed(Generic[Key, Kept]):
    """At most so many values by their key; the one that was not used for longest is dropped first.

    It holds no reference to what reads the values, so that they are freed with their owner at once.
    """

    def __init__(self, most: int) -> None:
        self.most, self.reads = most, 0
        self._values: OrderedDict[Key, Kept] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key, read: Callable[[Key], Kept]) -> Kept:
        """The value of a key, read if it is not kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = read(key)
        with self._lock:
            self.reads += 1
            self._values[key] = value
            while len(self._values) > self.most:
                self._values.popitem(last=False)
        return value

    def __len__(self) -> int:
        return len(self._values)
