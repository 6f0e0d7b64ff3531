"""The ideal observer of a yardstick's recordings: against that of stored images, under tilt, with the same draws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import CERIA, CERIA_BLOCK, RINGS, SMALL_BEAM, small_slab
from scipy.stats import norm

from segdepth.config import Beam, Dataset, Imaging, Specimen, Yardstick
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation.ideal_observer_images import Images, observed_columns
from segdepth.evaluation.ideal_observer_recordings import (
    RECORDED,
    by_recording,
    coherent,
    column_waves,
    observed_column,
    observer_metrics,
)
from segdepth.evaluation.recordings import DrawnRecording, draw_recording
from segdepth.simulation.arbitrary_pixel import form_at_pixel
from segdepth.simulation.configurations import stored_weights
from segdepth.simulation.detector import electrons_per_pixel
from segdepth.simulation.lens_values import LENS_VALUES, draw_lens_values
from segdepth.specimen.columns import column_table
from segdepth.steps.build_specimens import build_specimens
from segdepth.steps.estimate_yardstick_observer import estimate_yardstick_observer
from segdepth.steps.measure_yardstick import _recordings
from segdepth.steps.plan_specimens import plan_specimens
from segdepth.steps.project_depth import project_depth
from segdepth.steps.simulate_waves import simulate_waves
from segdepth.steps.tabulate_yardsticks import tabulate_yardsticks
from segdepth.store.manifest import write_artefact
from segdepth.store.zarr_store import open_zarr

LENS = Imaging(defocus_nm=(4,), focal_steps=3, image_spread_pm=20)
SPECIMEN = Specimen(
    crystal="ceria", structures=3, shard_size=2, field_pm=1352.75, margin_pm=422.734375, bulk_atoms=(3, 4),
    tilt_deg=(0.5, 1), tilt_by="propagation",
)  # fmt: skip
VARIED = Imaging(defocus_nm={"start": 2, "stop": 8, "step": 2}, focal_steps=3, a1_nm=(0, 2), b2_nm=(0, 50))
DATASET = Dataset(specimen="s", beam="b", imaging="i", labels="l", splits={"test": 1, "validation": 0, "train": 0})
STICK = Yardstick(dataset="d", pixel_pm=(6, 8), dose_lambda=(1, 20), recordings=2, observed_columns=1)

DRAWN = {
    "pixel_pm": 7.31747438356417, "dose_lambda": 4.63691592813494, "quarter_turns": 3, "defocus_nm": 4.6341025704,
    "a1_nm": 0.2530373818, "b2_nm": 31.2915007559, "b2_azimuth_deg": 116.2626626157,
}  # fmt: skip
TAG_PM, NOISE = 7.447955486851213, 0.17027482054446597


def recording(imaging: Imaging, electrons: float = 40.0) -> DrawnRecording:
    rng = np.random.default_rng(0)
    lens = draw_lens_values(imaging, [4.0], rng)
    return DrawnRecording(imaging.pixel_pm, imaging.pixel_pm, electrons, 0, lens, rng, {"recording": 0})


def middle_columns(atoms, block, each: int = 1) -> pd.DataFrame:
    """The nearest to the field's middle, ``each`` of every element."""
    table = column_table(atoms, block.margin_pm, block.field_pm)
    away = np.hypot(table["x_pm"] - block.field_pm / 2, table["y_pm"] - block.field_pm / 2)
    return table.assign(away=away).sort_values("away").groupby("element").head(each)


def test_the_draws_of_a_recording_stay_what_they_are():
    drawn = draw_recording(STICK, VARIED, (3, "s", 1), 1)
    assert [drawn.facts[name] for name in ("structure", "recording")] == [1, 1]
    values = {name: drawn.facts[name] for name in DRAWN} | {"tag_pm": drawn.tag_pm, "noise": drawn.noise.random()}
    assert values == pytest.approx(DRAWN | {"tag_pm": TAG_PM, "noise": NOISE}, rel=1e-7)


def test_it_agrees_with_the_observer_of_stored_images(abtem):
    """An upright crystal and one lens, where both apply: one takes the whole cell and the images' own pixel, the other
    a square about the column and a camera."""
    atoms, block = small_slab(5)
    columns, images = middle_columns(atoms, block), Images(SMALL_BEAM, LENS, block, "cpu")
    expected = observed_columns(atoms, columns, images, CERIA, 40.0, (0, "slab", 0))
    for column, one in zip(columns.to_dict("records"), expected, strict=True):
        for side, allowed in ((3000.0, 0.01), (1600.0, 0.02)):  # the whole cell, and less
            waves, attributes = column_waves(atoms, column["column"], SMALL_BEAM, CERIA, side)
            found = observed_column(waves, attributes, LENS, recording(LENS))
            for name in ("d_prime_minus", "d_prime_plus", "columns_exact"):
                assert found[name] == pytest.approx(one[name], rel=allowed), (side, name)


