"""Columns held against their picture: closed forms, single columns against the whole multislice, counts recovered."""

from __future__ import annotations

import json
from dataclasses import replace

import ase.io
import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from conftest import CERIA, RADII
from hypothesis import given, settings
from hypothesis import strategies as st
from results_data import make_facts, named_columns, open_folder

import segdepth
from segdepth.errors import ConfigError, MicrographError, StoreError
from segdepth.explanation.columns import first_sites, spacings_pm, stacked
from segdepth.explanation.continuation import beside_columns, cells_and_kinds, continued, seen_lattice
from segdepth.explanation.differences import STATES, STAY
from segdepth.explanation.explain import COLUMNS, Explainer, explained_maps, lines_of
from segdepth.explanation.lens import beam_of, lens_of
from segdepth.explanation.likelihood import TOTALS
from segdepth.explanation.model import FrameModel, Grid
from segdepth.explanation.patches import ColumnPatches, _intensities
from segdepth.explanation.refinement import Refinement
from segdepth.explanation.residuals import (
    chi_squared,
    standardized,
)
from segdepth.explanation.roughness import most_likely, smooth_counts
from segdepth.figures.explanation import draw
from segdepth.fitting.result import LensFit, write_lens_fit
from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.results.facts import FilmFacts, FrameResult
from segdepth.micrograph.results.maps import empty_maps
from segdepth.public import Predicted
from segdepth.steps.explain_prediction import explain_prediction
from segdepth.store.manifest import write_artefact
from segdepth.store.zarr_store import open_zarr

PIXEL = 21.0
SHAPE = 30, 44
"""Rows and columns of the frame; the crystal fills its lower two thirds."""

THICK = 3


def make_fit(**other) -> LensFit:
    given = {
        "crystal": CERIA.to_dict(), "energy_kev": 300.0, "dose_e_per_a2": 900.0, "frames": 1, "pixel_pm": PIXEL / 2,
        "values": {"defocus_nm": 5.0, "tilt_x_deg": 0.4, "tilt_y_deg": 0.0}, "errors": {"defocus_nm": None},
        "held": (), "bins": (), "chi2": 1.0, "dof": 1.0, "explained": True, "rivals": (), "lines": (),
    }  # fmt: skip
    return LensFit(**(given | other))


class Scene:
    """A small crystal with a vacuum above, its columns all around the frame, and a noise-free picture."""

    def __init__(self) -> None:
        self.fit = make_fit()
        self.grid = Grid(SHAPE, PIXEL, 40.0)
        self.model = FrameModel(self.grid, beam_of(self.fit, CERIA))
        self.lens = lens_of(self.fit.values)
        self.patches = ColumnPatches(self.model, CERIA)
        table = named_columns(CERIA, SHAPE[1] * PIXEL, SHAPE[0] * PIXEL)
        self.table = table[table["y_pm"] < 0.66 * SHAPE[0] * PIXEL].reset_index(drop=True)
        self.cells, self.kind = cells_and_kinds(self.table["column"], self.table["element"], CERIA)
        self.counts = np.full(len(self.table), THICK)
        self.counts[[7, 12]] = THICK + 1, THICK - 1
        low = np.full(2, -self.grid.margin * PIXEL)
        x, y = self.table["x_pm"].to_numpy(), self.table["y_pm"].to_numpy()
        lattice = seen_lattice(CERIA, x, y, self.cells, self.kind, low, low + self.grid.cell_pm)
        here = (lattice.x_pm >= 0) & (lattice.x_pm < SHAPE[1] * PIXEL)
        here &= (lattice.y_pm >= 0) & (lattice.y_pm < SHAPE[0] * PIXEL)
        self.all = continued(lattice, self.counts, here)
        kept = self.all > 0
        self.row, self.all = lattice.row[kept], self.all[kept]
        self.places = lattice.x_pm[kept], lattice.y_pm[kept]
        self.stacks = stacked(CERIA, *self.places, lattice.kind[kept], self.all, 0.5, self.model.beam.tilt_mrad)
        self.expected = self.model.expected(self.stacks, self.lens)


