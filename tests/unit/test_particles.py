"""Particles: facets on any side, rough and bent faces, neighbours, carbon, tilt by propagation."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pandas as pd
import pytest
from conftest import CERIA, CERIA_BLOCK, RINGS, SMALL, SMALL_BEAM, TITANATE
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.stats import chisquare

from segdepth.config import Specimen
from segdepth.crystals.planes import edge_on_planes
from segdepth.errors import ConfigError
from segdepth.labels.depth import depth_maps
from segdepth.simulation.exit_wave import exit_wave
from segdepth.simulation.potential import plane_levels
from segdepth.specimen.carbon import ATOMS_PER_PM3, CARBON, LEAST_PM
from segdepth.specimen.checks import check_specimen, thickest_column
from segdepth.specimen.columns import NO_COLUMN, column_table, counted_atoms, image_places, with_columns
from segdepth.specimen.faces import MOST_ROUGHNESS
from segdepth.specimen.frame_facts import FrameFacts
from segdepth.specimen.outline import SAMPLES, draw_outline
from segdepth.specimen.plan import plan_row, plan_table
from segdepth.specimen.random_fields import smooth_field
from segdepth.specimen.wedge import PAD_PM, build_wedge
from segdepth.steps.atoms_files import read_atoms, read_plan
from segdepth.steps.build_specimens import build_specimens
from segdepth.steps.plan_specimens import plan_specimens

A, B = 541.1, 541.1 / np.sqrt(2)
WIDE = {**SMALL, "field_pm": 2705.5, "margin_pm": 950.0, "structures": 1000}
ALL_FACETS = ("{111}", "{100}", "{110}", "rough")
PARTICLE = Specimen(
    **WIDE,
    bulk_atoms=(1, 30),
    surface_atoms=(1, 14),
    thickest_atoms=34,
    exit_decay_nm=(0.3, 2),
    vacuum_fraction=(0.1, 0.5),
    added_probability=0.05,
    vacancy_fraction=(0, 0.05),
    rotation_deg=(-45, 45),
    strain_percent=(-2, 2),
    tilt_deg=(0, 2.5),
    tilt_by="propagation",
    facets=ALL_FACETS,
    facet_count=(0, 3),
    face_roughness_atoms=(0, 2),
    bend_mrad=(0, 10),
    neighbour_probability=0.4,
    neighbour_atoms=(1, 30),
    carbon_probability=0.5,
    carbon_nm=(0.3, 1),
)
PLAIN = {"rotation_deg": 0.0, "strain_x_percent": 0.0, "strain_y_percent": 0.0, "bend_mrad": 0.0, "neighbour_atoms": 0}
PLAIN |= {"entrance_roughness_atoms": 0.0, "exit_roughness_atoms": 0.0, "carbon_pm": 0.0, "vacancy_fraction": 0.0}
seeds, indices = st.integers(0, 2**40), st.integers(0, 999)


def planned(block: Specimen, index: int = 0, seed: int = 0, crystal=CERIA, **changes) -> tuple:
    """A structure and its row of the plan, with values of the row replaced."""
    row = {**plan_row(block, crystal, "t", index, seed), **changes}
    return build_wedge(row, block, crystal, "t", seed), row


def vacuum_share(atoms, block: Specimen) -> float:
    """Share of the field's places that are further than a column's surroundings from every column."""
    table = column_table(atoms, block.margin_pm, block.field_pm, block.margin_pm)
    along = (np.arange(SAMPLES) + 0.5) / SAMPLES * block.field_pm
    places = np.stack(np.meshgrid(along, along), -1).reshape(-1, 2)
    return float((cKDTree(table[["x_pm", "y_pm"]]).query(places)[0] > 150).mean())


@settings(max_examples=40)
@given(seeds, indices)
def test_counts_and_places_stay_within_their_limits(seed, index):
    atoms, _ = planned(PARTICLE, index, seed)
    x, y, z = 100 * atoms.positions.T
    assert min(x.min(), y.min()) >= 0 and max(x.max(), y.max()) < PARTICLE.cell_pm
    assert z.min() >= PAD_PM - 1e-6 and z.max() <= 100 * atoms.cell[2, 2] - PAD_PM + 1e-6
    counts = column_table(atoms, 0, PARTICLE.cell_pm, 500)["atoms"]
    assert counts.min() >= 1 and counts.max() <= thickest_column(PARTICLE, CERIA) == 34
    assert FrameFacts.of(atoms).crystal == CERIA


@settings(max_examples=40)
@example(247, 246)
@given(seeds, indices)
def test_the_vacuum_takes_the_share_that_was_drawn(seed, index):
    """Of flat slabs, so that no column is missing below the facets; a rim of half a column's surroundings is not
    counted on either side. In a field of twice the side: there the rim and the rows that a facet cuts are 0.014 ± 0.009
    of it (600 structures), in the small one 0.028 ± 0.020, more than 0.06 for every sixteenth structure."""
    wide = {"field_pm": 2 * PARTICLE.field_pm}
    block = PARTICLE.model_copy(update={"facet_count": (1, 3), "added_probability": 0.0, **wide})
    atoms, row = planned(block, index, seed, **{**PLAIN, "tilt_x_deg": 0.0, "tilt_y_deg": 0.0})
    assert 0.1 <= row["vacuum_fraction"] <= 0.5
    assert vacuum_share(atoms, block) == pytest.approx(row["vacuum_fraction"], abs=0.06)


def test_no_facet_no_vacuum():
    block = PARTICLE.model_copy(update={"facet_count": (0, 0)})
    ranges = []
    for index in range(8):
        atoms, row = planned(block, index, **PLAIN, tilt_x_deg=0.0, tilt_y_deg=0.0)
        assert row["outline"].startswith("full@") and vacuum_share(atoms, block) == 0
        ranges.append(np.ptp(column_table(atoms, block.margin_pm, block.field_pm)["atoms"]))
    assert max(ranges) > 2  # the thickness may still change


@pytest.mark.parametrize(
    ("kind", "normals", "spacing"),
    [
        ("{111}", [54.7356, 125.2644, 234.7356, 305.2644], A / np.sqrt(3)),
        ("{100}", [0, 180], A / 2),
        ("{110}", [90, 270], A / np.sqrt(8)),
    ],
)
def test_planes_of_fluorite(kind, normals, spacing):
    found = edge_on_planes(CERIA, kind)
    assert [planes.azimuth_deg for planes in found] == pytest.approx(normals, abs=1e-4)
    assert [planes.spacing_pm for planes in found] == pytest.approx([spacing] * len(found), abs=0.01)


def test_planes_of_another_crystal():
    assert [p.azimuth_deg for p in edge_on_planes(TITANATE, "{110}")] == pytest.approx([45, 135, 225, 315])
    assert edge_on_planes(TITANATE, "{111}") == ()


@pytest.mark.parametrize("kind", ["{111}", "{100}", "{110}"])
@pytest.mark.parametrize("rotation", [0.0, 30.0])
def test_a_facet_is_a_plane_of_the_crystal(kind, rotation):
    """Along its normal, turned with the crystal, the outermost Ce columns lie on one plane, from end to end."""
    block = PARTICLE.model_copy(update={"facets": (kind,), "facet_count": (1, 1), "added_probability": 0.0})
    still = {**PLAIN, "tilt_x_deg": 0.0, "tilt_y_deg": 0.0, "surface": "flat", "rotation_deg": rotation}
    sides = set()
    for index in range(12):
        atoms, row = planned(block, index, **still, bulk_atoms=4)
        azimuth = float(row["outline"].removeprefix(kind + "@"))
        sides.add(azimuth)
        angle = np.radians(azimuth + rotation)
        table = column_table(atoms, block.margin_pm, block.field_pm)
        places = table.loc[table["element"] == 58, ["x_pm", "y_pm"]].to_numpy() - block.field_pm / 2
        out = places @ (np.cos(angle), np.sin(angle))
        top = out > out.max() - 1
        spacing = {"{111}": A / np.sqrt(3), "{100}": A / 2, "{110}": A / np.sqrt(8)}[kind]
        assert np.sort(out[~top])[-1] == pytest.approx(out.max() - spacing, abs=1)
        line = places[top] @ (-np.sin(angle), np.cos(angle))
        assert np.diff(np.sort(line)).max() < 1.01 * A
    known = {round(planes.azimuth_deg, 4) for planes in edge_on_planes(CERIA, kind)}
    assert sides <= known and len(sides) >= min(3, len(known))


def test_stepped_facets_step_by_whole_planes():
    """Along a flat facet the outermost plane has a column in every third row; along a stepped one most of these end on
    planes farther in."""
    block = PARTICLE.model_copy(update={"facets": ("{111}",), "facet_count": (1, 1), "added_probability": 0.0})
    still = {**PLAIN, "tilt_x_deg": 0.0, "tilt_y_deg": 0.0, "corner_radius_pm": 0.0, "bulk_atoms": 4}
    outermost = {"flat": [], "stepped": []}
    for index, surface in itertools.product(range(6), outermost):
        atoms, row = planned(block, index, **still, surface=surface)
        angle = np.radians(float(row["outline"].split("@")[1]))
        table = column_table(atoms, 0, block.cell_pm)
        places = table.loc[table["element"] == 58, ["x_pm", "y_pm"]].to_numpy()
        out, along = places @ (np.cos(angle), np.sin(angle)), places @ (-np.sin(angle), np.cos(angle))
        tops = pd.Series(out).groupby(np.round(along, 1)).max()
        planes = (tops.max() - tops[tops > tops.max() - 800]) / (A / np.sqrt(3))
        assert np.abs(planes - planes.round()).max() < 0.01
        outermost[surface].append((planes.round() == 0).sum())
    assert min(outermost["flat"]) >= 15
    assert all(stepped <= 0.6 * flat for flat, stepped in zip(*outermost.values()))


def test_the_vacuum_lies_on_every_side_alike():
    """Opposite sides are as likely; so a network cannot learn that the vacuum is on one of them."""
    block = Specimen(**WIDE, facets=ALL_FACETS)
    azimuths = []
    for index in range(1600):
        outline = draw_outline(block, CERIA, np.random.default_rng(index))
        azimuths.append(float(outline.split("@")[1]))
    turned = np.round(azimuths, 4)
    half = ((turned % 360) < 180).sum()
    assert chisquare([half, len(turned) - half]).pvalue > 1e-3
    for azimuth in (0, 54.7356, 90, 125.2644):
        pair = [(np.abs(turned - azimuth - other) < 1e-3).sum() for other in (0, 180)]
        assert min(pair) > 50 and chisquare(pair).pvalue > 1e-3


def test_as_many_facets_as_asked_for_and_none_twice():
    block = Specimen(**WIDE, facets=(*ALL_FACETS, "edge"), facet_count=(0, 3))
    found = [draw_outline(block, CERIA, np.random.default_rng(seed)) for seed in range(800)]
    counts = np.bincount([0 if one.startswith("full") else one.count("@") for one in found if one != "edge"])
    assert chisquare(counts[1:]).pvalue > 1e-3 and counts[0] == pytest.approx(200, abs=50)
    assert found.count("edge") == pytest.approx(600 / 5, abs=40)
    for one in found:
        normals = [float(facet.split("@")[1]) for facet in one.split() if "@" in facet]
        apart = [abs((a - b + 180) % 360 - 180) for n, a in enumerate(normals) for b in normals[:n]]
        assert min(apart, default=90) >= 25


def test_an_edge_is_the_papers_surface():
    """Bits of a block without facets, whatever else may be drawn."""
    keys = {**WIDE, "bulk_atoms": (3, 10)}
    plain = planned(Specimen(**keys), 4)[0]
    block = Specimen(**keys, facets=("edge", "rough"), facet_count=(1, 3))
    atoms, _ = planned(block, 4, outline="edge")
    assert np.array_equal(plain.positions, atoms.positions) and plain.info == atoms.info


# faces


def test_smooth_fields_have_their_width_and_correlation():
    places = np.random.default_rng(0).uniform(0, 400, (2000, 2))
    pairs = np.stack([places, places + [3.0, 4.0]], axis=1)
    values = np.array([smooth_field(pair, 5.0, np.random.default_rng(n)) for n, pair in enumerate(pairs)])
    assert values.mean() == pytest.approx(0, abs=0.1) and values.std() == pytest.approx(1, abs=0.05)
    assert np.mean(values[:, 0] * values[:, 1]) == pytest.approx(np.exp(-0.5), abs=0.06)
    single = [smooth_field(one[None], 5.0, np.random.default_rng(3))[0] for one in places[:5]]
    assert smooth_field(places[:5], 5.0, np.random.default_rng(3)) == pytest.approx(single)


def ends(atoms) -> pd.DataFrame:
    """Lowest and highest atom of each column, pm."""
    frame = pd.DataFrame({"column": atoms.get_array("column"), "z": 100 * atoms.positions[:, 2]})
    return frame[frame["column"] >= 0].groupby("column")["z"].agg(["min", "max"])


@pytest.mark.parametrize("rms", [1.0, 4.0])
def test_each_face_is_rough_by_itself(rms):
    block = PARTICLE.model_copy(update={"added_probability": 0.0, "thickest_atoms": 40})
    slab = {**PLAIN, "bulk_atoms": 15, "surface_atoms": 15.0, "outline": "full@0"}
    smooth = ends(planned(block, 3, **slab)[0])
    for name, face, other in (
        ("entrance_roughness_atoms", "min", "max"),
        ("exit_roughness_atoms", "max", "min"),
    ):
        found = ends(planned(block, 3, **{**slab, name: rms, "face_correlation_pm": 600.0})[0])
        moved = pd.DataFrame({end: (found[end] - smooth[end]) / B for end in ("min", "max")}).dropna()
        moved -= np.round(moved[other].median(), 6)  # where the entrance grows the whole crystal is lifted
        assert np.abs(moved[other]).max() < 1e-6
        assert np.allclose(moved[face], np.round(moved[face]), atol=1e-6)
        assert np.abs(moved[face]).max() <= MOST_ROUGHNESS + 1 and moved[face].std() > 0.5 * min(rms, 2)
        assert len(np.unique(np.round(moved[face]))) >= 3


def test_roughness_never_makes_a_hole():
    block = PARTICLE.model_copy(update={"added_probability": 0.0})
    thin = {**PLAIN, "bulk_atoms": 2, "surface_atoms": 1.0}
    smooth = column_table(planned(block, 5, **thin)[0], 0, block.cell_pm)
    rough = {"entrance_roughness_atoms": 4.0, "exit_roughness_atoms": 4.0, "face_correlation_pm": 500.0}
    found = column_table(planned(block, 5, **{**thin, **rough})[0], 0, block.cell_pm)
    assert np.array_equal(smooth["column"], found["column"])
    assert found["atoms"].min() == 1 and found["atoms"].max() > 4


@given(seeds, st.floats(0, 360))
def test_a_bent_crystal_leans_by_the_local_tilt(seed, azimuth):
    block = PARTICLE.model_copy(update={"added_probability": 0.0})
    slab = {**PLAIN, "bulk_atoms": 12, "surface_atoms": 12.0, "outline": "full@0", "tilt_x_deg": 0.0, "tilt_y_deg": 0.0}
    flat, row = planned(block, 1, seed, **slab)
    atoms, _ = planned(block, 1, seed, **{**slab, "bend_mrad": 10.0, "bend_deg": azimuth})
    heights = [np.unique(np.round(a.positions[:, 2], 6)) for a in (flat, atoms)]
    assert np.array_equal(*heights)  # no slice more
    direction = np.array([np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth))])
    looked_at = 0
    for one in np.unique(atoms.get_array("column"))[::17]:
        points = 100 * atoms.positions[atoms.get_array("column") == one]
        if len(points) < 12:
            continue  # cut by the cell's edge
        lean = (points[-1] - points[0])[:2] / (points[-1] - points[0])[2]
        place = (points.mean(0)[:2] - block.cell_pm / 2) @ direction
        assert lean @ direction == pytest.approx(0.010 * place / block.field_pm, abs=2e-4)
        assert abs(lean @ (-direction[1], direction[0])) < 1e-9
        looked_at += 1
    assert looked_at >= 5


def test_a_neighbour_has_its_own_thickness_beyond_a_straight_line():
    block = PARTICLE.model_copy(update={"added_probability": 0.0})
    slab = {**PLAIN, "bulk_atoms": 20, "surface_atoms": 40.0, "outline": "full@0", "tilt_x_deg": 0.0, "tilt_y_deg": 0.0}
    for other in (6, 28):
        part = {"neighbour_atoms": other, "neighbour_share": 0.3, "neighbour_deg": 40.0}
        table = column_table(planned(block, 2, **{**slab, **part})[0], block.margin_pm, block.field_pm)
        assert set(table["atoms"]) == {other, 20}
        assert (table["atoms"] == other).mean() == pytest.approx(0.3, abs=0.03)
        across = table[["x_pm", "y_pm"]].to_numpy() @ (np.cos(np.radians(40)), np.sin(np.radians(40)))
        assert across[table["atoms"] == other].min() > across[table["atoms"] == 20].max()


# carbon


@pytest.mark.parametrize("side", ["entrance", "exit"])
def test_carbon_lies_on_planes_beyond_the_crystal_and_changes_no_label(side):
    bare, _ = planned(PARTICLE, 7, carbon_pm=0.0)
    atoms, row = planned(PARTICLE, 7, carbon_pm=800.0, carbon_side=side, carbon_share=0.6, carbon_deg=20.0)
    column, z = atoms.get_array("column"), 100 * atoms.positions[:, 2]
    carbon = column == NO_COLUMN
    assert (atoms.numbers[carbon] == CARBON).all() and not (atoms.numbers[~carbon] == CARBON).any()
    crystal = z[~carbon]
    planes = np.unique(np.round(z[carbon], 6))
    gap = planes.min() - crystal.max() if side == "exit" else crystal.min() - planes.max()
    assert gap == pytest.approx(B / 2, abs=1e-4) and np.allclose(np.diff(planes), B / 2, atol=1e-4)
    assert len(plane_levels(atoms.positions[:, 2], 0.96)) == len(plane_levels(bare.positions[:, 2], 0.96)) + len(planes)
    assert len(planes) * B / 2 == pytest.approx(800, abs=B / 4)
    for plane in planes:
        near = cKDTree(100 * atoms.positions[carbon][np.abs(z[carbon] - plane) < 1][:, :2]).query_pairs(LEAST_PM)
        assert not near
    inside = (np.abs(100 * atoms.positions[carbon, :2] - PARTICLE.cell_pm / 2) < PARTICLE.field_pm / 2).all(axis=1)
    expected = ATOMS_PER_PM3 * len(planes) * B / 2 * 0.6 * PARTICLE.field_pm**2
    assert inside.sum() == pytest.approx(expected, rel=0.12)

    for one in (bare, atoms):
        one.info |= {"tilt_x_deg": 0.0, "tilt_y_deg": 0.0}  # the tilt's reference moves with the carbon
    tables = [column_table(a, PARTICLE.margin_pm, PARTICLE.field_pm, 120) for a in (bare, atoms)]
    pd.testing.assert_frame_equal(*tables)
    maps = [
        depth_maps(a, RINGS.model_copy(update={"pixel_pm": 2705.5 / 64, "most_atoms": 40}), 950.0, 2705.5)[0]
        for a in (bare, atoms)
    ]
    assert all(np.array_equal(maps[0][name], maps[1][name]) for name in maps[0]) and maps[0]["depth"].any()


def test_atoms_without_column_are_not_counted():
    numbers, column = np.array([58, 58, 8, 6, 6]), np.array([3, 3, 5, -1, -1])
    assert counted_atoms(numbers, column).tolist() == [True, True, True, False, False]
    atoms, _ = planned(PARTICLE, 7, carbon_pm=800.0)
    moved = atoms.copy()
    moved.positions[:, 0] += moved.cell[0, 0] / 3  # some of the carbon and of the crystal is now outside
    moved.positions[:, 0] -= moved.cell[0, 0] * (moved.positions[:, 0] > 1.2 * moved.cell[0, 0])
    whole = with_columns(moved)
    carbon = moved.get_array("column") == NO_COLUMN
    assert np.array_equal(whole.positions[carbon], moved.positions[carbon])
    assert (whole.positions[~carbon] != moved.positions[~carbon]).any()


# tilt by propagation


@settings(max_examples=10)
@given(seeds, st.floats(0, 2 * np.pi))
def test_columns_of_an_upright_crystal_stand_where_those_of_the_tilted_one_do(seed, azimuth):
    """30 atoms, 2.5°: relative to each other within 8 pm; all together as far as the middle of the atoms is from the
    middle of the bulk."""
    tilt = {"tilt_x_deg": 2.5 * np.cos(azimuth), "tilt_y_deg": 2.5 * np.sin(azimuth)}
    still = {**PLAIN, **tilt, "bulk_atoms": 30, "surface_atoms": 9.0, "outline": "{111}@54.7356"}
    tables = []
    for by in ("propagation", "atoms"):
        block = PARTICLE.model_copy(update={"tilt_by": by, "added_probability": 0.0})
        atoms, _ = planned(block, 2, seed, **still)
        facts = FrameFacts.of(atoms)
        expected = (-np.radians([tilt["tilt_x_deg"], tilt["tilt_y_deg"]]) * 1000) if by == "propagation" else (0, 0)
        assert facts.tilt_mrad == pytest.approx(expected, abs=1e-9)
        tables.append(column_table(atoms, block.margin_pm, block.field_pm, 100))
    places = [table[["x_pm", "y_pm"]].to_numpy() for table in tables]
    offset = np.zeros(2)
    for _ in range(2):
        distance, match = cKDTree(places[1]).query(places[0] + offset)
        offset += np.median(places[1][match] - places[0] - offset, axis=0)
    distance, match = cKDTree(places[1]).query(places[0] + offset)
    inside = (np.abs(places[0] - block.field_pm / 2) < block.field_pm / 2).all(axis=1)
    assert distance[inside].max() < 8 and np.hypot(*offset) < 30 and inside.sum() > 60
    assert np.array_equal(tables[0]["atoms"][inside], tables[1]["atoms"].to_numpy()[match][inside])
    assert np.ptp(tables[0]["atoms"]) > 10  # so that columns of one element move by different amounts


def test_atoms_from_elsewhere_are_where_they_are():
    atoms, _ = planned(Specimen(**WIDE))
    assert "tilt_x_deg" not in atoms.info and FrameFacts.of(atoms).tilt_mrad == (0.0, 0.0)
    assert np.array_equal(image_places(atoms), atoms.positions[:, :2])


def test_a_tilted_beam_shows_what_tilted_atoms_show(abtem):
    """Images at C1 = 5 nm of a slab of 12 atoms, 2° and -1.5°: alike to a twentieth of the contrast; a beam tilted to
    the other side shows something else."""
    images = {}
    for by in ("atoms", "propagation"):
        block = Specimen(**{**SMALL, "margin_pm": 676.375}, tilt_by=by)
        slab = {"outline": "full@0", "bulk_atoms": 12, "surface_atoms": 12.0, "tilt_x_deg": 2.0, "tilt_y_deg": -1.5}
        atoms, _ = planned(block, **slab)
        tilt = FrameFacts.of(atoms).tilt_mrad
        for axis in ("tilt_x_deg", "tilt_y_deg"):
            atoms.info.pop(axis, None)  # the beam below is tilted by hand
        for sign in (1, -1):
            beam = SMALL_BEAM.model_copy(update={"tilt_mrad": (sign * tilt[0], sign * tilt[1]), "slice_pm": 96})
            images[by, sign] = image(exit_wave(atoms, beam), block.cell_pm)[16:-16, 16:-16]
    true = images["atoms", 1]
    error = [np.sqrt(np.mean((images["propagation", sign] - true) ** 2)) / true.std() for sign in (1, -1)]
    assert error[0] < 0.05 and error[1] > 0.3


def image(wave: np.ndarray, cell_pm: float, points: int = 64, defocus_pm: float = 5000.0) -> np.ndarray:
    """Intensity behind an ideal lens of 14 mrad at 300 kV."""
    most = (wave.shape[0] - 1) // 2
    order = np.r_[0 : most + 1, -most:0]
    square = (order[:, None] ** 2 + order[None, :] ** 2) / cell_pm**2
    seen = wave * np.exp(-1j * np.pi * 1.9687 * defocus_pm * square) * (square < (0.014 / 1.9687) ** 2)
    kept = np.abs(order) < points // 2
    spectrum = np.zeros((points, points), complex)
    spectrum[np.ix_(order[kept], order[kept])] = seen[np.ix_(kept, kept)]
    return np.abs(np.fft.ifft2(spectrum) * points**2) ** 2


# plan and configuration


def digest(atoms) -> str:
    return hashlib.sha256(atoms.positions.tobytes() + atoms.get_array("column").tobytes()).hexdigest()


def test_a_particle_is_the_same_whatever_the_shard(tmp_path):
    made = []
    for size in (1, 3):
        block = PARTICLE.model_copy(update={"structures": 3, "shard_size": size})
        plan = tmp_path / str(size) / "plan.csv"
        plan.parent.mkdir()
        plan_specimens(block, CERIA_BLOCK, "t", 0, plan, code="c")
        frames = []
        for shard in range(block.shards):
            out = plan.with_name(f"shard-{shard}.extxyz")
            build_specimens(block, CERIA_BLOCK, "t", 0, shard, plan, out, code="c")
            frames += read_atoms(out)
        made.append([digest(frame) for frame in frames])
        rows = read_plan(plan).to_dict("records")
        assert rows == plan_table(block, CERIA, "t", 0).to_dict("records")  # text and numbers come back
    assert made[0] == made[1] and len(set(made[0])) == 3


def test_one_nuisance_moves_no_other():
    """Carbon, roughness, bend and a neighbour leave the outline, and the outline leaves the plan's other values."""
    rows = [
        plan_row(block, CERIA, "t", 1, 1)
        for block in (
            PARTICLE,
            PARTICLE.model_copy(update={"carbon_probability": 0.0, "neighbour_probability": 0.0, "bend_mrad": (0, 0)}),
            PARTICLE.model_copy(update={"facets": ("rough",), "facet_count": (2, 2)}),
        )
    ]
    assert rows[0]["outline"] == rows[1]["outline"] != rows[2]["outline"]
    differ = [{key for key in rows[0] if rows[0][key] != row[key]} for row in rows]
    assert differ[1] == {"carbon_pm", "neighbour_atoms", "bend_mrad"} and differ[2] == {"outline"}


