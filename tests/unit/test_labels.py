"""Depth maps: rings, ownership, projected counts, weights, axes."""

from __future__ import annotations

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from conftest import CERIA, RADII, small_slab
from hypothesis import given
from hypothesis import strategies as st

from segdepth.config import Config, Labels, load_config
from segdepth.crystals import Crystal
from segdepth.errors import ConfigError, StoreError
from segdepth.labels.checks import check_labels
from segdepth.labels.column_depths import confidence_of, credible_depths, may_be_more, name_of_last
from segdepth.labels.depth import depth_dataset, depth_maps, read_columns
from segdepth.labels.ownership import by_element, nearest_column, pixel_centres_pm
from segdepth.labels.projection import project_counts
from segdepth.labels.rings import loss_weight, ring_depth
from segdepth.specimen.columns import column_table
from segdepth.steps.project_depth import project_depth
from segdepth.store.manifest import write_artefact
from segdepth.store.zarr_store import open_zarr

PIXEL = 10.0
LABELS = Labels(**RADII, pixel_pm=PIXEL)


def column(number: int, x_pm: float, y_pm: float, count: int, label: int) -> Atoms:
    """One column in a 20 Å cell; positions in the cell, pm."""
    z = 2 + 3.826 * np.arange(count)
    positions = np.stack([np.full(count, x_pm / 100), np.full(count, y_pm / 100), z], axis=1)
    atoms = Atoms([number] * count, positions=positions, cell=(20, 20, 42))
    atoms.set_array("column", np.full(count, label))
    return atoms


def structure(*columns: Atoms) -> Atoms:
    joined = columns[0].copy()
    for more in columns[1:]:
        joined.extend(more)
    return joined


def test_ring_closed_form():
    """n = 6, r0 = 85, R = 120: rings of 35/6 pm."""
    r = np.array([0, 84.9, 85.0, 85.1, 90.8, 90.9, 119.9, 120.0, 200.0])
    assert ring_depth(6, r, 85.0, 120.0).tolist() == [6, 6, 6, 6, 6, 5, 1, 0, 0]
    assert ring_depth(6, r, 85.0, 120.0).dtype == np.uint8


@given(st.integers(1, 10), st.floats(20, 100), st.floats(5, 100))
def test_rings_fall_by_one_in_equal_widths(n, core, width):
    r = core + width * (np.arange(n) + 0.5) / n
    assert ring_depth(n, r, core, core + width).tolist() == list(range(n, 0, -1))
    assert ring_depth(n, np.array([0.0, core, core + width]), core, core + width).tolist() == [n, n, 0]


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_nearest_column_owns(seed, count):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-100, 700, (2, count))
    owner, distance = nearest_column(x, y, 24, 25.0)
    centres = (np.arange(24) + 0.5) * 25.0
    squared = (centres[:, None, None] - y) ** 2 + (centres[None, :, None] - x) ** 2
    assert np.allclose(distance**2, squared.min(-1))
    assert np.allclose(np.take_along_axis(squared, owner[..., None], -1)[..., 0], squared.min(-1))


def test_no_columns():
    owner, distance = nearest_column(np.array([]), np.array([]), 8, 25.0)
    assert (owner == -1).all() and np.isinf(distance).all()
    empty = column(58, 1000, 1000, 1, 0)[:0]
    maps, table = depth_maps(empty, LABELS, 0.0, 640.0)
    assert len(table) == 0 and not maps["counts"].any() and not maps["depth"].any()
    assert np.allclose(maps["weight"], LABELS.weight_floor)


def test_depth_lies_at_row_y_and_column_x():
    """A margin of 400 pm: a column at (900, 1300) of the cell is at (500, 900) of the field."""
    maps, table = depth_maps(column(58, 900, 1300, 4, 7), LABELS, 400.0, 1200.0)
    assert table[["x_pm", "y_pm", "atoms", "element", "column"]].values.tolist() == [[500, 900, 4, 58, 7]]
    for name in ("depth", "counts"):
        rows, columns = np.nonzero(maps[name] == 4)
        assert (rows + 0.5).mean() * PIXEL == pytest.approx(900) and (columns + 0.5).mean() * PIXEL == pytest.approx(
            500
        )
    assert maps["weight"].argmax() in [90 * 120 + 50, 90 * 120 + 49, 89 * 120 + 50, 89 * 120 + 49]


