"""Specimens of a crystal with mixed columns, and with columns that hold more than one counted atom a period.

Sites are listed from the cubic cell of SrTiO3, turned by matrices that are written out.
"""

from __future__ import annotations

import numpy as np
import pytest
from conftest import SMALL, TITANATE, TITANATE_BLOCK
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.stats import binom

from segdepth.config import Labels, Specimen
from segdepth.crystals import Crystal, load_crystal
from segdepth.labels.depth import depth_maps
from segdepth.specimen.columns import column_table
from segdepth.specimen.frame_facts import FrameFacts
from segdepth.specimen.plan import plan_row
from segdepth.specimen.wedge import PAD_PM, build_wedge

B = 390.5
SR, TI, OX = 38, 22, 8
CELL = [(SR, 0, 0, 0), (TI, 0.5, 0.5, 0.5), (OX, 0.5, 0.5, 0), (OX, 0.5, 0, 0.5), (OX, 0, 0.5, 0.5)]
ALONG_110 = load_crystal(TITANATE_BLOCK.model_copy(update={"zone_axis": (1, 1, 0), "x_axis": (0, 0, 1)}), "t")
AXES = {  # rows: the image's x, its y and the beam
    "001": np.eye(3),
    "110": np.array([[0, 0, 1], [1 / np.sqrt(2), -1 / np.sqrt(2), 0], [1 / np.sqrt(2), 1 / np.sqrt(2), 0]]),
}
CRYSTALS = {"001": TITANATE, "110": ALONG_110}
WIDE = {**SMALL, "crystal": "titanate", "margin_pm": 676.375}
seeds = st.integers(0, 2**40)


def planned(block: Specimen, crystal: Crystal = TITANATE, index: int = 0, seed: int = 0, **changes) -> tuple:
    row = {**plan_row(block, crystal, "t", index, seed), **changes}
    return build_wedge(row, block, crystal, "t", seed), row


def slab(count: float = 6, **changes) -> dict:
    return {"surface": "flat", "bulk_atoms": count, "surface_atoms": count, "vacuum_fraction": 0.3} | changes