@pytest.fixture(scope="module")
def scene(abtem) -> Scene:
    return Scene()


def test_frames_of_the_model_itself_have_a_chi_square_of_one_a_pixel(scene):
    rng = np.random.default_rng(1)
    valid = np.ones(SHAPE, bool)
    found = [chi_squared(standardized(rng.poisson(scene.expected), scene.expected, valid)) for _ in range(8)]
    chi2, pixels = np.sum(found, axis=0)
    assert pixels == 8 * valid.size
    assert abs(chi2 / pixels - 1) < 3.5 * np.sqrt((2 + 1 / scene.expected.mean()) / pixels)
    inside = int(np.argmin(np.hypot(scene.places[0] - 270, scene.places[1] - 191)))
    one_less = scene.stacks.count - (np.arange(len(scene.stacks)) == inside)
    wrong = scene.model.expected(scene.stacks.changed(scene.stacks.first, one_less), scene.lens)
    chi2, pixels = chi_squared(standardized(rng.poisson(100 * scene.expected), 100 * wrong, valid))
    assert chi2 / pixels > 1.5


def test_a_frame_is_called_explained_by_what_noise_leaves_after_the_fit():
    facts = {"frame": 0, "chi2": 1400.0, "chi2_refined": 1050.0, "pixels": 1000, "chi2_error": 45.0, "adjusted": 16}
    facts |= {"degrees": 14.0, "changed": 1, "columns": 30, "extra": 0, "missing": 1}
    (line,) = lines_of(make_fit(), [facts])
    assert "chi2 per pixel 1.400, 1.050 with refined counts (noise alone leaves 0.970 ± 0.045; explained" in line
    for changed, word in (({"chi2_refined": 1151.0}, "; not explained"), ({"chi2_refined": 1149.0}, "; explained")):
        assert word in lines_of(make_fit(), [facts | changed])[0]
    assert "; not explained" in lines_of(make_fit(), [facts | {"chi2_refined": 1149.0, "degrees": 17.0}])[0]


def test_what_does_not_hold_comes_first_and_all_frames_have_one_line():
    facts = {"frame": 0, "chi2": 1400.0, "chi2_refined": 1050.0, "pixels": 1000, "chi2_error": 45.0, "adjusted": 16}
    facts |= {"degrees": 14.0, "changed": 1, "columns": 30, "extra": 0, "missing": 1}
    frames = [facts, facts | {"frame": 1, "chi2_refined": 1450.0}]
    lines = lines_of(make_fit(explained=False), frames, ["a bad pixel", "NOT RELIABLE: x"])
    assert [line[:14] for line in (lines[0], lines[1], lines[3])] == ["NOT EXPLAINED:", "NOT RELIABLE: ", "a bad pixel"]
    assert "2 frames, on average: chi2 per pixel 1.400, 1.250" in lines[2] and len(lines) == 4
    assert "1 of 2 explained to the noise); 2 of 60 counts changed" in lines[2] and "2 fewer" in lines[2]


@pytest.mark.parametrize("state", [(1, 0), (-1, 0), (0, 1), (-1, -1), (1, -1)])
def test_the_change_of_one_column_is_that_of_the_whole_multislice(scene, state):
    """Also under a tilt, where a column is displaced by its height."""
    inside = (scene.places[0] > 200) & (scene.places[0] < 700) & (scene.places[1] > 100) & (scene.places[1] < 330)
    column = int(np.flatnonzero(inside & (scene.stacks.kind < 2))[0])
    first, count = scene.stacks.first.copy(), scene.stacks.count.copy()
    first[column] -= state[1]
    count[column] += sum(state)
    changed = scene.model.expected(scene.stacks.changed(first, count), scene.lens) - scene.expected
    one = scene.stacks.part(np.array([column]))
    waves = scene.patches.image_waves(scene.model.wave(scene.stacks), scene.lens)
    found = scene.patches.changes(waves, one, scene.lens)[0, STATES.index(state)] * scene.grid.electrons
    (row,), (left,) = scene.patches.corners(one)
    whole = np.zeros(SHAPE)
    for i in range(SHAPE[0]):
        for j in range(SHAPE[1]):
            if 0 <= i - row < len(found) and 0 <= j - left < len(found):
                whole[i, j] = found[i - row, j - left]
    assert np.linalg.norm(whole - changed) < 0.25 * np.linalg.norm(changed)