def test_under_a_tilted_beam_an_atom_changes_nothing_far_away(abtem):
    """An atom more on the tallest column moves the middle between first and last atom, which alone would displace the
    image of all columns."""
    atoms, block = small_slab(4)
    atoms.info |= {"tilt_x_deg": 0.8, "tilt_y_deg": -0.5}
    column = int(middle_columns(atoms, block)["column"].iloc[0])
    waves, attributes = column_waves(atoms, column, SMALL_BEAM, CERIA)
    plain, minus, plus = (form_at_pixel(LENS, attributes, one, recording(LENS).lens, 10.0)[0] for one in waves)
    at = (np.arange(len(plain)) + 0.5) * 10 - attributes["cell_pm"][0] / 2
    far = np.hypot(at, at[:, None]) > 650
    for changed in (minus, plus):
        change = np.abs(changed - plain)
        assert change.max() > 0.05 and change[far].max() < 0.03 * change.max()


def test_the_coherent_beam_has_no_snapshots_and_no_finer_grid_than_it_needs():
    found = coherent(Beam(pixel_pm=7.5, frozen_phonons=8, energy_kev=200))
    assert (found.frozen_phonons, found.diffuse_snapshots, found.absorption, found.energy_kev) == (0, 0, True, 200)
    assert found.pixel_pm == 10.5 and coherent(Beam(pixel_pm=12)).pixel_pm == 12
    assert coherent(Beam(diffuse_snapshots=2)).diffuse_snapshots == 0


def rows(*values: tuple[int, str, float]) -> pd.DataFrame:
    table = pd.DataFrame(values, columns=["structure", "element", "columns_exact"])
    return table.assign(recording=0, atoms=3, binary_error=0.1, d_prime_minus=1.0, d_prime_plus=2.0)


