"""Specimens like real ones: orientation, faces, surfaces, terminations, defects; recounted from the atoms alone.

What is checked here is recomputed without ``segdepth.specimen``'s own lattice, orientation or column table: ideal
lattice sites are listed from the motif in DESIGN §4, and the crystal is turned back by a matrix written out by hand.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import ase.io
import numpy as np
import pytest
from conftest import CERIA, RINGS, SMALL
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.stats import binom, chisquare

from segdepth.config import Specimen, read_yaml, validate
from segdepth.errors import ConfigError
from segdepth.labels.depth import depth_maps
from segdepth.specimen.checks import check_specimen, thickest_column
from segdepth.specimen.columns import column_table
from segdepth.specimen.corners import SAMPLE_PM, rounded
from segdepth.specimen.faces import faces
from segdepth.specimen.plan import plan_row
from segdepth.specimen.surfaces import stepped, surface_line
from segdepth.specimen.wedge import PAD_PM, build_wedge

ROOT = Path(__file__).parents[2]
FACET_SLOPE = CERIA.facet_slope()
A = 541.1
ROW = A / np.sqrt(2)
MOTIF = [(58, 0, 0, 0), (58, 0.5, 0.5, 0.5), (8, 0.25, 0, 0.5), (8, 0.75, 0, 0.5), (8, 0.25, 0.5, 0), (8, 0.75, 0.5, 0)]
UPRIGHT = {"rotation_deg": 0.0, "strain_x_percent": 0.0, "strain_y_percent": 0.0, "tilt_x_deg": 0.0, "tilt_y_deg": 0.0}
WIDE = {**SMALL, "margin_pm": 676.375}
GOLDEN, GOLDEN_OFFSET = "d5f7f2af4e924bcd", 0.3137
EVERYTHING = Specimen(
    **{**WIDE, "missing_probability": 0.2},
    structures=1000,
    added_probability=0.3,
    corner_radius_nm=(0, 0.5),
    exit_decay_nm=(0.3, 2),
    terminations=("cut", "Ce", "O"),
    vacancy_fraction=(0, 0.2),
    vacancy_surface_enrichment=4,
    rotation_deg=(-45, 45),
    strain_percent=(-2, 2),
    tilt_deg=(0, 4),
    count_shift_atoms=1,
    step_rows=(1, 2, 3),
)
seeds, indices = st.integers(0, 2**40), st.integers(0, 300)


def planned(block: Specimen, index: int = 0, seed: int = 0, **changes) -> tuple:
    """A structure and its row of the plan, with values of the row replaced."""
    row = {**plan_row(block, CERIA, "t", index, seed), **changes}
    return build_wedge(row, block, CERIA, "t", seed), row


def slab(count: int = 6, **changes) -> dict:
    """Values of a row that stand for a flat slab of even thickness."""
    return {"surface": "flat", "bulk_atoms": count, "surface_atoms": count, "vacuum_fraction": 0.3} | changes


def matrix_of(row) -> np.ndarray:
    """Strain, in-plane rotation, then tilt by Rodrigues' formula, written out."""
    angle = np.radians(row["rotation_deg"])
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    stretch = np.diag([1 + row["strain_x_percent"] / 100, 1 + row["strain_y_percent"] / 100, 1])
    tilt = np.radians(np.hypot(row["tilt_x_deg"], row["tilt_y_deg"]))
    azimuth = np.arctan2(row["tilt_y_deg"], row["tilt_x_deg"])
    n = np.array([-np.sin(azimuth), np.cos(azimuth), 0])
    cross = np.array([[0, -n[2], n[1]], [n[2], 0, -n[0]], [-n[1], n[0], 0]])
    return (np.eye(3) + np.sin(tilt) * cross + (1 - np.cos(tilt)) * cross @ cross) @ turn @ stretch


def pivots(atoms, row, block) -> tuple[np.ndarray, np.ndarray]:
    """The point that stays: in the upright cell, and in the cell as it is (from where the exit face lies)."""
    half = row["bulk_atoms"] * ROW / 2
    tilt = np.radians(np.hypot(row["tilt_x_deg"], row["tilt_y_deg"]))
    middle = [block.cell_pm / 2] * 2
    return np.array([*middle, 200 + half]), np.array([*middle, atoms.info["exit_face_pm"] - half / np.cos(tilt)])


def upright_positions(atoms, row, block) -> np.ndarray:
    """Atoms as they were before strain, rotation and tilt; pm."""
    before, after = pivots(atoms, row, block)
    return before + (100 * atoms.positions - after) @ np.linalg.inv(matrix_of(row)).T


def ideal_sites(row, block) -> np.ndarray:
    """(number, x, y, height offset in periods) of all lattice columns around the cell, far past its edges."""
    side = block.cell_pm
    i = np.arange(-int(side / A) - 3, int(2 * side / A) + 3)
    j = np.arange(-int(side / ROW) - 3, int(2 * side / ROW) + 3)
    return np.array(
        [
            (number, row["origin_x_pm"] + (a + fx) * A, row["origin_y_pm"] + (b + fy) * ROW, fz)
            for number, fx, fy, fz in MOTIF
            for a in i
            for b in j
        ]
    )


def recounted(atoms, row, block):
    """Columns found by turning the atoms back and giving each to the nearest ideal column.

    Returns x, y, number and count, the mean of the projections as they lie in the cell.
    """
    sites = ideal_sites(row, block)
    straight = upright_positions(atoms, row, block)
    distance, nearest = cKDTree(sites[:, 1:3]).query(straight[:, :2])
    assert distance.max() < 1e-3
    assert np.array_equal(sites[nearest, 0], atoms.numbers)
    level = (straight[:, 2] - PAD_PM) / ROW - row["entrance_phase"] - sites[nearest, 3]
    assert np.allclose(level, np.round(level), atol=1e-6)
    assert len({*zip(nearest.tolist(), np.round(level).astype(int).tolist())}) == len(atoms)  # no site twice
    kinds, inverse = np.unique(nearest, return_inverse=True)
    means = [[100 * atoms.positions[inverse == k, axis].mean() for axis in (0, 1)] for k in range(len(kinds))]
    return np.array(means), sites[kinds, 0].astype(int), np.bincount(inverse)


