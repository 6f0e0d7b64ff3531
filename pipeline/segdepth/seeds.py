"""Seeds: every random draw of a structure comes from its own stream.

No two specimen blocks share a structure, and no result depends on shard size, order or worker count.
"""

from __future__ import annotations

import hashlib

import numpy as np

STREAMS = {"plan": 0, "geometry": 1, "phonons": 2, "lens": 3, "noise": 4, "split": 5, "beam": 6}


def hash64(text: str) -> int:
    """First 64 bits of SHA-256 of ``text``; the same on every machine, unlike ``hash``."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def structure_rng(root_seed: int, specimen: str, index: int, stream: str, *extra: int) -> np.random.Generator:
    """Generator of one structure's stream.

    Parameters
    ----------
    root_seed : the config's ``root_seed``.
    specimen : name of the specimen block.
    index : index of the structure within its block.
    stream : one of ``STREAMS``.
    extra : further integers that tell draws of one stream apart (a noise realisation, say).
    """
    return np.random.default_rng(np.random.SeedSequence([root_seed, hash64(specimen), index, STREAMS[stream], *extra]))


def structure_seed(root_seed: int, specimen: str, index: int) -> int:
    """A 63-bit number that represents a structure's seed in plans and atoms files."""
    words = np.random.SeedSequence([root_seed, hash64(specimen), index]).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))