def test_disc_and_core_agree_for_a_straight_column():
    maps, table = depth_maps(column(8, 903.3, 1287.1, 9, 0), LABELS, 400.0, 1200.0)
    centres = pixel_centres_pm(120, PIXEL)
    distance = np.hypot(centres[:, None] - table["y_pm"][0], centres[None, :] - table["x_pm"][0])
    assert np.array_equal(maps["counts"] == 9, distance <= 64.0)
    assert set(np.unique(maps["counts"])) == {0, 9}
    assert np.array_equal(maps["depth"] > 0, distance < 90.0) and (maps["depth"][distance <= 64] == 9).all()


def test_tilted_column_counts_overlap():
    """Two atoms 100 pm apart: where both discs cover 2, else 1; the column stands in the middle."""
    atoms = column(58, 600, 600, 2, 0)
    atoms.positions[1, 0] += 1.0
    maps, table = depth_maps(atoms, LABELS, 0.0, 1200.0)
    assert table["x_pm"][0] == 650 and table["y_pm"][0] == 600
    assert maps["counts"][60, 65] == 2 and maps["counts"][60, 55] == 1 and maps["counts"][60, 75] == 1
    assert maps["depth"][60, 65] == 2 and maps["depth"][65, 60] == 2


def test_a_vacancy_moves_a_tilted_columns_position_and_lowers_its_count():
    """Five atoms that step by 20 pm; without the first the mean of the others is 10 pm further."""
    atoms = column(8, 600, 600, 5, 0)
    atoms.positions[:, 0] += 0.2 * np.arange(5)
    for kept, x, count in (([0, 1, 2, 3, 4], 640, 5), ([1, 2, 3, 4], 650, 4), ([0, 4], 640, 2)):
        maps, table = depth_maps(atoms[kept], LABELS, 0.0, 1200.0)
        assert table[["x_pm", "atoms"]].values.tolist() == [[pytest.approx(x), count]]
        assert maps["depth"][60, int(x / PIXEL)] == count


def test_a_tilted_columns_mean_decides_whether_it_is_in_the_field():
    """Atoms at -40 … +80 pm: the mean, 20 pm, is inside, and the label lies there; mirrored it is outside."""
    atoms = column(58, 360, 1000, 4, 0)
    atoms.positions[:, 0] += 0.4 * np.arange(4)
    maps, table = depth_maps(atoms, LABELS, 400.0, 1200.0)
    assert table["x_pm"].tolist() == pytest.approx([20]) and maps["depth"][60, 2] == 4
    assert len(column_table(atoms, 400.0, 1200.0)) == 1
    atoms.positions[:, 0] = 8 - atoms.positions[:, 0]
    maps, table = depth_maps(atoms, LABELS, 400.0, 1200.0)
    assert table["x_pm"].tolist() == pytest.approx([-20]) and maps["depth"][60, 0] == 4
    assert len(column_table(atoms, 400.0, 1200.0)) == 0


def test_nearer_column_wins_where_discs_overlap():
    atoms = structure(column(58, 600, 600, 8, 0), column(8, 735.3, 600, 2, 1))
    maps, _ = depth_maps(atoms, LABELS, 0.0, 1200.0)
    middle = (600 + 735.3) / 2
    row = maps["depth"][60]
    centres = pixel_centres_pm(120, PIXEL)
    assert (row[(centres > 530) & (centres < middle)] == 8).all()
    assert (row[(centres > middle + 5) & (centres < 790)] == 2).all()
    assert set(np.unique(maps["counts"])) == {0, 2, 8}


def test_counts_do_not_exceed_the_owner_and_fill_its_core():
    atoms, block = small_slab(6)
    labels = Labels(**RADII, pixel_pm=block.field_pm / 64)
    maps, table = depth_maps(atoms, labels, block.margin_pm, block.field_pm)
    owner, distance = nearest_column(table["x_pm"].to_numpy(), table["y_pm"].to_numpy(), 64, labels.pixel_pm)
    held = table["atoms"].to_numpy()[owner]
    core = by_element(labels.core_radius_pm, table["element"].to_numpy())[owner]
    outer = by_element(labels.outer_radius_pm, table["element"].to_numpy())[owner]
    for name in ("counts", "depth"):
        assert (maps[name] <= held).all()
        assert np.array_equal(maps[name][distance <= core], held[distance <= core])
        assert not maps[name][distance >= outer].any()
    assert maps["depth"].dtype == np.uint8 and maps["counts"].dtype == np.uint8