@settings(max_examples=60)
@given(seeds, indices)
def test_columns_and_labels_are_those_of_the_atoms(seed, index):
    atoms, row = planned(EVERYTHING, index, seed)
    means, number, count = recounted(atoms, row, EVERYTHING)
    assert count.min() >= 1 and count.max() <= 10
    table = column_table(atoms, 0, EVERYTHING.cell_pm)
    assert len(table) == len(count)
    distance, match = cKDTree(means).query(table[["x_pm", "y_pm"]])
    assert distance.max() < 1e-6 and len(set(match)) == len(count)
    assert np.array_equal(table["atoms"], count[match]) and np.array_equal(table["element"], number[match])

    pixel = EVERYTHING.field_pm / 64
    maps, _ = depth_maps(atoms, RINGS.model_copy(update={"pixel_pm": pixel}), EVERYTHING.margin_pm, EVERYTHING.field_pm)
    centres = EVERYTHING.margin_pm + pixel * (np.arange(64) + 0.5)
    squared = (centres[:, None, None] - means[:, 1]) ** 2 + (centres[None, :, None] - means[:, 0]) ** 2
    owner, near = squared.argmin(-1), np.sqrt(np.sort(squared, axis=-1)[..., :2])
    core = (near[..., 0] <= np.where(number == 58, 85, 64)[owner] - 1e-6) & (near[..., 1] - near[..., 0] > 1e-6)
    assert core.sum() > 50
    assert np.array_equal(maps["depth"][core], count[owner][core])
    far = near[..., 0] > np.where(number == 58, 120, 90)[owner] + 1e-6
    assert not maps["depth"][far].any()


@settings(max_examples=60)
@given(seeds, indices)
def test_atoms_keep_clear_of_the_cells_faces(seed, index):
    atoms, _ = planned(EVERYTHING, index, seed)
    x, y, z = 100 * atoms.positions.T
    side, height = EVERYTHING.cell_pm, 100 * atoms.cell.lengths()[2]
    assert x.min() >= 0 and y.min() >= 0 and x.max() < side and y.max() < side
    assert z.min() >= PAD_PM - 1e-6 and z.max() <= height - PAD_PM + 1e-6


@settings(max_examples=60)
@given(
    st.floats(-45, 45), st.floats(-4, 4), st.floats(-4, 4), st.floats(-2, 2), st.floats(-2, 2), st.sampled_from([3, 10])
)
def test_crystal_fills_the_cell(rotation, tilt_x, tilt_y, strain_x, strain_y, count):
    """A flat slab has exactly the ideal sites below its surface that end up inside the cell's square, and no others."""
    block = Specimen(**WIDE)
    angles = {"rotation_deg": rotation, "tilt_x_deg": tilt_x, "tilt_y_deg": tilt_y}
    atoms, row = planned(block, **slab(count, strain_x_percent=strain_x, strain_y_percent=strain_y, **angles))
    sites = ideal_sites(row, block)
    line = block.margin_pm + block.field_pm * (1 - row["vacuum_fraction"])
    sites = sites[sites[:, 2] <= line]
    level = np.arange(-3, count + 3)
    z = (level[None, :] + sites[:, 3:] + row["entrance_phase"]).ravel()
    points = np.column_stack([np.repeat(sites[:, 1:3], len(level), axis=0), PAD_PM + z * ROW])[(z >= 0) & (z < count)]
    before, after = pivots(atoms, row, block)
    points = after + (points - before) @ matrix_of(row).T
    edge = 1e-6
    inside = ((points[:, :2] >= edge) & (points[:, :2] < block.cell_pm - edge)).all(axis=1)
    distance, match = cKDTree(100 * atoms.positions).query(points[inside])
    assert distance.max() < 1e-3 and len(set(match)) == inside.sum()
    assert len(atoms) - inside.sum() <= 2  # an atom on the edge itself


def test_fills_corners_at_45_degrees():
    block = Specimen(**WIDE)
    tilted = {"tilt_x_deg": 4.0, "rotation_deg": 45.0, "vacuum_fraction": -1.0}  # all crystal
    atoms, _ = planned(block, **slab(10, **tilted))
    side, x, y = block.cell_pm, *(100 * atoms.positions[:, :2].T)
    for corner in ((0, 0), (0, side), (side, 0), (side, side)):
        assert np.hypot(x - corner[0], y - corner[1]).min() < 200


@given(st.floats(-45, 45), st.floats(-4, 4), st.floats(-4, 4), st.floats(-2, 2), st.floats(-2, 2))
def test_neighbours_of_the_strained_lattice(rotation, tilt_x, tilt_y, strain_x, strain_y):
    """Around a Ce deep inside: four O at hypot(a/4, a/(2√2)) across planes, four in its own, each with its strain."""
    angles = {"rotation_deg": rotation, "tilt_x_deg": tilt_x, "tilt_y_deg": tilt_y}
    strains = {"strain_x_percent": strain_x, "strain_y_percent": strain_y}
    atoms, _ = planned(Specimen(**WIDE), **slab(8, **angles, **strains))
    positions = 100 * atoms.positions
    middle = np.array([*positions[:, :2].mean(0), positions[:, 2].mean()])
    ce = positions[atoms.numbers == 58]
    chosen = ce[np.linalg.norm(ce - middle, axis=1).argsort()[:3]]
    along, across = A / 4 * (1 + strain_x / 100), ROW / 2 * (1 + strain_y / 100)
    expected = np.sort([np.hypot(along, ROW / 2)] * 4 + [np.hypot(along, across)] * 4)
    for centre in chosen:
        found = np.sort(np.linalg.norm(positions[atoms.numbers == 8] - centre, axis=1))
        assert np.allclose(found[:8], expected, atol=1e-4) and found[8] > 400


@pytest.mark.parametrize("angle", ["rotation_deg", "tilt_x_deg", "tilt_y_deg", "strain_x_percent"])
@pytest.mark.parametrize("index", range(3))
def test_a_tiny_turn_changes_next_to_nothing(angle, index):
    """Terraces, rounding and every defect are the same, though the crystal is then built over a larger area."""
    straight, row = planned(EVERYTHING, index, 4, **UPRIGHT)
    turned, _ = planned(EVERYTHING, index, 4, **{**UPRIGHT, angle: 1e-7})
    low, high = EVERYTHING.margin_pm / 100, (EVERYTHING.margin_pm + EVERYTHING.field_pm) / 100
    for some, others in ((straight, turned), (turned, straight)):
        inside = ((some.positions[:, :2] > low) & (some.positions[:, :2] < high)).all(axis=1)
        distance, match = cKDTree(others.positions).query(some.positions[inside])
        assert inside.sum() > 50 and distance.max() < 1e-6
        assert np.array_equal(some.numbers[inside], others.numbers[match])
    assert row["surface"] == ("flat", "stepped", "sawtooth")[index]