def test_counts_of_a_bright_frame_are_recovered_exactly(scene):
    """From counts that are wrong in places, with noise, without a prior."""
    grid = Grid(SHAPE, PIXEL, 4000.0)
    model = scene.model.with_grid(grid)
    counts = np.random.default_rng(3).poisson(scene.expected * 100)
    free = scene.row >= 0
    inner = free & (scene.places[1] > 60) & (scene.places[0] > 60) & (scene.places[0] < SHAPE[1] * PIXEL - 60)
    start = scene.all.copy()
    start[np.flatnonzero(inner)[[0, 3, 6]]] += (1, -1, 1)
    begun = stacked(CERIA, *scene.places, scene.stacks.kind, start, 0.5, model.beam.tilt_mrad)
    refinement = Refinement(model, scene.patches.of(model), counts, np.ones(SHAPE, bool), {})
    flat = np.full((len(start), 9), 1 / 9)
    first = refinement.adjustment.of(begun, scene.lens, model)
    found = refinement.run(first, free, free, flat, 0.5, np.random.default_rng(0))
    assert found.stacks.count[inner].tolist() == scene.all[inner].tolist()
    assert found.probabilities.sum(1) == pytest.approx(1)


def make_prediction(scene: Scene, depth: np.ndarray, electrons: float):
    """Maps and columns as ``segdepth.predict`` gives them, of one frame."""
    transform = FrameTransform((SHAPE[0] * 2, SHAPE[1] * 2), PIXEL / 2, PIXEL)
    facts = FilmFacts(
        source="one.npy", frames=(0,), transform=transform, label_pixel_pm=PIXEL, classes=11, crystal=CERIA,
        labels=RADII, network={"name": "none"},
    )  # fmt: skip
    maps = empty_maps(facts, SHAPE).load()
    counts = np.random.default_rng(5).poisson(scene.expected * electrons / 40) / electrons
    maps["counts"][0] = counts
    maps["probabilities"][0] = np.float16(1 / 11)
    maps["vacuum_level"][0], maps["lost"][0] = electrons / 4, False
    columns = scene.table.assign(frame=0, depth=depth, confidence=1.0)
    return maps, columns


def test_a_wrong_count_is_pointed_out_and_mended(scene):
    depth = scene.counts.copy()
    middle = int(
        np.argmin(
            np.hypot(scene.table["x_pm"] - 450, scene.table["y_pm"] - 200) + 1e4 * (scene.table["element"] == "O")
        )
    )
    depth[middle] += 1
    explainer = Explainer(*make_prediction(scene, depth, 1000.0), scene.fit)
    explainer._patches = scene.model, scene.patches
    (frame,) = explainer.frames()
    assert list(frame.table.columns) == list(COLUMNS)
    mine = frame.table.set_index("column").loc[scene.table["column"][middle]]
    assert mine["missing"] and not mine["extra"] and mine["count"] == scene.counts[middle]
    assert frame.facts["chi2_refined"] < frame.facts["chi2"]
    lines = lines_of(make_fit(explained=False), [frame.facts])
    assert lines[0].startswith("NOT EXPLAINED") and "chi2 per pixel" in lines[1]
    maps = explained_maps(explainer, [frame], lines)
    assert maps["residual"].attrs["units"] == "1" and maps["expected"].attrs["units"] == "electrons"
    assert len(draw(maps, frame.table, frame.facts).axes) >= 4