@pytest.mark.parametrize("axis", ["x", "y"])
def test_mirrored_atoms_give_mirrored_labels(axis):
    atoms, block = small_slab(5)
    atoms.positions[:, 0] += 0.013  # no pixel centre lies at the same distance from two columns
    atoms.positions[:, 1] += 0.029
    keep = (atoms.positions[:, 0] > 2) & (atoms.get_array("column") % 7 != 0)
    atoms = atoms[keep]
    labels = Labels(**RADII, pixel_pm=block.field_pm / 64)
    straight, _ = depth_maps(atoms, labels, block.margin_pm, block.field_pm)
    turned = atoms.copy()
    index = "xy".index(axis)
    turned.positions[:, index] = block.cell_pm / 100 - turned.positions[:, index]
    mirrored, _ = depth_maps(turned, labels, block.margin_pm, block.field_pm)
    for name in ("counts", "depth", "weight"):
        expected = np.flip(straight[name], 1 - index)
        assert np.mean(mirrored[name] != expected) < (0.001 if name != "weight" else 1.1)
        assert not np.array_equal(expected, straight[name])
    assert np.allclose(mirrored["weight"], np.flip(straight["weight"], 1 - index), atol=1e-5)


def test_column_outside_the_field_still_covers_pixels_inside():
    maps, table = depth_maps(column(58, 350, 1000, 3, 0), LABELS, 400.0, 1200.0)
    assert table["x_pm"][0] == -50
    assert maps["depth"][60, 0] == 3 and maps["counts"][60, 2] == 3 and maps["depth"][60, 7:].max() == 0


def test_column_far_outside_is_left_out():
    table = column_table(structure(column(58, 350, 1000, 3, 0), column(8, 700, 1000, 2, 1)), 400.0, 1200.0)
    assert table["column"].tolist() == [1]


def test_atoms_cut_by_the_fields_edge_are_counted_to_the_edge():
    owner = np.zeros((8, 8), int)
    counts = project_counts(
        np.array([0.0, 80.0]), np.array([0.0, 80.0]), np.zeros(2, int), np.full(2, 25.0), owner, 10.0
    )
    assert counts[0, 0] == 1 and counts[7, 7] == 1 and counts[0, 7] == 0 and counts[3, 3] == 0


def test_too_many_atoms_are_refused_in_one_line():
    with pytest.raises(StoreError, match="a column has 11 atoms; the labels block's classes end at most_atoms, 10"):
        depth_maps(column(58, 600, 600, 11, 0), LABELS, 0.0, 1200.0)


def test_loss_weight():
    found = loss_weight(np.array([0.0, 90.0, 1e5, np.inf]), 90.0, 0.2)
    assert found == pytest.approx([1, 0.2 + 0.8 / np.e, 0.2, 0.2]) and found.dtype == np.float32
    assert (np.diff(loss_weight(np.linspace(0, 400, 99), 90.0, 0.2)) <= 0).all()


def test_by_element():
    assert by_element({"Ce": 1.0, "O": 2.0}, np.array([8, 58, 8], np.uint8)).tolist() == [2, 1, 2]