@given(seeds, indices, st.floats(-45, 45), st.floats(-4, 4), st.floats(-4, 4))
def test_a_turned_crystal_is_the_same_crystal(seed, index, rotation, tilt_x, tilt_y):
    """Where both cells hold it: same terraces, ends, vacancies, though more of it has to be built."""
    angles = {"rotation_deg": rotation, "tilt_x_deg": tilt_x, "tilt_y_deg": tilt_y}
    block, edge = EVERYTHING, 1e-3
    straight, row = planned(block, index, seed, **UPRIGHT)
    turned, other = planned(block, index, seed, **{**UPRIGHT, **angles})
    back = upright_positions(turned, other, block)
    flat = upright_positions(straight, row, block)  # not tilted, but lifted where atoms were added at the entrance
    before, after = pivots(turned, other, block)
    there = after + (flat - before) @ matrix_of(other).T
    for some, others, numbers, its, place in (
        (back, flat, turned.numbers, straight.numbers, back),
        (flat, back, straight.numbers, turned.numbers, there),
    ):
        both = ((place[:, :2] > edge) & (place[:, :2] < block.cell_pm - edge)).all(axis=1)
        distance, match = cKDTree(others).query(some[both])
        assert both.sum() > 50 and distance.max() < 1e-3
        assert np.array_equal(numbers[both], its[match])


def test_terraces_go_on_where_the_turned_cell_reaches_further():
    """Left and right of the upright cell neighbouring O columns still end on different terraces."""
    block = Specimen(**{**WIDE, "field_pm": 5411}, surfaces=("stepped",), terrace_nm=(0.3, 0.4))
    changes = {"left": 0, "right": 0}
    for seed in range(6):
        atoms, row = planned(block, 0, seed, **{**UPRIGHT, "rotation_deg": 45.0, "vacuum_fraction": 0.5})
        x, y, _ = upright_positions(atoms, row, block)[atoms.numbers == 8].T
        for side, outside in (("left", -x), ("right", x - block.cell_pm)):
            near = (outside > 50) & (outside < 600)  # so wide the turned cell's corner is as high as terraces wander
            tops = [y[near & (np.abs(x - place) < 1)].max() for place in np.unique(np.round(x[near]))]
            assert len(tops) >= 2
            changes[side] += np.ptp(tops) > 1
    assert min(changes.values()) >= 3


def test_rotation_turns_counter_clockwise_with_the_surface():
    block = Specimen(**WIDE)
    atoms, row = planned(block, **slab(3, rotation_deg=30.0))
    x, y = (100 * atoms.positions[:, :2] - block.cell_pm / 2).T
    outward = -np.sin(np.radians(30)) * x + np.cos(np.radians(30)) * y  # +y turned by 30°: to the left
    line = block.margin_pm + block.field_pm * (1 - row["vacuum_fraction"]) - block.cell_pm / 2
    assert line - ROW / 2 < outward.max() <= line
    assert outward.min() < -block.cell_pm / 2
    ce = np.column_stack([x, y])[(atoms.numbers == 58)]
    tree = cKDTree(ce)
    for sign, there in ((1, True), (-1, False)):
        step = A * np.array([np.cos(np.radians(30)), sign * np.sin(np.radians(30))])
        assert (tree.query(ce[np.hypot(*ce.T) < 400] + step)[0].max() < 0.01) == there


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("rotation", [0.0, 25.0])
def test_tilt_leans_columns_towards_plus(axis, rotation):
    """Down the beam (+z) a column drifts by tan(tilt) towards +x, or +y, whatever the in-plane rotation."""
    tilt = {"tilt_x_deg": 0.0, "tilt_y_deg": 0.0, ("tilt_x_deg", "tilt_y_deg")[axis]: 3.0}
    atoms, _ = planned(Specimen(**WIDE), **slab(8, rotation_deg=rotation, **tilt))
    column = atoms.get_array("column")
    whole = np.flatnonzero(np.bincount(column) == 8)
    assert len(whole) > 20
    for one in whole:
        points = atoms.positions[column == one]
        drift = points[points[:, 2].argmax()] - points[points[:, 2].argmin()]
        assert drift[axis] / drift[2] == pytest.approx(np.tan(np.radians(3)), rel=1e-6)
        assert abs(drift[1 - axis]) < 1e-6
        assert np.linalg.norm(drift) == pytest.approx(7 * ROW / 100, rel=1e-6)


def test_the_point_at_field_centre_and_mid_height_stays():
    """A Ce atom put there is still there when the slab is strained, turned and tilted."""
    block = Specimen(**WIDE)
    middle = block.cell_pm / 2
    angles = {"rotation_deg": 20.0, "tilt_x_deg": 3.0, "tilt_y_deg": -2.0, "strain_x_percent": 1.5}
    ce_there = {"origin_x_pm": middle % A, "origin_y_pm": middle % ROW, "entrance_phase": 0.5}
    atoms, _ = planned(block, **slab(5, vacuum_fraction=-1.0, **angles, **ce_there))  # a Ce at the pivot itself
    half = 2.5 * ROW / np.cos(np.radians(np.hypot(3, 2)))
    pivot = np.array([middle, middle, atoms.info["exit_face_pm"] - half])
    found = 100 * atoms.positions[atoms.numbers == 58]
    assert np.linalg.norm(found - pivot, axis=1).min() < 1e-6


@pytest.mark.parametrize("tilt", [(0.0, 0.0), (2.5, -1.5)])
def test_exit_face_is_the_bulks_nominal_face(tilt, tmp_path):
    block = Specimen(**WIDE)
    atoms, row = planned(block, **slab(6, tilt_x_deg=tilt[0], tilt_y_deg=tilt[1]))
    straight = upright_positions(atoms, row, block)
    last = straight[:, 2] > straight[:, 2].max() - 1  # the last plane, some way above the nominal face
    above = 200 + 6 * ROW - straight[last, 2].mean()
    x, y, z = 100 * atoms.positions[last].T
    fit = np.linalg.lstsq(np.column_stack([x - block.cell_pm / 2, y - block.cell_pm / 2, np.ones_like(x)]), z)[0]
    steepness = np.cos(np.radians(np.hypot(*tilt)))
    assert atoms.info["exit_face_pm"] == pytest.approx(fit[2] + above / steepness, abs=1e-3)
    assert (0 < above < ROW / 2) and (tilt == (0, 0)) == (fit[2] == pytest.approx(z.max(), abs=1e-6))
    if tilt == (0, 0):
        assert atoms.info["exit_face_pm"] == pytest.approx(200 + 6 * ROW)
    ase.io.write(tmp_path / "a.extxyz", atoms, format="extxyz")
    again = ase.io.read(tmp_path / "a.extxyz")
    assert again.info["exit_face_pm"] == atoms.info["exit_face_pm"] and again.info["id"] == atoms.info["id"]