@pytest.mark.parametrize(
    ("crystal", "keys", "told"),
    [
        (TITANATE, {"facets": ("{111}",)}, "specimens.p.facets: got '.111.'; SrTiO3 .*edge, .100., .110., rough"),
        (CERIA, {"facets": ("{100}",), "facet_count": (1, 3)}, "specimens.p.facet_count: got .1, 3.*2 directions"),
        (CERIA, {"facet_count": (1, 2)}, "specimens.p.facet_count: got .1, 2.*edge have 1 directions"),
        (
            CERIA,
            {"tilt_deg": (0, 2.5), "tilt_by": "propagation", "bulk_atoms": (1, 30), "margin_pm": 500.0},
            r"specimens.p.margin_pm: got 500; a column of 30 atoms .* moves by up to 242 pm, at least 602",
        ),
    ],
)  # fmt: skip
def test_blocks_that_do_not_suit_the_crystal(crystal, keys, told):
    with pytest.raises(ConfigError, match=told) as refused:
        check_specimen("specimens.p", Specimen(crystal="c", **keys), crystal)
    assert len(str(refused.value).splitlines()) == 1


def test_the_whole_range_suits_ceria():
    check_specimen("specimens.p", PARTICLE, CERIA)
    check_specimen(
        "specimens.p", Specimen(crystal="c", facets=("edge", "{100}", "{110}"), facet_count=(0, 3)), TITANATE
    )
