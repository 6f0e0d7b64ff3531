"""What a network has seen, and whether data fit it: asked of cards alone."""

from __future__ import annotations

import pytest

from segdepth.config import Dataset, Labels, Specimen
from segdepth.config.data_format import DataFormat
from segdepth.errors import ConfigError, StoreError
from segdepth.networks.card import NetworkCard
from segdepth.networks.compatibility import check_network_fits, check_unseen
from segdepth.networks.training_record import join_records, record_entry, structures_seen

DATASET = Dataset(
    specimen="s", beam="b", imaging="i", labels="l", splits={"test": 0.3, "validation": 0.1, "train": 0.5}
)
SPECIMEN = Specimen(crystal="c", structures=100)
LABELS = Labels(core_radius_pm={"Sr": 85, "O": 64}, outer_radius_pm={"Sr": 120, "O": 90})
SMALL = LABELS.model_copy(update={"core_radius_pm": {"Sr": 80.0, "O": 64.0}})
ENTRY = record_entry(DATASET, SPECIMEN, 3)
CRYSTAL = {"formula": "SrTiO3", "zone_axis": [0, 0, 1], "x_axis": [1, 0, 0], "periods_pm": [390.5, 390.5, 390.5]}
CARD = NetworkCard(
    "binned", 4, 11, 21.0, 21.0, 5411.0, 2.5, LABELS.model_dump(mode="json"), crystal=CRYSTAL,
    training_record=[ENTRY],
)  # fmt: skip


def test_a_record_tells_the_structures_from_what_makes_them():
    seen = structures_seen([ENTRY], "s", 3)
    assert seen == set(DATASET.structures_seen(SPECIMEN)) and 50 < len(seen) < 70
    assert not structures_seen([ENTRY], "s", 4) and not structures_seen([ENTRY], "other", 3)
    larger = record_entry(DATASET, SPECIMEN.model_copy(update={"structures": 200}), 3)
    assert structures_seen([ENTRY, larger], "s", 3) == structures_seen([larger], "s", 3) > seen


def test_an_entry_is_kept_once():
    other = record_entry(DATASET, SPECIMEN, 4)
    assert join_records([ENTRY, ENTRY], [other, ENTRY]) == [ENTRY, other]


@pytest.mark.parametrize(
    "record", [[], [{}], ["all"], [ENTRY | {"splits": {"test": 1}}], [ENTRY | {"structures": "9"}]]
)
def test_a_record_of_another_version_is_refused(record):
    with pytest.raises(StoreError, match="training_record cannot be read .*train the network with this version"):
        structures_seen(record, "s", 3)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"image_pixel_pm": 20.0}, "the image pixel is 20 pm, not 21 pm"),
        ({"label_pixel_pm": 22.0}, "the label pixel is 22 pm, not 21 pm"),
        ({"image_pixels": 100}, "images have 100 pixels a side, not a multiple of 64"),
        ({"labels": SMALL}, "the labels differ: (core|atom)_radius_pm is"),
        ({"classes": 21}, "depth classes are 0 to 20, not 0 to 10"),
        ({"crystal": CRYSTAL | {"formula": "BaTiO3"}}, "the crystal's formula is BaTiO3, not SrTiO3"),
        ({"crystal": CRYSTAL | {"zone_axis": (1, 1, 0)}}, r"zone_axis is \[1, 1, 0\], not \[0, 0, 1\]"),
        ({"crystal": CRYSTAL | {"periods_pm": [390.5, 420, 390.5]}}, "a period of the crystal is 420 pm, not 390.5"),
    ],
)
def test_data_that_do_not_fit_are_told_in_one_line(data, says):
    with pytest.raises(ConfigError, match=f"data set 'd' does not fit the network n: .*{says}"):
        check_network_fits(CARD, DataFormat(**data), network="n", name="data set 'd'")


def test_what_is_not_known_fits():
    data = {"image_pixel_pm": 21.0, "labels": LABELS, "classes": 11, "image_pixels": 128}
    strained = CRYSTAL | {"zone_axis": (0, 0, 1), "periods_pm": (395.0, 386.0, 390.5)}
    for known in ({}, data, data | {"crystal": CRYSTAL}, {"crystal": strained}, {"crystal": {}}):
        check_network_fits(CARD, DataFormat(**known), network="n", name="data")


def test_structures_that_were_seen_are_counted():
    seen = sorted(structures_seen([ENTRY], "s", 3))
    with pytest.raises(ConfigError, match=rf"trained on 2 of its 3 structures \(the first is {seen[0]}\)"):
        check_unseen(CARD, [*seen[:2], 1000], "s", 3, network="n", name="d")
    check_unseen(CARD, seen, "s", 4, network="n", name="d")
    check_unseen(CARD, DATASET.structures_of("test", SPECIMEN), "s", 3, network="n", name="d")