def test_store_holds_maps_and_columns(tmp_path):
    frames = []
    for index, count in ((4, 3), (9, 5)):
        atoms, block = small_slab(count)
        atoms.info |= {"id": f"slab-{index:05d}", "index": index}
        frames.append(atoms)
    path = tmp_path / "shard-000.extxyz"
    parameters = {"specimen": block.model_dump(mode="json")}
    with write_artefact(path, command="build-specimens", code="c", parameters=parameters) as partial:
        ase.io.write(partial, frames, format="extxyz")
    labels = Labels(**RADII, pixel_pm=block.field_pm / 64)
    project_depth(labels, path, tmp_path / "depth.zarr", code="c")
    with open_zarr(tmp_path / "depth.zarr") as store:
        assert store["structure"].values.tolist() == [4, 9]
        kept = {"pixel_pm": labels.pixel_pm, "field_pm": block.field_pm, "margin_pm": block.margin_pm}
        assert {name: store.attrs[name] for name in kept} == kept
        assert store.attrs["specimen"] == "slab" and store.attrs["root_seed"] == 0
        assert Crystal.from_dict(json.loads(store.attrs["crystal"])) == CERIA
        assert Labels.model_validate_json(store.attrs["labels"]) == labels
        assert store.attrs["title"] == "depth maps of CeO2 [110]"
        maps, columns = depth_maps(frames[1], labels, block.margin_pm, block.field_pm)
        for name in ("counts", "depth", "weight"):
            assert np.allclose(store[name].sel(structure=9).values, maps[name], atol=1e-5)
        assert store["y"].values[0] == pytest.approx(labels.pixel_pm / 2)
        found = read_columns(store, 9)
    for name in ("x_pm", "y_pm", "element", "atoms"):
        assert np.allclose(found[name], columns[name], atol=1e-5)


def test_atoms_from_elsewhere_have_depth_maps_too(tmp_path):
    """No manifest, no info, no columns: the cell is the field, and columns are found."""
    atoms = structure(column(58, 600, 600, 8, 0), column(8, 735.3, 600, 2, 1), column(8, 1200, 1400, 5, 2))
    del atoms.arrays["column"]
    ase.io.write(tmp_path / "mine.extxyz", atoms, format="extxyz")
    project_depth(LABELS, tmp_path / "mine.extxyz", tmp_path / "depth.zarr", code="c")
    with open_zarr(tmp_path / "depth.zarr") as store:
        assert store["depth"].shape == (1, 200, 200) and store["depth"].values[0, 60, 60] == 8
        assert "crystal" not in store.attrs and store.attrs["title"] == "depth maps"
        found = read_columns(store, 0)
    assert sorted(zip(found["element"], found["atoms"])) == [(8, 2), (8, 5), (58, 8)]


def test_mixed_columns_count_their_heaviest_element():
    """Six Ti with seven O between and around them: a Ti column of six; only Ti discs make the projected counts."""
    titanium, oxygen = column(22, 800, 900, 6, 0), column(8, 800, 900, 7, 0)
    oxygen.positions[:, 2] -= 1.9
    oxygen.positions[:, 0] += 0.3  # shifted, so that both places and discs tell whether they are counted
    labels = Labels(core_radius_pm={"Ti": 60, "O": 64}, outer_radius_pm={"Ti": 90, "O": 100}, pixel_pm=PIXEL)
    maps, table = depth_maps(structure(oxygen, titanium), labels, 0.0, 1600.0)
    assert table[["x_pm", "y_pm", "element", "atoms"]].values.tolist() == [[800, 900, 22, 6]]
    centres = pixel_centres_pm(160, PIXEL)
    distance = np.hypot(centres[:, None] - 900, centres[None, :] - 800)
    assert np.array_equal(maps["counts"], np.where(distance <= 60, 6, 0))
    assert np.array_equal(maps["region"], np.where(distance <= 60, 22, 0))
    assert np.array_equal(maps["depth"] > 0, distance < 90)


def test_most_atoms_sets_the_classes():
    labels = LABELS.model_copy(update={"most_atoms": 13})
    maps, _ = depth_maps(column(58, 600, 600, 13, 0), labels, 0.0, 1200.0)
    assert labels.classes == 14 and maps["depth"].max() == maps["counts"].max() == 13
    with pytest.raises(StoreError, match="14 atoms"):
        depth_maps(column(58, 600, 600, 14, 0), labels, 0.0, 1200.0)


def test_thicker_columns_share_one_class_where_there_is_one_for_more():
    labels = LABELS.model_copy(update={"most_atoms": 3, "more": True})
    assert labels.classes == 5
    columns = [column(58, x, 500, count, i) for i, (x, count) in enumerate([(200, 3), (600, 4), (1000, 9)])]
    maps, table = depth_maps(structure(*columns), labels, 0.0, 1200.0)
    assert table["atoms"].tolist() == [3, 4, 9]
    assert maps["depth"].max() == 4 and maps["counts"].max() == 9
    three, four, nine = (maps["depth"][:, left : left + 40] for left in (0, 40, 80))
    assert np.array_equal(four, nine) and four.max() == 4 and three.max() == 3
    exact = LABELS.model_copy(update={"most_atoms": 9})
    same, _ = depth_maps(structure(*columns[:2]), exact, 0.0, 1200.0)
    assert np.array_equal(maps["depth"][:, :80], same["depth"][:, :80])


