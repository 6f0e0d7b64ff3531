"""Streams of random numbers and splits by structure."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdepth.config import Dataset, Specimen
from segdepth.seeds import STREAMS, hash64, structure_rng, structure_seed
from segdepth.splits import PARTS, split_of, split_position

PINNED = (3322684039107280820, 2804776299469058123)


def test_streams_differ_and_repeat():
    keys = list(itertools.product((0, 1), ("wedge", "wedges"), (0, 1, 256), STREAMS))
    first = [structure_rng(*key).integers(2**63) for key in keys]
    assert len(set(first)) == len(keys)
    assert first == [structure_rng(*key).integers(2**63) for key in keys]
    assert structure_rng(0, "a", 0, "noise", 1).integers(2**63) != structure_rng(0, "a", 0, "noise", 2).integers(2**63)


def test_streams_have_their_own_numbers():
    assert len(set(STREAMS.values())) == len(STREAMS)
    with pytest.raises(KeyError):
        structure_rng(0, "wedge", 0, "no such stream")


def test_hash_is_the_same_everywhere():
    assert hash64("") == 0xE3B0C44298FC1C14  # SHA-256 of nothing
    assert 0 <= structure_seed(2**62, "wedge", 99_999) < 2**63


def test_draws_are_pinned():
    """A change here changes every structure: it needs a new major version, not a new number in this test."""
    assert structure_seed(0, "wedge", 0) == PINNED[0]
    assert int(structure_rng(0, "wedge", 3, "geometry").integers(2**63)) == PINNED[1]


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 500))
def test_every_structure_has_one_part(test, rest, index):
    validation = (1 - test) * rest
    part = split_of(index, test, validation, 1 - test - validation)
    assert part in (*PARTS, "unused")
    position = split_position(index)
    if abs(position - test) > 1e-9:
        assert (part == "test") == (position < test)


@pytest.mark.parametrize("structures", [20, 60, 100, 1000])
def test_shares_are_kept(structures):
    parts = [split_of(i, 0.2, 0.15, 0.65) for i in range(structures)]
    for part, share in zip(PARTS, (0.2, 0.15, 0.65)):
        assert abs(parts.count(part) - share * structures) <= 2
    assert "unused" not in parts


def test_more_structures_keep_their_sides_and_parts_are_apart():
    dataset = Dataset(specimen="s", beam="b", imaging="i", labels="l")
    small, large = Specimen(crystal="c", structures=30), Specimen(crystal="c", structures=300)
    seen = []
    for part in PARTS:
        few, many = dataset.structures_of(part, small), dataset.structures_of(part, large)
        assert few == [i for i in many if i < 30] and few
        seen += many
    assert sorted(seen) == list(range(300))
    with pytest.raises(ValueError, match="no split is called 'training'"):
        dataset.structures_of("training", small)


def test_every_surface_is_in_every_part():
    """Surfaces go by index modulo 3; the golden-ratio split must not follow that."""
    for part in PARTS:
        indices = [i for i in range(60) if split_of(i, 0.2, 0.15, 0.65) == part]
        assert {i % 3 for i in indices} == {0, 1, 2}
