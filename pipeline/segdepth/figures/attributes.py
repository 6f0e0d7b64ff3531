"""The crystal and the number of depth classes, from a store's attributes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from segdepth.crystals import Crystal
from segdepth.errors import StoreError


def crystal_of(attributes: Mapping[str, Any]) -> Crystal:
    """The crystal of a store, from its attribute ``crystal`` (JSON, or the mapping itself).

    Raises
    ------
    StoreError
        There is none: another version of SegDepth wrote the store.
    """
    try:
        given = attributes["crystal"]
        return Crystal.from_dict(json.loads(given) if isinstance(given, str) else given)
    except (KeyError, TypeError, ValueError):
        raise StoreError("the store has no attribute 'crystal'; make it again with this version") from None


def classes_of(attributes: Mapping[str, Any]) -> int:
    """Number of depth classes, from the attribute ``labels`` (JSON of the block).

    Raises
    ------
    StoreError
        There is none: another version of SegDepth wrote the store.
    """
    try:
        labels = json.loads(attributes["labels"])
        return int(labels["most_atoms"]) + 1 + bool(labels.get("more", False))
    except (KeyError, TypeError, ValueError):
        raise StoreError("the store has no attribute 'labels'; make it again with this version") from None