def test_columns_cut_by_the_cells_edge_lie_outside_all_labels():
    """At the least margin that is allowed each column that labels may ask for is whole; at half of it some is not."""
    least = 9 * ROW * np.sin(np.radians(4)) + 360
    block = Specimen(**{**SMALL, "margin_pm": round(least + 0.5)}, tilt_deg=(4, 4), bulk_atoms=(10, 10))
    tight = block.model_copy(update={"margin_pm": least / 2})
    for azimuth in np.radians([0, 90, 180, 270, 33, 215]):
        tilt = {"tilt_x_deg": 4 * np.cos(azimuth), "tilt_y_deg": 4 * np.sin(azimuth), "vacuum_fraction": -2.0}
        whole, cut = (planned(b, **slab(10, **tilt))[0] for b in (block, tight))
        near = column_table(whole, block.margin_pm, block.field_pm, 360)
        assert set(near["atoms"]) == {10}
        assert column_table(whole, 0, block.cell_pm)["atoms"].min() < 10
        assert column_table(cut, tight.margin_pm, tight.field_pm, 360)["atoms"].min() < 10


# faces


@given(st.floats(3, 10), st.floats(1, 3), st.floats(0, 1), st.floats(100, 5e4), st.floats(100, 5e4), st.floats(0, 1e5))
def test_faces_keep_the_surfaces_thickness_and_stay_within_the_bulk(bulk, surface, share, decay, exit_decay, distance):
    d = np.array([0, distance, 1e7])
    entrance, exit_ = faces(d, bulk, surface, share, decay, exit_decay)
    thickness = exit_ - entrance
    assert thickness[0] == pytest.approx(surface) and thickness[2] == pytest.approx(bulk)
    assert (thickness <= bulk + 1e-9).all() and (thickness >= surface - 1e-9).all()
    lost = bulk - surface
    assert entrance == pytest.approx((1 - share) * lost * np.exp(-d / decay), abs=1e-9)
    assert bulk - exit_ == pytest.approx(share * lost * np.exp(-d / exit_decay), abs=1e-9)


def test_each_face_has_its_own_slope():
    """Entrance gone within 0.3 nm, exit fading over 3 nm: read from the ends of the columns."""
    block = Specimen(crystal="ceria", missing_probability=0)
    shape = slab(10, surface_atoms=2, exit_fraction=0.5, decay_pm=300.0, exit_decay_pm=3000.0)
    atoms, row = planned(block, **shape)
    line = block.margin_pm + block.field_pm * 0.7
    column, z = atoms.get_array("column"), (100 * atoms.positions[:, 2] - PAD_PM) / ROW
    ids, first = np.unique(column, return_index=True)
    depth = line - 100 * atoms.positions[first, 1]
    low, high = (np.array([end(z[column == one]) for one in ids]) for end in (np.min, np.max))
    removed = 4 * np.exp(-depth / 300), 4 * np.exp(-depth / 3000)
    assert ((low - removed[0] >= -1e-9) & (low - removed[0] < 1)).all()
    assert ((10 - removed[1] - high > -1e-9) & (10 - removed[1] - high <= 1 + 1e-9)).all()
    assert high[(depth > 1500) & (depth < 2500)].max() < 9 and low[depth > 1500].max() < 1.1
    same, _ = planned(block, **{**shape, "exit_decay_pm": 300.0})
    assert len(same) > len(atoms) + 300


@given(seeds, indices)
def test_mirrored_plan_gives_the_mirrored_wedge(seed, index):
    """Entrance and exit change places: shares, decays and the phase of the lattice with them."""
    block = Specimen(**SMALL, exit_decay_nm=(0.3, 2), structures=1000)
    atoms, row = planned(block, index, seed)
    swapped = {
        "exit_fraction": 1 - row["exit_fraction"],
        "decay_pm": row["exit_decay_pm"],
        "exit_decay_pm": row["decay_pm"],
        "entrance_phase": (1 - row["entrance_phase"]) % 1,
    }
    mirrored, _ = planned(block, index, seed, **swapped)
    expected = atoms.positions * [1, 1, -1] + [0, 0, (2 * PAD_PM + row["bulk_atoms"] * ROW) / 100]
    assert len(mirrored) == len(atoms)
    assert cKDTree(mirrored.positions).query(expected)[0].max() < 1e-6
    assert row["decay_pm"] != row["exit_decay_pm"] and np.ptp(atoms.positions[:, 2]) > 3


# surfaces


@pytest.mark.parametrize("height", [100.0, 300.0, 500.0, 900.0])
def test_rounded_step_is_an_arc_above_and_one_below(height):
    """A wall of height h < 2 r at x = 0. From below, a disc reaches to the upper terrace until it touches the wall, or
    the wall's foot if h < r. From above, a disc rests on the lower terrace and on the first: centres 2 r apart."""
    radius = 500.0
    x = np.linspace(-1500, 1500, 751)
    found = rounded(lambda x: np.where(x < 0, height, 0.0), x, radius)
    below = -np.sqrt(radius**2 - max(radius - height, 0) ** 2)  # centre of the disc below: (below, height - radius)
    above = below + np.sqrt(4 * radius**2 - (2 * radius - height) ** 2)  # centre of the disc above: (above, radius)
    contact = (below + above) / 2
    arc = height - radius + np.sqrt(np.maximum(radius**2 - (x - below) ** 2, 0))
    fillet = radius - np.sqrt(np.maximum(radius**2 - (x - above) ** 2, 0))
    expected = np.select([x < below, x < contact, x < above], [height, arc, fillet], 0.0)
    steep = np.abs(np.gradient(expected, x)) > 3  # there the sampled wall is 4 pm wide
    assert np.abs(found - expected)[~steep].max() < 12 and steep.sum() < 20
    assert np.abs(np.diff(found)).max() < height / 2 or height > 800  # the wall was one step of the whole height
    assert (np.diff(found) <= 1e-9).all()


@pytest.mark.parametrize("radius", [100.0, 400.0])
def test_rounded_teeth_lose_their_tips(radius):
    """A circle between two facets of slope tan α touches them r sin α from the tip and stays r (1/cos α - 1) below."""
    block = Specimen(crystal="ceria", sawtooth_period_nm=(2.0, 2.0))
    x = np.linspace(0, 6000, 3001)
    sharp, round_ = (
        surface_line("sawtooth", x, 6000, block, CERIA, np.random.default_rng(3), None, r) for r in (0.0, radius)
    )
    lost = radius * (np.sqrt(1 + FACET_SLOPE**2) - 1)
    assert sharp.max() - round_.max() == pytest.approx(lost, abs=3)
    assert round_.min() - sharp.min() == pytest.approx(lost, abs=3)
    reach = radius * np.sin(np.arctan(FACET_SLOPE)) + 2 * SAMPLE_PM
    tips = np.abs(np.abs(sharp) - FACET_SLOPE * 500) < FACET_SLOPE * reach
    assert np.allclose(round_[~tips], sharp[~tips], atol=1e-6) and (~tips).mean() > 0.3
    slope = np.diff(round_) / np.diff(x)
    sharpest = np.abs(np.diff(slope)).max() / 2
    assert sharpest < 4 * (1 + FACET_SLOPE**2) ** 1.5 / radius + 0.02  # of a tip: 2 * 0.7 / 2 pm