def test_from_python_a_film_without_a_frame_of_enough_columns_is_refused(scene):
    maps, columns = make_prediction(scene, scene.counts, 40.0)
    with pytest.raises(MicrographError, match="predicted: no frame could be explained; columns: 5 of them"):
        segdepth.explain(Predicted(maps, columns[:5]), scene.fit)


def test_a_fit_of_another_crystal_is_refused(scene):
    maps, columns = make_prediction(scene, scene.counts, 40.0)
    other = json.loads(json.dumps(CERIA.to_dict())) | {"periods_pm": [500.0, 400.0, 400.0]}
    with pytest.raises(ConfigError, match="does not fit the prediction: a period of the crystal is 500 pm"):
        Explainer(maps, columns, make_fit(crystal=other))


def test_names_that_are_no_sites_are_refused():
    with pytest.raises(MicrographError, match="'seven'"):
        cells_and_kinds(["0,0,Ce1", "seven"], ["Ce", "Ce"], CERIA)


def test_the_crystal_goes_on_beyond_the_frame_and_the_vacuum_too():
    table = named_columns(CERIA, 1800, 1500)
    table = table[(table["x_pm"] > 0) & (table["y_pm"] < 900)].reset_index(drop=True)
    _, kind = cells_and_kinds(table["column"], table["element"], CERIA)
    cells = np.floor((table[["x_pm", "y_pm"]].to_numpy() + 0.01) / CERIA.periods_pm[:2]).astype(int)
    counts = np.where(table["x_pm"] > 900, 6, 4)
    turn = np.array([[1.01, 0.02], [-0.02, 0.99]])
    x, y = turn @ table[["x_pm", "y_pm"]].to_numpy().T
    lattice = seen_lattice(CERIA, x, y, cells, kind, (-600, -600), (2400, 1500))
    ideal = np.column_stack([lattice.cell + [(CERIA.columns[k].x, CERIA.columns[k].y) for k in lattice.kind]])
    placed = turn @ (ideal * CERIA.periods_pm[:2]).T
    assert np.allclose(placed, [lattice.x_pm, lattice.y_pm], atol=1e-6)
    seen = (lattice.x_pm > 50) & (lattice.x_pm < 1750) & (lattice.y_pm > 0) & (lattice.y_pm < 1500)
    found = continued(lattice, counts, seen)
    assert set(found[(lattice.x_pm < -100) & (lattice.y_pm < 800)]) == {4}
    assert set(found[(lattice.x_pm > 1900) & (lattice.y_pm < 800)]) == {6}
    assert set(found[(lattice.y_pm > 1000) & (lattice.x_pm < 1750)]) == {0}
    near = beside_columns(lattice, CERIA)
    assert near[(lattice.row >= 0)].all() and not near[lattice.y_pm > 1300].any()


def test_intensities_of_states_are_those_of_their_summed_waves():
    rng = np.random.default_rng(4)

    def waves(*shape: int) -> torch.Tensor:
        return torch.as_tensor(rng.normal(size=shape) + 1j * rng.normal(size=shape))

    behind, parts, weights = waves(2, 3, 5, 4), waves(2, 4, 3, 5, 4), waves(2, 7, 4)
    whole = torch.einsum("csp,cpmyx->csmyx", weights, parts)
    expected = (2 * (behind[:, None].conj() * whole).real + whole.abs() ** 2).sum(2)
    assert torch.allclose(_intensities(behind, parts, weights), expected)


def slab(most: float, slope: float = 0.0) -> tuple:
    """Columns of the whole crystal on a rectangle, and counts on a plane."""
    table = named_columns(CERIA, 3000, 2200)
    _, kind = cells_and_kinds(table["column"], table["element"], CERIA)
    x, y = table["x_pm"].to_numpy(), table["y_pm"].to_numpy()
    plane = most + slope * (x + y / 2) / 1000
    return stacked(CERIA, x, y, kind, np.round(plane).astype(int)), plane