def test_means_by_recording_and_over_all():
    table = rows((0, "Ce", 0.8), (0, "Ce", 0.6), (0, "O", 0.3), (1, "Ce", 0.4))
    facts = pd.DataFrame({"structure": [0, 1, 2], "recording": 0, "dose_lambda": [1.0, 2.0, 3.0]})
    found = by_recording(table, facts)
    assert found["structure"].tolist() == [0, 0, 1, 2] and found["dose_lambda"].tolist() == [1, 1, 2, 3]
    assert found["columns"].tolist()[:3] == [2, 1, 1] and found["columns_exact"].tolist()[:3] == [0.7, 0.3, 0.4]
    assert found.iloc[3][["element", "columns_exact"]].isna().all()
    metrics = observer_metrics(table, [0, 1], ("Ce", "O"), np.random.default_rng(0)).set_index("element")
    assert set(metrics["metric"]) == {"ideal_observer_exact"}
    assert metrics["value"].to_dict() == pytest.approx({"all": 0.525, "Ce": 0.6, "O": 0.3})
    assert metrics.loc["Ce", ["low", "high"]].tolist() == pytest.approx([0.4, 0.7])  # each of the two structures


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Two shards of atoms; of the second, waves and depth too."""
    root = tmp_path_factory.mktemp("stick")
    folder = root / "specimens"
    plan_specimens(SPECIMEN, CERIA_BLOCK, "s", 3, folder / "plan.csv", code="code")
    paths = [folder / f"shard-{shard:03d}.extxyz" for shard in range(SPECIMEN.shards)]
    for number, path in enumerate(paths):
        build_specimens(SPECIMEN, CERIA_BLOCK, "s", 3, number, folder / "plan.csv", path, code="code")
    return paths


def estimate(atoms, out, **changes):
    given = {
        "yardstick": STICK, "dataset": DATASET, "specimen": SPECIMEN, "beam": SMALL_BEAM, "imaging": VARIED,
        "labels": RINGS, "atoms": atoms, "out": out, "name": "stick", "code": "code", "device": "cpu", "edge_nm": 0.3,
    }  # fmt: skip
    estimate_yardstick_observer(**given | changes)
    return out


@pytest.fixture(scope="module")
def observed(shards, tmp_path_factory, abtem):
    return estimate(shards, tmp_path_factory.mktemp("observed") / "stick")


def test_an_estimate_from_atoms_to_files(observed):
    columns, frames, metrics = (pd.read_csv(observed / f"{name}.csv") for name in ("columns", "frames", "observer"))
    assert tuple(columns) == RECORDED and set(columns["structure"]) == {0, 1, 2} and set(columns["recording"]) == {0, 1}
    assert columns.groupby(["structure", "recording", "element"]).size().eq(1).all()
    assert columns[["x_pm", "y_pm"]].stack().between(300, 1052.75).all() and columns["atoms"].between(2, 9).all()
    expected = norm.cdf(columns["d_prime_minus"] / 2) + norm.cdf(columns["d_prime_plus"] / 2) - 1
    assert columns["columns_exact"].to_numpy() == pytest.approx(expected, abs=1e-6)
    assert (columns[["d_prime_minus", "d_prime_plus"]] > 0.05).all().all()
    for element in ("Ce", "O"):
        mine = columns[columns["element"] == element]["columns_exact"]
        assert metrics.set_index("element").loc[element, "value"] == pytest.approx(mine.mean())
        assert frames[frames["element"] == element]["columns_exact"].to_numpy() == pytest.approx(mine.to_numpy())


def test_its_recordings_are_those_that_networks_are_measured_on(observed, shards, tmp_path, abtem):
    waves, depth = tmp_path / "waves.zarr", tmp_path / "depth.zarr"
    simulate_waves(SMALL_BEAM.model_copy(update={"pixel_pm": 12}), shards[1], waves, code="code", device="cpu")
    project_depth(RINGS, shards[1], depth, code="code")
    measured = pd.DataFrame(facts for facts, *_ in _recordings(STICK, VARIED, [waves], [depth], {2}))
    frames = pd.read_csv(observed / "frames.csv")
    mine = frames[(frames["structure"] == 2) & (frames["element"] == "O")]
    assert len(measured) == len(mine) == 2 and measured["dose_lambda"].nunique() == 2
    for name in measured:
        assert mine[name].to_numpy() == pytest.approx(measured[name].to_numpy(), rel=1e-7), name


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"yardstick": STICK.model_copy(update={"observed_columns": 0})}, "observed_columns: got 0"),
        ({"specimen": SPECIMEN.model_copy(update={"tilt_by": "atoms"})}, "tilt_by: got atoms"),
        ({"specimen": SPECIMEN.model_copy(update={"carbon_probability": 0.5})}, "carbon_probability: got 0.5"),
        ({"dataset": DATASET.model_copy(update={"specimen": "other"})}, "another specimen block or name"),
        ({"edge_nm": 0.67}, "yardstick 'stick': no column of 2 to 9 atoms"),
    ],
)
def test_what_cannot_be_estimated_is_said_in_one_line(changes, line, shards, tmp_path, abtem):
    with pytest.raises((ConfigError, StoreError), match=line) as refusal:
        estimate(shards, tmp_path / "d", **changes)
    assert "\n" not in str(refusal.value) and not (tmp_path / "d").exists()


def test_the_table_shows_it_below_what_the_network_reaches(observed, tmp_path):
    folder = tmp_path / "net" / "stick"
    options = {"command": "measure-yardstick", "code": "code", "inputs": [], "parameters": {"name": "stick"}}
    with write_artefact(folder, **options, seeds={}) as partial:
        partial.mkdir()
        rows = ["metric,element,value,low,high,aim,aim_most", "columns_exact,Ce,0.5,0.4,0.6,0.65,0.65"]
        rows += ["columns_covered,Ce,0.95,0.9,0.97,0.88,0.93", "columns_covered,all,0.9,0.8,0.92,0.88,0.93"]
        (partial / "yardstick.csv").write_text("\n".join([*rows, ""]))
    tabulate_yardsticks([folder], [observed], tmp_path / "table.csv", code="code")
    table = pd.read_csv(tmp_path / "table.csv", keep_default_na=False)
    assert table["metric"].tolist() == ["columns_exact", *["columns_covered"] * 2, *["ideal_observer_exact"] * 3]
    assert table["met"].tolist() == ["no", "no", "yes", "", "", ""]
    assert table["element"].tolist()[3:] == ["all", "Ce", "O"]
    assert set(table["yardstick"]) == {"stick"}
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[2].endswith("aim 0.65: not met |") and lines[3].endswith("aim 0.88 to 0.93: not met |")
    assert lines[6].startswith("| ideal observer exact, Ce | ")


def test_a_recording_adds_diffuse_electrons_as_stored_images_do(shards, tmp_path, abtem):
    waves, depth = tmp_path / "waves.zarr", tmp_path / "depth.zarr"
    beam = SMALL_BEAM.model_copy(update={"pixel_pm": 12, "diffuse_snapshots": 1})
    simulate_waves(beam, shards[1], waves, code="code", device="cpu")
    project_depth(RINGS, shards[1], depth, code="code")
    bright = STICK.model_copy(update={"dose_lambda": (10_000, 10_000), "recordings": 1})
    ((facts, counts, *_),) = _recordings(bright, VARIED, [waves], [depth], {2})
    with open_zarr(waves, "simulate-waves") as store:
        lens = {name: [facts[name]] for name in facts if name in LENS_VALUES}
        wave, weights = store.sel(structure=2)["wave"].values, stored_weights(store)
        with_diffuse, plain_mean = (
            form_at_pixel(VARIED, store.attrs, wave, lens, facts["pixel_pm"], each)[0] for each in (weights, None)
        )
    vacuum = electrons_per_pixel(10_000, facts["pixel_pm"], VARIED.detection_efficiency)
    seen = np.rot90(counts, -facts["quarter_turns"]) / vacuum
    assert np.abs(seen - with_diffuse).max() < 0.1 * np.abs(with_diffuse - plain_mean).max()