@given(seeds, st.sampled_from(["flat", "stepped", "sawtooth"]), st.floats(0, 800))
def test_rounding_does_not_depend_on_the_stretch_asked_for(seed, kind, radius):
    """The ends too: a piece of the line is that piece of a longer one, terraces beyond the cell included."""
    block = Specimen(crystal="ceria", step_rows=(1, 2, 4))
    pieces = []
    for x in (np.arange(0.0, 3000, 7), np.arange(-1400.0, 5600, 7), np.arange(700.0, 2100, 7)):
        beyond = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])
        pieces.append(surface_line(kind, x, 3000, block, CERIA, np.random.default_rng(seed), beyond, radius))
    assert np.allclose(pieces[1][200 : 200 + len(pieces[0])], pieces[0], atol=1e-9)
    assert np.allclose(pieces[1][300:500], pieces[2], atol=1e-9)
    assert (np.ptp(pieces[1]) > 0) == (kind != "flat")


@given(seeds, st.floats(-180, 180), st.floats(0, 60))
def test_tilt_leans_towards_its_azimuth(seed, first, width):
    block = Specimen(crystal="ceria", tilt_deg=(1.5, 1.6), tilt_azimuth_deg=(first, first + width))
    row = plan_row(block, CERIA, "w", 3, seed)
    assert 1.499 < np.hypot(row["tilt_x_deg"], row["tilt_y_deg"]) < 1.601
    azimuth = np.degrees(np.arctan2(row["tilt_y_deg"], row["tilt_x_deg"]))
    assert -0.01 <= (azimuth - first + 0.005) % 360 <= width + 0.02
    free = plan_row(block.model_copy(update={"tilt_azimuth_deg": (0.0, 360.0)}), CERIA, "w", 3, seed)
    assert {k: v for k, v in row.items() if not k.startswith("tilt")} == {
        k: v for k, v in free.items() if not k.startswith("tilt")
    }


def test_a_radius_of_nothing_is_the_line_itself():
    x = np.linspace(0, 3000, 1000)
    lines = [stepped(x, 3000, EVERYTHING, CERIA.row_pm, np.random.default_rng(1)) for _ in range(2)]
    assert np.array_equal(lines[0], rounded(lambda _: lines[1], x, 0.0)) and np.ptp(lines[0]) > 0


@pytest.mark.parametrize("allowed", [(1,), (2,), (1, 3), (4,)])
def test_steps_are_the_heights_that_are_allowed(allowed):
    block, x = Specimen(crystal="ceria", step_rows=allowed), np.linspace(-4000, 10_000, 7001)
    seen = set()
    for seed in range(20):
        beyond = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])
        layers = stepped(x, 6000, block, CERIA.row_pm, np.random.default_rng(seed), beyond) / (ROW / 2)
        assert np.abs(layers).max() <= 4 + 1e-9
        steps = np.abs(np.diff(np.round(layers)))
        seen |= set(steps[steps > 0])
        widths = np.diff(x[1:][steps > 0])
        assert (widths >= 600 - 4).all() and (widths <= 2000 + 4).all() and len(widths) >= 6
    assert seen == set(allowed)


def test_rounded_crystal_loses_its_tips_and_fills_its_valleys():
    block = Specimen(**{**SMALL, "field_pm": 5411, "margin_pm": 676.375}, sawtooth_period_nm=(2, 2))
    shape = {"surface": "sawtooth", "bulk_atoms": 3, "surface_atoms": 3}
    sharp, smooth = (planned(block, **shape, corner_radius_pm=r)[0] for r in (0.0, 900.0))
    places = [np.unique(np.round(100 * atoms.positions[:, :2], 2), axis=0) for atoms in (sharp, smooth)]
    gone, new = (
        one[cKDTree(other).query(one)[0] > 1] for one, other in ((places[0], places[1]), (places[1], places[0]))
    )
    assert len(gone) > 3 and len(new) > 3
    assert gone[:, 1].min() > new[:, 1].max()


# terminations


def bonds(atoms, row, block) -> tuple[np.ndarray, np.ndarray]:
    """Ce columns beside each O column and O columns beside each Ce column, away from the cell's edges."""
    means, number, _ = recounted(atoms, row, block)
    ce, o = means[number == 58], means[number == 8]
    limit = 1.03 * np.hypot(A / 4, ROW / 2)
    inner = [((p > 300) & (p < block.cell_pm - 300)).all(axis=1) for p in (ce, o)]
    apart = np.linalg.norm(ce[:, None] - o[None], axis=-1) < limit
    return apart.sum(axis=0)[inner[1]], apart.sum(axis=1)[inner[0]]


@given(seeds, indices, st.floats(-45, 45), st.sampled_from([0.0, 300.0]))
def test_terminations(seed, index, rotation, radius):
    block = Specimen(**WIDE, structures=1000)
    found, ce_columns = {}, []
    for kind in ("cut", "Ce", "O"):
        atoms, row = planned(block, index, seed, termination=kind, rotation_deg=rotation, corner_radius_pm=radius)
        found[kind] = bonds(atoms, row, block)
        ce_columns.append({tuple(p) for p in np.round(atoms.positions[atoms.numbers == 58], 5)})
    assert ce_columns[0] == ce_columns[1] == ce_columns[2]
    assert (found["Ce"][0] == 3).all() and found["Ce"][1].min() < 6
    assert (found["O"][1] == 6).all() and 1 <= found["O"][0].min() < 3
    assert found["cut"][0].min() < 3 or found["cut"][1].min() < 6
    assert len(found["Ce"][0]) < len(found["O"][0])


def test_a_cut_may_leave_both_under_coordinated():
    """So that the test above could fail: over some structures, plain cuts break both rules."""
    block = Specimen(**WIDE, structures=1000)
    under = np.array([[b.min() for b in bonds(*planned(block, i), block)] for i in range(12)])
    assert (under[:, 0] < 3).any() and (under[:, 1] < 6).any()


def test_upright_terminations_reach_to_the_cells_edge():
    """The sides of the cell are no surface: along x the outermost columns stay."""
    block = Specimen(**WIDE)
    for kind in ("Ce", "O"):
        cut, _ = planned(block, **slab(3))
        ended, _ = planned(block, **slab(3, termination=kind))
        deep = [a.positions[a.positions[:, 1] < 9] for a in (cut, ended)]
        assert {tuple(p) for p in np.round(deep[0], 5)} == {tuple(p) for p in np.round(deep[1], 5)}
        assert len(cut) != len(ended)


# defects


