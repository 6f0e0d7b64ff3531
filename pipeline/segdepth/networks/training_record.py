"""The structures that a network has seen: the ``training_record`` of its card.

A record has one entry for each data set, those of the network that gave its first weights included::

    {"specimen": "wedge", "root_seed": 7, "structures": 900, "splits": {"test": 0.2, "validation": 0.1, "train": 0.7}}

which is what makes the structures: the name and seed of the specimen, how many structures were planned, and the shares
by which ``segdepth.splits`` parts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segdepth.config import Dataset, Specimen
from segdepth.errors import StoreError
from segdepth.networks.card import CARD, read_card
from segdepth.splits import PARTS, split_of

SEEN = ("train", "validation")
"""The parts of a data set that a network is trained on, or chosen by."""


def record_entry(dataset: Dataset, specimen: Specimen, root_seed: int) -> dict[str, Any]:
    """The entry of one data set."""
    return {
        "specimen": dataset.specimen,
        "root_seed": root_seed,
        "structures": specimen.structures,
        "splits": {part: getattr(dataset.splits, part) for part in PARTS},
    }


def join_records(*records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All entries in order, each once."""
    joined: list[dict[str, Any]] = []
    for entry in (dict(entry) for record in records for entry in record):
        if entry not in joined:
            joined.append(entry)
    return joined


def structures_seen(record: Sequence[Mapping[str, Any]], specimen: str, root_seed: int) -> set[int]:
    """Indices of the specimen's structures that a network with this record was trained or validated on.

    Raises
    ------
    StoreError
        The record is empty, or not one of this version's.
    """
    seen: set[int] = set()
    try:
        if not record:
            raise ValueError("it is empty")
        for entry in record:
            name, seed, structures, shares = (entry[key] for key in ("specimen", "root_seed", "structures", "splits"))
            if (name, seed) == (specimen, root_seed):
                seen.update(index for index in range(structures) if split_of(index, **shares) in SEEN)
    except (KeyError, TypeError, ValueError) as failure:
        raise StoreError(
            f"the network's training_record cannot be read ({failure}); train the network with this version"
        ) from None
    return seen


def read_training_record(folder: str | Path) -> list[dict[str, Any]]:
    """The record of the network in ``folder``.

    Raises
    ------
    StoreError
        The card is missing or damaged, or has no record of this version.
    """
    record = read_card(folder).training_record
    try:
        structures_seen(record, "", 0)
    except StoreError as failure:
        raise StoreError(f"{Path(folder) / CARD}: {failure}") from None
    return record