def sites(row, axes: np.ndarray, side: float, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers and positions (pm) of the endless crystal in and around a box."""
    reach = int(np.ceil((side + height) / B)) + 4
    shift = np.stack(np.meshgrid(*[np.arange(-reach, reach)] * 3, indexing="ij"), -1).reshape(-1, 3)
    numbers = np.repeat([atom[0] for atom in CELL], len(shift))
    places = np.concatenate([(shift + atom[1:]) * B for atom in CELL]) @ axes.T
    period = CRYSTALS["001" if axes[2, 2] == 1 else "110"].periods_pm[2]
    places += [row["origin_x_pm"], row["origin_y_pm"], PAD_PM + row["entrance_phase"] * period]
    near = ((places > -300) & (places < [side + 300, side + 300, height + 300])).all(axis=1)
    return numbers[near], places[near]


@pytest.mark.parametrize("zone", ["001", "110"])
@given(seed=seeds, count=st.integers(2, 6))
def test_a_slab_has_the_crystals_sites(zone, seed, count):
    """Each atom stands on a site of its element, no site twice; inside the slab's middle none is lacking."""
    block, crystal = Specimen(**WIDE), CRYSTALS[zone]
    atoms, row = planned(block, crystal, seed=seed, **slab(count))
    height = count * crystal.periods_pm[2]
    numbers, places = sites(row, AXES[zone], block.cell_pm, height + 2 * PAD_PM)
    positions = 100 * atoms.positions
    distance, site = cKDTree(places).query(positions)
    assert distance.max() < 1e-3 and np.array_equal(numbers[site], atoms.numbers) and len(set(site)) == len(site)
    line = block.margin_pm + block.field_pm * 0.7
    inside = ((places > 1) & (places < [block.cell_pm - 1, line - 1, np.inf])).all(axis=1)
    inside &= (places[:, 2] > PAD_PM + B) & (places[:, 2] < PAD_PM + height - B / 2)
    assert inside.sum() > 30 and cKDTree(positions).query(places[inside])[0].max() < 1e-3


@pytest.mark.parametrize("zone", ["001", "110"])
@given(seed=seeds, index=st.integers(0, 200))
def test_columns_count_their_heaviest_atoms(zone, seed, index):
    """Recounted from places alone: atoms above each other, evenly spaced, and as many lighter ones as they bring."""
    block, crystal = Specimen(**WIDE, structures=1000), CRYSTALS[zone]
    atoms, _ = planned(block, crystal, index, seed)
    table = column_table(atoms, 0, block.cell_pm).set_index("column")
    column, kinds = atoms.get_array("column"), {c.label: c for c in crystal.columns}
    labels = {SR: "Sr-O" if zone == "110" else "Sr", TI: "Ti" if zone == "110" else "Ti-O", OX: "O"}
    for one in np.unique(column):
        mine = atoms[column == one]
        heavy = mine.numbers.max()
        kind = kinds[labels[heavy]]
        z = np.sort(100 * mine.positions[mine.numbers == heavy, 2])
        assert np.allclose(np.diff(z), crystal.periods_pm[2] / kind.per_period)
        assert (table.loc[one, "element"], table.loc[one, "atoms"]) == (heavy, len(z))
        assert len(mine) == len(z) * (1 + len(kind.companions))
        assert np.ptp(mine.positions[:, :2], axis=0).max() < 1e-9
    assert table["atoms"].max() <= 10 * max(c.per_period for c in crystal.columns)


def test_formula_holds_in_whole_periods():
    """Sr : Ti : O is 1 : 1 : 3, companions included, whatever the faces cut."""
    atoms, row = planned(Specimen(**WIDE), **slab(8, vacuum_fraction=0.2))
    low = row["origin_x_pm"] - 10, row["origin_y_pm"] - 10
    x, y = 100 * atoms.positions[:, :2].T
    whole = (x > low[0]) & (x < low[0] + 4 * B) & (y > low[1]) & (y < low[1] + 3 * B)
    counts = [(atoms.numbers[whole] == number).sum() for number in (SR, TI, OX)]
    assert counts == [96, 96, 288]


def test_tilted_and_turned_columns_keep_their_companions():
    """Ti-O along a column is half a period whatever the orientation; each leans with the crystal."""
    row = slab(6, tilt_x_deg=3.0, tilt_y_deg=-2.0, rotation_deg=33.0)
    atoms, _ = planned(Specimen(**WIDE), **row)
    ti, o = (atoms.numbers == number for number in (TI, OX))
    column = atoms.get_array("column")
    mixed = o & np.isin(column, column[ti])
    below = 100 * atoms.positions[mixed][:, None] - 100 * atoms.positions[ti][None]
    nearest = np.linalg.norm(below, axis=-1).min(axis=1)
    edge = ((100 * atoms.positions[mixed, :2] < 50) | (100 * atoms.positions[mixed, :2] > 2655)).any(axis=1)
    assert nearest[~edge] == pytest.approx(B / 2, abs=1e-6) and (~edge).sum() > 50


def beside(atoms, first: int, second: int) -> np.ndarray:
    """Columns of ``second`` within their bond's reach of each column of ``first``, away from the cell's edges."""
    table = column_table(atoms, 0, 2705.5)
    places = table[["x_pm", "y_pm"]].to_numpy()
    mine, others = (places[table["element"] == number] for number in (first, second))
    inner = ((mine > 500) & (mine < 2705.5 - 500)).all(axis=1)
    reach = B / np.sqrt(2) if TI in (first, second) else B / 2
    return (np.linalg.norm(mine[inner][:, None] - others[None], axis=-1) < 1.01 * reach).sum(axis=1)


@given(seed=seeds, index=st.integers(0, 300), rotation=st.floats(-45, 45))
def test_terminations_by_element(seed, index, rotation):
    """Sr: no Ti without its four Sr, no O without its two. Ti: each Sr has its four Ti. O: each Sr has its four O."""
    block = Specimen(**WIDE, structures=1000)
    made = {
        kind: planned(block, TITANATE, index, seed, termination=kind, rotation_deg=rotation)[0]
        for kind in ("cut", "Sr", "Ti", "O")
    }
    assert (beside(made["Sr"], TI, SR) == 4).all() and (beside(made["Sr"], OX, SR) == 2).all()
    assert (beside(made["Ti"], SR, TI) == 4).all() and (beside(made["Ti"], TI, SR) >= 1).all()
    assert (beside(made["O"], SR, OX) == 4).all() and (beside(made["O"], OX, SR) >= 1).all()
    strontium = [{tuple(p) for p in np.round(a.positions[a.numbers == SR], 5)} for a in made.values()]
    assert all(places == strontium[0] for places in strontium)


def test_a_cut_may_leave_all_under_coordinated():
    """So that the test above could fail."""
    block = Specimen(**WIDE, structures=1000)
    cut = [planned(block, TITANATE, index)[0] for index in range(12)]
    for first, second, full in ((TI, SR, 4), (OX, SR, 2), (SR, TI, 4), (SR, OX, 4)):
        assert min(beside(atoms, first, second).min() for atoms in cut) < full


def test_oxygen_goes_missing_in_pure_and_in_mixed_columns():
    block = Specimen(**{**WIDE, "field_pm": 5411})
    full, _ = planned(block, **slab(10))
    less, _ = planned(block, **slab(10, vacancy_fraction=0.1))
    column = full.get_array("column")
    mixed = np.unique(column[full.numbers == TI])
    for inside in (True, False):
        whole, left = (
            int(((a.numbers == OX) & (np.isin(a.get_array("column"), mixed) == inside)).sum()) for a in (full, less)
        )
        assert whole > 500 and 1e-4 < binom.cdf(whole - left, whole, 0.1) < 1 - 1e-4
    tables = [column_table(a, 0, block.cell_pm) for a in (full, less)]
    heavy = [t[t["element"] != OX].reset_index(drop=True) for t in tables]
    assert heavy[0].equals(heavy[1])


def test_a_vacant_heavy_atom_leaves_its_companions():
    atoms, _ = planned(Specimen(**WIDE, vacancy_element="Ti"), **slab(8, vacancy_fraction=0.3))
    full, _ = planned(Specimen(**WIDE), **slab(8))
    assert (atoms.numbers == OX).sum() == (full.numbers == OX).sum()
    lost = (full.numbers == TI).sum() - (atoms.numbers == TI).sum()
    assert lost > 30


@pytest.mark.parametrize("zone", ["001", "110"])
def test_depth_maps_of_mixed_columns(zone):
    """Where a column's core is, the map holds the number of its heaviest atoms."""
    block, crystal = Specimen(**WIDE), CRYSTALS[zone]
    radii = {"Sr": 60, "Ti": 55, "O": 40}
    labels = Labels(
        core_radius_pm=radii,
        outer_radius_pm={element: 1.4 * radius for element, radius in radii.items()},
        pixel_pm=block.field_pm / 128,
        most_atoms=12,
    )
    atoms, _ = planned(block, crystal, **slab(5))
    facts = FrameFacts.of(atoms)
    maps, table = depth_maps(atoms, labels, facts.margin_pm, facts.field_pm)
    inside = table[(table[["x_pm", "y_pm"]] > 0).all(axis=1) & (table[["x_pm", "y_pm"]] < block.field_pm).all(axis=1)]
    found = {
        (int(n), int(maps["depth"][int(y / labels.pixel_pm), int(x / labels.pixel_pm)]))
        for x, y, n in inside[["x_pm", "y_pm", "element"]].to_numpy()
    }
    assert found == {(SR, 5), (TI, 5), (OX, 10 if zone == "110" else 5)}


@pytest.mark.parametrize("surface", ["stepped", "sawtooth"])
def test_surfaces_follow_the_crystal(surface):
    """Steps of whole rows of a/2, and facets of {110}, inclined by 45°: the outline of the Sr columns."""
    block = Specimen(**{**WIDE, "field_pm": 5411}, sawtooth_period_nm=(2.4, 2.4))
    atoms, row = planned(block, **slab(3, surface=surface))
    table = column_table(atoms, 0, block.cell_pm)
    sr = table[table["element"] == SR]
    tops = sr.groupby(sr["x_pm"].round(2))["y_pm"].max()
    steps = np.diff(tops) / B
    assert np.allclose(steps, np.rint(steps), atol=1e-6) and np.ptp(tops) > 0.9 * B
    if surface == "sawtooth":
        assert set(np.rint(steps)) <= {-1, 0, 1} and np.mean(np.rint(steps) != 0) > 0.5