def test_vacancies_are_oxygen_and_of_the_right_share():
    block = Specimen(**{**WIDE, "field_pm": 5411})
    full, _ = planned(block, **slab(10))
    less, _ = planned(block, **slab(10, vacancy_fraction=0.1))
    assert (less.numbers == 58).sum() == (full.numbers == 58).sum()
    sites, left = (int((a.numbers == 8).sum()) for a in (full, less))
    assert 1e-4 < binom.cdf(sites - left, sites, 0.1) < 1 - 1e-4
    assert cKDTree(full.positions).query(less.positions)[0].max() < 1e-9
    counts = np.bincount(less.get_array("column")[less.numbers == 8])
    per_column = np.bincount(counts[counts > 0], minlength=11)[4:11]
    expected = binom.pmf(np.arange(4, 11), 10, 0.9)
    assert chisquare(per_column[2:], expected[2:] * per_column[2:].sum() / expected[2:].sum()).pvalue > 1e-4


def test_vacancies_gather_at_the_surface():
    """p (1 + (f - 1) exp(-d/reach)), clipped to 1: bin by bin below a flat surface."""
    share, factor, reach = 0.05, 8.0, 700.0
    block = Specimen(
        **{**WIDE, "field_pm": 5411}, vacancy_surface_enrichment=factor, vacancy_reach_nm=reach / 1000, structures=9
    )
    line = block.margin_pm + block.field_pm * 0.7
    sites, gone = np.zeros(12), np.zeros(12)
    expected = np.zeros(12)
    for index in range(3):
        full, _ = planned(block, index, **slab(10))
        less, _ = planned(block, index, **slab(10, vacancy_fraction=share))
        present = cKDTree(less.positions).query(full.positions)[0] < 1e-6
        oxygen = full.numbers == 8
        depth = line - 100 * full.positions[oxygen, 1]
        slot = np.minimum(depth // 200, 11).astype(int)
        sites += np.bincount(slot, minlength=12)
        gone += np.bincount(slot, ~present[oxygen], minlength=12)
        expected += np.bincount(slot, share * (1 + (factor - 1) * np.exp(-depth / reach)), minlength=12)
        assert present[~oxygen].all()
    spread = np.sqrt(expected * (1 - expected / sites))
    assert (np.abs(gone - expected) < 4 * spread).all()
    assert gone[0] / sites[0] > 5 * gone[11] / sites[11]


def test_columns_that_lost_every_atom_are_no_columns():
    """At p f >= 1 no oxygen is left at the surface: no row in the table, background in the map."""
    block = Specimen(**WIDE, vacancy_surface_enrichment=20, vacancy_reach_nm=0.1)
    atoms, row = planned(block, **slab(4, vacancy_fraction=0.3, vacuum_fraction=0.3, origin_y_pm=30.0))
    line = block.margin_pm + block.field_pm * 0.7
    full, _ = planned(block, **slab(4, origin_y_pm=30.0))
    depth = [line - 100 * a.positions[a.numbers == 8, 1] for a in (full, atoms)]
    assert depth[0].min() < 170 and depth[1].min() > 170
    labels = RINGS.model_copy(update={"pixel_pm": block.field_pm / 64})
    maps, table = depth_maps(atoms, labels, block.margin_pm, block.field_pm)
    assert table["atoms"].min() >= 1
    missing = 100 * full.positions[(full.numbers == 8) & (line - 100 * full.positions[:, 1] < 170), :2]
    means, number, _ = recounted(atoms, row, block)
    for x, y in np.unique(np.round(missing, 3), axis=0):
        i, j = (int((v - block.margin_pm) / labels.pixel_pm) for v in (y, x))
        if 0 <= i < 64 and 0 <= j < 64:
            centre = block.margin_pm + (np.array([j, i]) + 0.5) * labels.pixel_pm
            near = np.linalg.norm(means - centre, axis=1)
            if near.min() > 120:
                assert maps["depth"][i, j] == 0


def test_atoms_are_added_near_the_surface_only():
    block = Specimen(**{**WIDE, "field_pm": 5411}, added_probability=0.3)
    bare = block.model_copy(update={"added_probability": 0.0})
    shape = slab(8, surface_atoms=4, decay_pm=50_000.0, exit_decay_pm=50_000.0, exit_fraction=0.4)
    (before, _), (after, _) = planned(bare, **shape), planned(block, **shape)
    line = block.margin_pm + block.field_pm * 0.7
    tables = [column_table(a, 0, block.cell_pm).set_index("column") for a in (before, after)]
    both = tables[1].join(tables[0], rsuffix="_before", how="outer").fillna({"atoms_before": 0})
    gain, depth = both["atoms"] - both["atoms_before"], line - both["y_pm"]
    assert set(gain) == {0, 1}
    near = (depth >= 0) & (depth < 600)
    assert gain[near].mean() == pytest.approx(0.3, abs=0.12) and not gain[depth >= 600].any()
    beyond = both[depth < 0]
    assert (beyond["atoms"] == 1).all() and (depth[depth < 0] >= -ROW / 2).all() and len(beyond) > 5
    # an adatom sits at the entrance or exit end of the slab beside it (2.4 … 6.4), and columns grow at both ends
    first = after.positions[np.isin(after.get_array("column"), beyond.index), 2]
    height = (100 * first - PAD_PM) / ROW
    assert ((height >= 2.4) & (height < 6.4)).all() and ((height < 3.4) | (height >= 5.4)).all()
    assert (height < 3.4).any() and (height >= 5.4).any()
    spans = []
    for atoms in (before, after):
        z, column = atoms.positions[:, 2], atoms.get_array("column")
        spans.append({c: (z[column == c].min(), z[column == c].max()) for c in np.unique(column)})
    grown = [c for c in spans[0] if spans[0][c] != spans[1][c]]
    lower = sum(spans[1][c][0] < spans[0][c][0] for c in grown)
    assert 0.2 < lower / len(grown) < 0.8 and len(grown) > 15


def test_added_atoms_never_make_eleven():
    block = Specimen(**WIDE, added_probability=0.5, missing_reach_nm=5)
    atoms, _ = planned(block, **slab(10))
    counts = np.bincount(atoms.get_array("column"))
    inside = np.unique(atoms.get_array("column"))
    assert set(counts[inside]) == {1, 10}  # adatoms above, ten below
    nine, _ = planned(block, **slab(9))
    assert {9, 10} <= set(np.bincount(nine.get_array("column")))
    assert 100 * nine.positions[:, 2].min() >= PAD_PM - 1e-6
    assert 100 * (nine.cell.lengths()[2] - nine.positions[:, 2].max()) >= PAD_PM - 1e-6


def test_counts_are_shifted_independently_and_evenly():
    """Five atoms in a bulk of ten: all of 3 … 7 as often, at either end, without regard to the neighbour."""
    block = Specimen(**{**WIDE, "field_pm": 5411}, count_shift_atoms=2)
    shape = slab(10, surface_atoms=5, decay_pm=1e9, exit_decay_pm=1e9, exit_fraction=0.5)
    atoms, _ = planned(block, **shape)
    table = column_table(atoms, 0, block.cell_pm)
    found = np.bincount(table["atoms"], minlength=11)
    assert found[3:8].sum() == len(table) > 800 and chisquare(found[3:8]).pvalue > 1e-3
    places = table[["x_pm", "y_pm"]].to_numpy()
    neighbour = cKDTree(places).query(places, k=2)[1][:, 1]
    assert abs(np.corrcoef(table["atoms"], table["atoms"].to_numpy()[neighbour])[0, 1]) < 0.12
    straight, _ = planned(block.model_copy(update={"count_shift_atoms": 0}), **shape)
    ends = []
    for a in (straight, atoms):
        column, z = a.get_array("column"), a.positions[:, 2]
        ends.append(np.array([(z[column == c].min(), z[column == c].max()) for c in np.unique(column)]))
    moved = np.abs(ends[1] - ends[0]) > 1e-6
    assert not moved.all(axis=1).any() and moved[:, 0].mean() == pytest.approx(0.4, abs=0.06)
    assert moved[:, 1].mean() == pytest.approx(0.4, abs=0.06)


def test_shifted_counts_are_clipped_to_one_and_ten():
    block = Specimen(**{**WIDE, "field_pm": 5411}, count_shift_atoms=2)
    even = dict.fromkeys(range(4, 9), 0.2)
    for bulk, chance in ((6, even), (2, {1: 0.4, 2: 0.2, 3: 0.2, 4: 0.2}), (9, {7: 0.2, 8: 0.2, 9: 0.2, 10: 0.4})):
        counts = column_table(planned(block, **slab(bulk))[0], 0, block.cell_pm)["atoms"]
        assert {n: (counts == n).mean() for n in set(counts)} == pytest.approx(chance, abs=0.06)


def test_one_defect_does_not_move_another():
    """Switching vacancies on leaves added and missing atoms where they were, and so on."""
    base = {**WIDE, "missing_probability": 0.3, "added_probability": 0.3}
    first, row = planned(Specimen(**base), 1)
    others = {"vacancy_fraction": 0.1}
    second, _ = planned(Specimen(**base), 1, **others)
    ce = [a.positions[a.numbers == 58] for a in (first, second)]
    assert np.array_equal(*ce) and len(second) < len(first)


# plan and configuration


def test_default_structures_are_what_they_always_were():
    """Bits of the first release, to 0.1 pm: a new option that is off must not move an atom."""
    digest = hashlib.sha256()
    block = Specimen(crystal="ceria", structures=7)
    for index in range(3):
        atoms = build_wedge(plan_row(block, CERIA, "wedge", index, 0), block, CERIA, "wedge", 0)
        places = np.floor(1000 * atoms.positions + GOLDEN_OFFSET).astype("<i8")
        digest.update(np.column_stack([places, atoms.numbers, atoms.get_array("column")]).astype("<i8").tobytes())
    assert digest.hexdigest()[:16] == GOLDEN


@given(seeds, indices)
def test_options_leave_the_rest_of_the_plan_alone(seed, index):
    plain = Specimen(crystal="ceria", structures=1000)
    rich = Specimen(crystal="ceria", 
        structures=1000, corner_radius_nm=(0.1, 1), exit_decay_nm=(0.3, 2), terminations=("Ce", "O"),
        vacancy_fraction=(0.01, 0.2), rotation_deg=(5, 9), strain_percent=(-2, -1), tilt_deg=(1, 4),
    )  # fmt: skip
    bare, full = (plan_row(block, CERIA, "t", index, seed) for block in (plain, rich))
    new = [
        "corner_radius_pm", "exit_decay_pm", "termination", "vacancy_fraction", "rotation_deg",
        "strain_x_percent", "strain_y_percent", "tilt_x_deg", "tilt_y_deg",
    ]  # fmt: skip
    first = list(full).index(new[0])
    assert list(bare) == list(full) and list(full)[first : first + 9] == new
    assert {k: v for k, v in bare.items() if k not in new} == {k: v for k, v in full.items() if k not in new}
    assert [bare[k] for k in new] == [0, bare["decay_pm"], "cut", 0, 0, 0, 0, 0, 0]
    assert 100 <= full["corner_radius_pm"] <= 1000 and 300 <= full["exit_decay_pm"] <= 2000
    assert full["termination"] in ("Ce", "O") and 0.01 <= full["vacancy_fraction"] <= 0.2
    assert 5 <= full["rotation_deg"] <= 9 and 1 - 1e-3 <= np.hypot(full["tilt_x_deg"], full["tilt_y_deg"]) <= 4 + 1e-3
    assert all(-2 <= full[f"strain_{axis}_percent"] <= -1 for axis in "xy")
    assert full["strain_x_percent"] != full["strain_y_percent"]


def test_tilts_point_everywhere_and_terminations_are_mixed():
    rows = [plan_row(EVERYTHING, CERIA, "t", index, 0) for index in range(600)]
    azimuth = np.arctan2([r["tilt_y_deg"] for r in rows], [r["tilt_x_deg"] for r in rows])
    assert chisquare(np.histogram(azimuth, 8, (-np.pi, np.pi))[0]).pvalue > 1e-3
    magnitude = np.hypot([r["tilt_y_deg"] for r in rows], [r["tilt_x_deg"] for r in rows])
    assert chisquare(np.histogram(magnitude, 8, (0, 4))[0]).pvalue > 1e-3
    kinds = [[r["termination"] for r in rows].count(kind) for kind in ("cut", "Ce", "O")]
    assert chisquare(kinds).pvalue > 1e-3


@pytest.mark.parametrize(("surface_atoms", "whole"), [((1, 3), [1, 2, 3]), ((1.5, 4.2), [2, 3, 4])])
def test_balanced_crystals_are_even_in_each_value_alone(surface_atoms, whole):
    """Every part of a range has as many structures, to three of 720: they are spread, not drawn."""
    block = Specimen(crystal="ceria", structures=720, balanced_counts=True, surface_atoms=surface_atoms)
    rows = [plan_row(block, CERIA, "t", index, 3) for index in range(block.structures)]
    bulk, surface, decay = (np.array([row[key] for row in rows]) for key in ("bulk_atoms", "surface_atoms", "decay_pm"))
    assert set(surface) == set(whole) and set(bulk) == set(range(3, 11))
    for values, bins in ((surface, [*whole, 9]), (bulk, np.arange(3, 12)), (decay, np.linspace(500, 4000, 9))):
        found = np.histogram(values, bins)[0]
        assert found.sum() == 720 and np.abs(found - 720 / len(found)).max() <= 3
    order = np.lexsort((-decay, bulk))
    assert (np.diff(decay[order]) <= 0).all() and (np.diff(surface[order]) >= 0).all()  # thick ones thicken fast
    assert decay.max() > 3990 and decay.min() < 510


def test_balance_moves_no_other_value():
    plain, balanced = (
        plan_row(Specimen(crystal="ceria", balanced_counts=on), CERIA, "t", 5, 1) for on in (False, True)
    )
    assert {key for key in plain if plain[key] != balanced[key]} == {"surface_atoms", "decay_pm", "exit_decay_pm"}


def test_every_count_has_its_share_of_the_benchmarks_columns():
    preset, name = read_yaml(ROOT / "workflow" / "presets" / "benchmarks.yaml"), "benchmark_smooth"
    root_seed = read_yaml(ROOT / "config.yaml")["root_seed"]
    block = validate(Specimen, preset["specimens"][name])
    assert preset["datasets"][name]["specimen"] == name and block.balanced_counts
    found = np.zeros(RINGS.classes, int)
    for index in range(block.structures):
        atoms = build_wedge(plan_row(block, CERIA, name, index, root_seed), block, CERIA, name, root_seed)
        counts = column_table(atoms, block.margin_pm, block.field_pm)["atoms"]
        found += np.bincount(counts, minlength=RINGS.classes)
    assert found.sum() > 30_000 and found[0] == 0
    assert (found[1:] / found.sum()).min() >= 0.05


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("rotation_deg", [-80, 8], ["rotation_deg.0: got -80", "-45"]),
        ("strain_percent", [0.9, 9], ["strain_percent.1: got 9", "2"]),
        ("tilt_deg", [0, 17], ["tilt_deg.1: got 17", "4"]),
        ("tilt_deg", [-1, 1], ["tilt_deg.0: got -1", "0"]),
        ("tilt_deg", 2, ["tilt_deg"]),
        ("vacancy_fraction", [0, 8], ["vacancy_fraction.1: got 8", "0.3"]),
        ("vacancy_fraction", [0.2, 0.1], ["vacancy_fraction", "low not above high"]),
        ("vacancy_surface_enrichment", 0, ["vacancy_surface_enrichment: got 0", "1"]),
        ("vacancy_reach_nm", 500, ["vacancy_reach_nm: got 500", "5"]),
        ("corner_radius_nm", [0, 500], ["corner_radius_nm.1: got 500", "3"]),
        ("exit_decay_nm", [0, 1], ["exit_decay_nm.0: got 0", "0.1"]),
        ("terminations", ["zirconium"], ["terminations.0", "got 'zirconium'"]),
        ("terminations", [], ["terminations", "at least 1"]),
        ("step_rows", [5], ["step_rows.0: got 5", "4"]),
        ("step_rows", [0.5], ["step_rows.0: got 0.5", "integer"]),
        ("added_probability", 5, ["added_probability: got 5", "0.5"]),
        ("count_shift_atoms", 4, ["count_shift_atoms: got 4", "3"]),
        ("count_shift_atoms", True, ["count_shift_atoms", "boolean"]),
    ],
)
def test_wrong_values_are_told_in_one_line(key, value, told):
    with pytest.raises(ConfigError) as refused:
        validate(Specimen, {"crystal": "ceria", key: value}, "specimens.real")
    message = str(refused.value)
    assert len(message.splitlines()) == 1 and all(part in message for part in told), message