@settings(max_examples=10, deadline=None)
@given(st.floats(2, 20), st.floats(-1, 3), st.integers(0, 60))
def test_the_smooth_thickness_of_a_plane_is_the_plane_whatever_the_column_itself_holds(most, slope, place):
    stacks, plane = slab(most + 3, slope)
    found = smooth_counts(stacks, plane)
    assert np.abs(found - plane).max() < 0.15
    other = plane.copy()
    other[place] += 4
    assert smooth_counts(stacks, other)[place] == pytest.approx(found[place])


def test_a_column_without_others_is_as_thick_as_itself():
    stacks = stacked(CERIA, [0.0, 9000.0], [0.0, 0.0], [0, 2], [5, 7])
    assert smooth_counts(stacks, np.array([5.0, 7.0])).tolist() == [5, 7]
    assert smooth_counts(stacks, np.array([0.0, 0.0])).tolist() == [0, 0]


@pytest.mark.parametrize(("half", "wide"), [(0, (0.4, 0.8)), (2, (2.0, 3.0))])
def test_the_roughness_of_a_frame_is_found_from_uncertain_counts(half, wide):
    """Counts that are off the plane by up to ``half`` atoms, each known to 0.7 atoms."""
    rng = np.random.default_rng(half)
    thickness = rng.uniform(6, 9, 300)
    count = np.round(thickness) + rng.integers(-half, half + 1, 300)
    told = count + rng.normal(0, 0.7, 300)
    likelihood = np.exp(-(((np.arange(18) - told[:, None]) / 0.7) ** 2) / 2)
    (law,) = most_likely([thickness], [likelihood])
    assert wide[0] <= law.width <= wide[1] and abs(law.shift) <= 0.3
    chances = np.exp(law.log_chances(thickness, 17))
    assert np.allclose(chances.sum(1), 1) and chances.min() > 1e-4
    better = ((likelihood * chances).argmax(1) == count).mean()
    assert better > (likelihood.argmax(1) == count).mean() + (0.3 if half == 0 else 0.0)
    assert most_likely([thickness[:5]], [likelihood[:5]]) is None
    # an element of which the electrons say nothing has the other's width
    other, unknown = most_likely([thickness, thickness], [likelihood, np.ones_like(likelihood)])
    assert (other.width, other.power) == (law.width, law.power) == (unknown.width, unknown.power)


def test_states_hold_all_counts_from_two_less_to_two_more():
    assert set(TOTALS) == {-2, -1, 0, 1, 2} and TOTALS[STAY] == 0 and len(set(STATES)) == len(STATES)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 25), min_size=1, max_size=12), st.floats(0, 1))
def test_columns_are_centred_as_nearly_as_the_heights_allow(counts, share):
    kind = np.arange(len(counts)) % len(CERIA.columns)
    stacks = stacked(CERIA, 200.0 * np.arange(len(counts)), np.zeros(len(counts)), kind, counts, share)
    away = np.random.default_rng(len(counts)).normal(-2000, 500, len(counts))
    moved = stacks.changed(first_sites(stacks, away), stacks.count)
    assert (np.abs(moved.middle_pm - away) <= spacings_pm(CERIA)[kind] / 2 + 1e-3).all()
    assert np.allclose(stacks.last_pm - stacks.middle_pm, (stacks.count - 1) / 2 * stacks.spacing_pm)


def test_no_columns_no_lattice():
    empty = np.empty(0)
    with pytest.raises(MicrographError, match="do not make a lattice"):
        seen_lattice(CERIA, empty, empty, np.empty((0, 2), int), np.empty(0, int), (0, 0), (1000, 1000))


def test_the_table_says_its_units():
    from segdepth.explanation.explain import UNITS

    assert set(UNITS) <= set(COLUMNS) and pd.Series(COLUMNS).is_unique


