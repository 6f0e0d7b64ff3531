"""Which structures a network has seen, as its manifest tells. Knows nothing of what a network is."""

from __future__ import annotations

from pathlib import Path

from segdepth.errors import StoreError
from segdepth.store.manifest import read_manifest


def read_training_record(model: Path | str) -> list[dict]:
    """What its manifest notes: ``specimen``, ``root_seed`` and ``indices`` of each data set, those of the network that
    it began with among them.

    Raises
    ------
    StoreError
        Its manifest is missing, or is another version's.
    """
    notes = read_manifest(model)["notes"].get("training_structures")
    if not isinstance(notes, list) or not notes:
        raise StoreError(f"{model}: was trained by another version, which tells otherwise from what; train it again")
    return notes


def structures_seen(model: Path, specimen_name: str, root_seed: int) -> set[int]:
    """Indices of the specimen's structures that the network was trained or validated on.

    Raises
    ------
    StoreError
        Its manifest is missing, or is another version's.
    """
    key = (specimen_name, root_seed)
    same = [note["indices"] for note in read_training_record(model) if (note["specimen"], note["root_seed"]) == key]
    return {index for indices in same for index in indices}