def test_a_margin_too_narrow_for_the_tilt_is_refused():
    """Ten atoms at 4° smear over 9 · 382.6 pm · sin 4° = 240 pm; 360 pm is the labels' longest reach."""

    def check(**keys) -> None:
        check_specimen("specimens.real", Specimen(crystal="ceria", **keys), CERIA)

    told = "specimens.real.margin_pm: got 500; a column of 10 atoms.*smears over 240 pm.*600 is needed"
    with pytest.raises(ConfigError, match=told):
        check(margin_pm=500, tilt_deg=(0, 4))
    check(margin_pm=500, tilt_deg=(0, 2))
    check(margin_pm=500, tilt_deg=(0, 4), bulk_atoms=(2, 6))
    check(tilt_deg=(0, 4))
    assert Specimen(crystal="ceria").margin_pm == 676.375


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"terminations": ("cut", "Zr")}, "specimens.real.terminations: got 'Zr'.*allowed are cut, Ce, O"),
        ({"vacancy_element": "Ti"}, r"specimens.real.vacancy_element: got 'Ti'; CeO2 \[110\] has Ce, O"),
    ],
)
def test_elements_that_the_crystal_lacks_are_refused_in_one_line(keys, told):
    with pytest.raises(ConfigError, match=told):
        check_specimen("specimens.real", Specimen(crystal="ceria", **keys), CERIA)