def write_prediction(
    scene: Scene, folder, few: int | None = None, *, outside: bool = False, all_of_them: bool = False
) -> None:
    """The same as ``segdepth predict`` would write it: a frame, a lost one, and one that its columns do not explain.
    few : columns of the first one. outside : the last one is not reliable. all_of_them : it has few columns too."""
    transform = FrameTransform((SHAPE[0] * 2, SHAPE[1] * 2), PIXEL / 2, PIXEL)
    facts = make_facts(transform=transform, frames=(0, 1, 2), times_s=(0.0, 1.0, 2.0))
    counts = np.random.default_rng(5).poisson(scene.expected) / 40
    number = len(scene.table)
    table = scene.table.assign(
        depth=scene.counts, confidence=0.9, depth_low=scene.counts, depth_high=scene.counts, at_least=False,
        llr=10.0, q_value=1e-4, reliable=np.ones(number, bool),
    )  # fmt: skip
    depth = np.full(SHAPE, THICK)
    probabilities = np.exp(-((np.arange(11)[:, None, None] - depth) ** 2) / 1.0).astype(np.float32)
    result = FrameResult(
        number=0, table=table, probabilities=probabilities / probabilities.sum(0), depth=depth.astype(np.uint8),
        confidence=np.ones(SHAPE, np.float32), valid=np.ones(SHAPE, bool), counts=counts.astype(np.float32),
        image=np.kron(counts, np.ones((2, 2))).astype(np.float32), dose_e_per_a2=900.0, vacuum_level=10.0,
    )  # fmt: skip
    with write_artefact(folder, command="predict-micrograph", code="c", parameters={}) as partial:
        writer = open_folder(partial, facts)
        writer.put(replace(result, table=table[:few]))
        writer.lose(1, "it is torn")
        last = replace(result, number=2, counts=result.counts[:, ::-1].copy())
        if outside:
            last = replace(last, familiarity="outside", table=table.assign(reliable=False))
        writer.put(replace(last, table=table[:few]) if all_of_them else last)
        writer.close()


def test_the_step_refuses_a_fit_that_is_not_explained_unless_forced(scene, tmp_path):
    write_prediction(scene, tmp_path / "prediction")
    write_lens_fit(make_fit(explained=False), tmp_path / "lens.json")
    given = tmp_path / "prediction", tmp_path / "lens.json", tmp_path / "out"
    with pytest.raises(MicrographError, match="--force"):
        explain_prediction(*given)
    assert not (tmp_path / "out").exists()
    lines = explain_prediction(*given, force=True)
    assert lines[0].startswith("NOT EXPLAINED")
    facts = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert facts["explained"] is False and facts["lines"] == list(lines) and facts["frames"][0]["pixels"] == 30 * 44
    assert [one["frame"] for one in facts["frames"]] == [0, 2]
    table = pd.read_parquet(tmp_path / "out" / "columns_refined.parquet")
    assert not table["explained"].any() and set(scene.table["column"]) <= set(table["column"])
    assert (table["count_low"] <= table["count"]).all() and (table["count"] <= table["count_high"]).all()
    written = pd.read_csv(tmp_path / "out" / "columns_refined.csv")
    assert written["count"].tolist() == table["count"].tolist()
    with open_zarr(tmp_path / "out", "explain-prediction", part="explanation.zarr") as maps:
        assert maps.attrs["explained"] == 0 and maps.attrs["warnings"][0].startswith("NOT EXPLAINED")
        assert maps["frame"].values.tolist() == [0, 2] and len(lines) == 3
        chi2 = (maps["residual"] ** 2).mean(("row", "column")).values
        assert [one["chi2"] / (30 * 44) for one in facts["frames"]] == pytest.approx(chi2, rel=1e-4)
        assert float((maps["residual_refined"][0] ** 2).mean()) == pytest.approx(1, abs=0.15) and chi2[1] > 1.5
    assert (tmp_path / "out" / "explanation.png").stat().st_size > 1000
    page = (tmp_path / "out" / "explanation.html").read_text(encoding="utf-8")
    assert "NOT EXPLAINED: the lens fit is no fact" in page and json.dumps(lines[1]) in page
    planes = tifffile.imread(tmp_path / "out" / "explanation.ome.tif")
    assert planes.shape == (3, 6, 60, 88) and np.isnan(planes[1]).all()  # the lost frame keeps its place
    with open_zarr(tmp_path / "out", "explain-prediction", part="explanation.zarr") as maps:
        for frame, place in enumerate((0, 2)):
            for channel, name in ((3, "depth_refined"), (5, "residual_refined")):
                np.testing.assert_array_equal(planes[place, channel], np.kron(maps[name][frame], np.ones((2, 2))))
    assert table["reliable"].all()
    first = ase.io.read(tmp_path / "out" / "crystal.extxyz", 0, format="extxyz")
    assert first.info["warning"] == "NOT EXPLAINED: the lens fit is no fact" and not first.info["reliable"]
    assert pd.Series(first.arrays["column"]).value_counts().to_dict() == (
        table[(table["frame"] == 0) & (table["count"] > 0)].set_index("column")["count"].to_dict()
    )


