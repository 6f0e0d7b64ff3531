"""Depth maps: rings, ownership, projected counts, weights, axes."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from conftest import small_slab
from hypothesis import given
from hypothesis import strategies as st

from segdepth.config import Labels
from segdepth.errors import StoreError
from segdepth.labels.depth import depth_maps, project_depth, read_columns
from segdepth.labels.ownership import nearest_column, pixel_centres_pm
from segdepth.labels.projection import by_element, project_counts
from segdepth.labels.smoothing import ring_depth
from segdepth.labels.weights import loss_weight
from segdepth.specimen.columns import column_table
from segdepth.store.manifest import writing
from segdepth.store.zarr_store import open_zarr

PIXEL = 10.0
LABELS = Labels(pixel_pm=PIXEL)


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
    labels = Labels(pixel_pm=block.field_pm / 64)
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
    labels = Labels(pixel_pm=block.field_pm / 64)
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
    with pytest.raises(StoreError, match="a column has 11 atoms; the classes end at 10"):
        depth_maps(column(58, 600, 600, 11, 0), LABELS, 0.0, 1200.0)


def test_loss_weight():
    found = loss_weight(np.array([0.0, 90.0, 1e5, np.inf]), 90.0, 0.2)
    assert found == pytest.approx([1, 0.2 + 0.8 / np.e, 0.2, 0.2]) and found.dtype == np.float32
    assert (np.diff(loss_weight(np.linspace(0, 400, 99), 90.0, 0.2)) <= 0).all()


def test_by_element():
    assert by_element({"Ce": 1.0, "O": 2.0}, np.array([8, 58, 8], np.uint8)).tolist() == [2, 1, 2]


def test_store_holds_maps_and_columns(tmp_path):
    import ase.io

    frames = []
    for index, count in ((4, 3), (9, 5)):
        atoms, block = small_slab(count)
        atoms.info |= {"id": f"slab-{index:05d}", "index": index}
        frames.append(atoms)
    path = tmp_path / "shard-000.extxyz"
    parameters = {"specimen": block.model_dump(mode="json")}
    with writing(path, command="build-specimens", code="c", parameters=parameters) as partial:
        ase.io.write(partial, frames, format="extxyz")
    labels = Labels(pixel_pm=block.field_pm / 64)
    project_depth(labels, path, tmp_path / "depth.zarr", "c")
    with open_zarr(tmp_path / "depth.zarr") as store:
        assert store["structure"].values.tolist() == [4, 9]
        maps, columns = depth_maps(frames[1], labels, block.margin_pm, block.field_pm)
        for name in ("counts", "depth", "weight"):
            assert np.allclose(store[name].sel(structure=9).values, maps[name], atol=1e-5)
        assert store["y"].values[0] == pytest.approx(labels.pixel_pm / 2)
        found = read_columns(store, 9)
    for name in ("x_pm", "y_pm", "element", "atoms"):
        assert np.allclose(found[name], columns[name], atol=1e-5)