@pytest.mark.parametrize(
    ("keys", "most"),
    [
        ({}, 10),
        ({"count_shift_atoms": 2, "bulk_atoms": (3, 7)}, 9),
        ({"count_shift_atoms": 2, "added_probability": 0.1, "bulk_atoms": (3, 8)}, 10),
        ({"bulk_atoms": (3, 14), "added_probability": 0.1}, 14),
        ({"bulk_atoms": (3, 14), "added_probability": 0.1, "thickest_atoms": 20}, 15),
    ],
)
def test_thickest_column(keys, most):
    """What the checks promise, and what is built does not pass it."""
    block = Specimen(**(WIDE | keys), structures=100)
    assert thickest_column(block, CERIA) == most
    thick = slab(block.bulk_atoms[1])
    counts = [column_table(planned(block, index, **thick)[0], 0, block.cell_pm)["atoms"].max() for index in range(5)]
    assert max(counts) == most


def test_thicker_crystals_keep_their_atoms_when_counts_are_shifted():
    """Fourteen atoms are more than thickest_atoms; a shift takes some away and never adds, nor cuts them to ten."""
    block = Specimen(**WIDE, count_shift_atoms=2)
    counts = column_table(planned(block, **slab(14))[0], 0, block.cell_pm)["atoms"]
    assert set(counts) == {12, 13, 14}


def test_vacancies_of_the_heavy_element():
    block = Specimen(**WIDE, vacancy_element="Ce")
    full, _ = planned(block, **slab(10))
    less, _ = planned(block, **slab(10, vacancy_fraction=0.1))
    assert (less.numbers == 8).sum() == (full.numbers == 8).sum()
    sites, left = (int((a.numbers == 58).sum()) for a in (full, less))
    assert 1e-4 < binom.cdf(sites - left, sites, 0.1) < 1 - 1e-4