def test_a_frame_of_few_columns_is_lost_and_the_others_are_explained(scene, tmp_path):
    write_prediction(scene, tmp_path / "prediction", few=5, outside=True)
    write_lens_fit(make_fit(), tmp_path / "lens.json")
    out = tmp_path / "out"
    lines = explain_prediction(tmp_path / "prediction", tmp_path / "lens.json", out)
    assert lines[0].startswith("NOT RELIABLE")
    assert "frame 0 is lost: columns: 5 of them do not make a lattice; at least 6 are needed" in lines
    assert [one["frame"] for one in json.loads((out / "explanation.json").read_text())["frames"]] == [2]
    table = pd.read_csv(out / "columns_refined.csv")
    assert set(table["frame"]) == {2} and not table["reliable"].any()
    with open_zarr(out, "explain-prediction", part="explanation.zarr") as maps:
        lost = maps["expected"].isnull().all(("row", "column")).values.tolist()
        assert lost == [True, False] and maps.attrs["warnings"] == list(lines)


def test_without_a_frame_of_enough_columns_nothing_is_written(scene, tmp_path):
    write_prediction(scene, tmp_path / "prediction", few=5, all_of_them=True)
    write_lens_fit(make_fit(), tmp_path / "lens.json")
    with pytest.raises(MicrographError, match="no frame could be explained; columns: 5 of them"):
        explain_prediction(tmp_path / "prediction", tmp_path / "lens.json", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("other", "told"),
    [({"dose_e_per_a2": 3000.0}, "the fit's dose is 3000 .* 900; is it this"), ({"energy_kev": 200.0}, "for 200 kV")],
)
def test_the_fit_of_another_film_is_refused(scene, tmp_path, other, told):
    write_prediction(scene, tmp_path / "prediction")
    write_lens_fit(make_fit(**other), tmp_path / "lens.json")
    with pytest.raises(ConfigError, match=told):
        explain_prediction(tmp_path / "prediction", tmp_path / "lens.json", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_not_there_is_told_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigError, match="device: got 'tpu'"):
        explain_prediction(tmp_path / "none", tmp_path / "none.json", tmp_path / "out", device="tpu")


def test_what_is_no_fit_and_no_prediction_is_refused_in_one_line(tmp_path):
    (tmp_path / "lens.json").write_text("{}")
    with pytest.raises(StoreError, match="no fit"):
        explain_prediction(tmp_path / "none", tmp_path / "lens.json", tmp_path / "out")
    write_lens_fit(make_fit(), tmp_path / "lens.json")
    with pytest.raises(StoreError):
        explain_prediction(tmp_path / "none", tmp_path / "lens.json", tmp_path / "out")