def test_a_class_of_more_must_fit_into_a_byte_with_the_mark_of_what_is_not_valid():
    assert Labels(**RADII, most_atoms=253, more=True).classes == 255
    with pytest.raises(ValueError, match="most_atoms: got 254 with more; at most 253"):
        Labels(**RADII, most_atoms=254, more=True)


def test_other_classes_are_another_kind_of_labels():
    more = LABELS.model_copy(update={"more": True})
    assert more.difference(LABELS) == "more is True, not False" and more.difference(more) is None


def test_nothing_is_certain_of_counts_without_a_class():
    depth, largest = np.array([4, 4, 3]), np.array([1.0, 0.6, 1.0], np.float32)
    found = confidence_of(depth, largest, 5, True)
    assert found.dtype == np.float32 and found.tolist() == pytest.approx([0.999, 0.6, 1.0])
    assert confidence_of(depth, largest, 5, False) is largest
    assert may_be_more(depth, np.array([4, 4, 4]), 5, True).all()
    assert may_be_more(depth, np.array([4, 4, 4]), 5, False).tolist() == [True, True, False]
    assert (name_of_last(32, True), name_of_last(11, False)) == ("> 30", "≥ 10")


@given(st.integers(0, 2**32 - 1), st.integers(2, 7))
def test_the_depths_of_the_90_percent_set_are_the_fewest_around_the_best(seed, classes):
    pooled = np.random.default_rng(seed).dirichlet(np.full(classes, 0.4), size=5)
    for vector, low, high in zip(pooled, *credible_depths(pooled)):
        best = vector.argmax()
        sets = [(b - a, -vector[a : b + 1].sum()) for a in range(best + 1) for b in range(best, classes)
                if vector[a : b + 1].sum() >= 0.9]  # fmt: skip
        assert low <= best <= high
        assert (high - low, -vector[low : high + 1].sum()) == pytest.approx(min(sets))


def test_centres_are_judged_within_their_own_radii():
    radii = {"Ce": 40.0, "O": 30.0}
    atoms = structure(column(58, 600, 600, 8, 0), column(8, 800, 600, 2, 1))
    maps, _ = depth_maps(atoms, LABELS.model_copy(update={"centre_radius_pm": radii}), 0.0, 1200.0)
    centres = pixel_centres_pm(120, PIXEL)
    for x, radius, number in ((600, 40, 58), (800, 30, 8)):
        inside = np.hypot(centres[:, None] - 600, centres[None, :] - x) <= radius
        assert np.array_equal(maps["region"] == number, inside)


def test_an_element_without_radii_is_refused_in_one_line():
    with pytest.raises(ConfigError, match="labels.core_radius_pm: has values for Ce, O; the columns of Ti need one"):
        depth_maps(column(22, 600, 600, 3, 0), LABELS, 0.0, 1200.0)


def test_frames_of_two_fields_are_no_store():
    frames = [small_slab(3, field_pm=side)[0] for side in (1352.75, 2705.5)]
    frames[1].info["index"] = 1
    with pytest.raises(StoreError, match="differ in field_pm"):
        depth_dataset(frames, LABELS)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"core_radius_pm": {"Ce": 85}, "outer_radius_pm": {"Ce": 120}}, "labels.rings.core_radius_pm.*O need one"),
        (
            {"core_radius_pm": {"Ce": 85, "O": 140}},
            "labels.rings.core_radius_pm: got 140 for O; Ce columns of CeO2 .110. are 135 pm away",
        ),
        ({"most_atoms": 9}, "labels.rings.most_atoms: got 9; .* have up to 10 atoms .*more: true gives them a class"),
    ],
)
def test_labels_must_suit_their_specimens(changes, told):
    config = load_config(Path(__file__).parents[2] / "config.yaml")
    check_labels(config)
    rings = config.labels["rings"].model_copy(update=changes)
    with pytest.raises(ConfigError, match=told):
        check_labels(config.model_copy(update={"labels": {"rings": rings}}))


def test_counts_must_fit_into_the_maps():
    """With a class for more than most_atoms, columns may be of any thickness; 300 atoms would be stored as 44."""
    config = load_config(Path(__file__).parents[2] / "config.yaml")
    rings = config.labels["rings"].model_copy(update={"more": True})

    def with_bulk(atoms: int) -> Config:
        thick = config.specimens["wedge"].model_copy(update={"bulk_atoms": (1, atoms)})
        part = {"labels": {"rings": rings}, "specimens": {"wedge": thick}, "datasets": {"q": config.datasets["quick"]}}
        return config.model_copy(update=part)

    check_labels(with_bulk(255))
    with pytest.raises(ConfigError, match="have up to 256 atoms; depth maps hold counts up to 255"):
        check_labels(with_bulk(256))


def test_atoms_beyond_a_periodic_face_are_labelled_where_they_are_simulated():
    """A column that was moved by whole sides, or of which vibration put some atoms across the cell's edge."""
    kept = structure(column(58, 600, 600, 8, 0), column(8, 735.3, 600, 2, 1), column(8, 1995, 1000, 5, 2))
    kept.pbc = True
    wanted, columns = depth_maps(kept, LABELS, 0.0, 2000.0)
    for numbered in (True, False):
        moved = kept.copy()
        if not numbered:
            del moved.arrays["column"]
        moved.positions[:8] += (20, -40, 0)
        moved.positions[11:13, 0] -= 20
        maps, found = depth_maps(moved, LABELS, 0.0, 2000.0)
        assert np.allclose(found[["x_pm", "y_pm", "atoms"]], columns[["x_pm", "y_pm", "atoms"]])
        for name, values in wanted.items():
            assert np.allclose(maps[name], values, atol=1e-5), name


def test_a_column_across_the_edge_is_one():
    """Two of its atoms in the cell at one edge, three at the other, as ASE's wrap leaves them."""
    atoms = column(58, 2.0, 600, 5, 0)
    del atoms.arrays["column"]
    atoms.positions[::2, 0] = 19.98
    table = depth_maps(atoms, LABELS, 0.0, 2000.0)[1]
    assert table["atoms"].tolist() == [5] and table["x_pm"].tolist() == pytest.approx([1999.6])


def test_a_rectangular_cell_has_the_maps_of_the_square_around_it(tmp_path):
    """Rows are y, columns x; the field is given along both."""
    square = structure(column(58, 600, 600, 8, 0), column(8, 735.3, 900, 2, 1), column(8, 1000, 1700, 5, 2))
    tall = square.copy()
    tall.cell[0, 0] = 12
    tall.info = {"margin_pm": 100.0}
    ase.io.write(tmp_path / "tall.extxyz", tall, format="extxyz")
    project_depth(LABELS, tmp_path / "tall.extxyz", tmp_path / "depth.zarr", code="c")
    wanted, columns = depth_maps(square, LABELS, 100.0, 1800.0)
    with open_zarr(tmp_path / "depth.zarr") as store:
        assert store.attrs["field_pm"] == [1000, 1800]
        assert (store.sizes["y"], store.sizes["x"]) == (180, 100) and store["y"].values[-1] == 1795
        for name, values in wanted.items():
            assert np.allclose(store[name].values[0], values[:, :100], atol=1e-6)
        found = read_columns(store, 0)
        assert len(found) == 3 and np.allclose(found, columns[found.columns], atol=1e-5)
    tall.info = {}
    with pytest.raises(ConfigError, match="field_pm .2000. must be a whole number of pixels"):
        depth_dataset([tall], LABELS.model_copy(update={"pixel_pm": 150.0}))


@pytest.mark.parametrize(("count", "fits"), [(255, True), (256, False)])
def test_counts_that_depth_maps_cannot_hold_are_refused_with_more_too(count, fits):
    labels = Labels(**RADII, pixel_pm=PIXEL, most_atoms=30, more=True)
    atoms = column(58, 800, 700, count, 0)
    if fits:
        _, columns = depth_maps(atoms, labels, 0, 2000)
        assert columns["atoms"].tolist() == [255]
    else:
        with pytest.raises(StoreError, match="a column has 256 atoms; depth maps hold counts up to 255"):
            depth_maps(atoms, labels, 0, 2000)
