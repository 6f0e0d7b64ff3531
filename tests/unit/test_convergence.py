"""The convergence study: what it measures on a small crystal, what it keeps of a stopped run, what it refuses."""

from __future__ import annotations

import ase.io
import numpy as np
import pandas as pd
import pytest
from conftest import CERIA, TITANATE_BLOCK, small_slab

from segdepth.config import Beam, Imaging
from segdepth.crystals import load_crystal
from segdepth.errors import ConfigError, StoreError
from segdepth.simulation.convergence import cases as cases_module
from segdepth.simulation.convergence import study, waves
from segdepth.simulation.convergence.cases import Case, Optics, cases, reference_beam
from segdepth.simulation.convergence.checks import check_study
from segdepth.simulation.convergence.images import DEFOCUS_NM, Microscope, TimedImages
from segdepth.simulation.electron import stored_orders
from segdepth.steps.plot_convergence import plot_convergence
from segdepth.steps.study_convergence import WaveCheckpoints, study_convergence
from segdepth.store.code_hash import reached
from segdepth.store.manifest import check_whole, read_manifest, write_artefact

CELL, PLANE = 2029.125, 191.3
BEAM, IMAGING = Beam(absorption=False), Imaging()
TIMES = ["multislice_s", "multislice_ratio", "image_ms"]


def write_atoms(path, thicknesses=(3,), shift=0.0):
    """An atoms file as ``build-specimens`` makes it; the structures are called alike whatever they hold."""
    frames = []
    for index, count in enumerate(thicknesses):
        frame = small_slab(count)[0]
        frame.positions[:, 0] += shift
        frame.info |= {"id": f"slab-{index:05d}", "index": index}
        frames.append(frame)
    with write_artefact(path, command="build-specimens", code="x", parameters={}) as partial:
        ase.io.write(partial, frames, format="extxyz")
    return path


@pytest.fixture
def atoms(tmp_path):
    return write_atoms(tmp_path / "shard-000.extxyz", (2, 3, 4))


class Pinhole(Microscope):
    """Images at once: the intensity of the wave, the same at each defocus."""

    def images(self, waves, optics):
        orders = min(20, waves.shape[-1] // 2)
        keep = np.r_[0 : orders + 1, -orders:0]
        intensity = (np.abs(np.fft.ifft2(waves[:, keep[:, None], keep])) ** 2).mean(0)
        return TimedImages(np.stack([intensity] * len(DEFOCUS_NM)), 0.001, 2 * orders + 1)


@pytest.fixture
def multislices(monkeypatch):
    """Waves at once, that depend on the structure and the beam; the calls are counted."""
    calls = []

    def at_once(frame, beam, rng, projection):
        calls.append((frame.info["id"], beam, projection))
        orders = stored_orders(CELL, beam.energy_kev, beam.stored_angle_mrad)
        k = np.r_[0 : orders + 1, -orders:0]
        strength = 0.02 + 1e-5 * beam.pixel_pm + 1e-3 * abs(float(frame.positions[:, 0].mean())) / len(frame)
        wave = strength * 1j * np.exp(-(k[:, None] ** 2 + k[None, :] ** 2) / 200) * np.exp(0.3j * k[:, None])
        wave[0, 0] = 1
        return np.stack([wave * np.exp(1j * rng.normal())] * max(1, beam.frozen_phonons)), 1.0 + len(calls)

    def few(beam, imaging, cell_pm, plane_pm, phonons):
        kept = {}
        for case in cases(beam, imaging, cell_pm, plane_pm, phonons):
            kept.setdefault(case.group, []).append(case)
        return [case for group in kept.values() for case in group[:2]]

    monkeypatch.setattr(study, "timed_waves", at_once)
    monkeypatch.setattr(study, "cases", few)
    monkeypatch.setattr(study, "Microscope", Pinhole)
    monkeypatch.setattr(study, "compile_all", lambda *_: None)
    return calls


def run(atoms, out, **more):
    given = {"beam": BEAM, "imaging": IMAGING, "structures": [1], "phonons": 1} | more
    study_convergence(
        given.pop("beam"), given.pop("imaging"), atoms, given.pop("structures"), out, code="code", **given
    )
    return pd.read_csv(out)


def refused(*arguments, **more) -> str:
    with pytest.raises(ConfigError) as told:
        run(*arguments, **more)
    assert "\n" not in str(told.value)
    return str(told.value)


# --- what it measures


@pytest.fixture(scope="module")
def measured(tmp_path_factory, abtem):
    """The whole job on a crystal of three planes against a reference of 300²."""
    folder = tmp_path_factory.mktemp("study")
    atoms = write_atoms(folder / "shard-000.extxyz", (3,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases_module, "REFERENCE_POINTS", 300)
        patch.setattr(cases_module, "EXPLICIT_STEPS", 41)
        study_convergence(
            BEAM, IMAGING, atoms, [], folder / "study.csv", code="code", phonons=1, checkpoints=folder / "c"
        )
    return folder / "study.csv"


def test_the_table(measured):
    table = pd.read_csv(measured)
    errors = [f"error_{c1}nm_percent" for c1 in (1, 3, 5, 7, 9)]
    assert table["group"][0] == "reference" and table.loc[0, ["error_percent", *errors]].isna().all()
    rows = table[1:]
    assert np.isfinite(rows[[*errors, "error_percent", "image_ms", "intensity_points"]]).all(axis=None)
    assert np.allclose(rows["error_percent"], np.sqrt((rows[errors] ** 2).mean(axis=1)), rtol=1e-3)
    plain = rows[rows["case"].str.startswith("abTEM 300²")].iloc[0]
    assert plain["multislice_ratio"] == 1
    assert not (measured.parent / "c").exists() or not list((measured.parent / "c").iterdir())
    assert read_manifest(measured)["notes"]["waves_of_earlier_runs"] == 0


def test_the_default_is_near_the_reference_and_what_is_finer_is_nearer(measured):
    table = pd.read_csv(measured).set_index(["group", "case"])["error_percent"]
    assert table["everything", "this beam and imaging"] < 5
    assert table["grid", "5.3 pm"] < table["grid", "13.5 pm"]
    assert table["slices", "a slice a plane (191 pm)"] < table["slices", "three planes a slice"]
    assert table["slices", "slabs of 16.7 pm (finite projection)"] < table["slices", "a slice a plane (191 pm)"]
    focal = table["focal average"]
    assert focal["33 equal steps, ±2"] < focal["5 equal steps, ±2"]
    assert focal["10 modes"] < focal["5 modes"] and focal["modes, automatic"] < 1
    assert focal["17 Gauss-Hermite"] < focal["5 Gauss-Hermite"]
    assert focal["explicit, 41 steps, ±3"] < 0.2
    grids = table["intensity grid"]
    exact = next(name for name in grids.index if "exact" in name)
    assert grids[exact] < 1e-6 and grids["as chosen for the image spread"] < 0.1
    apertures = table["aperture and stored angle"]
    assert apertures["60 mrad"] < apertures["30 mrad"]


def test_the_figure(measured, tmp_path):
    plot_convergence(measured, tmp_path / "study.png", code="code")
    for name in ("study.png", "study.pdf"):
        assert check_whole(tmp_path / name)["inputs"][0]["content"] == read_manifest(measured)["content"]


BROKEN = {
    "empty": "",
    "no columns": "a,b\n1,2\n",
    "no errors": "group,case,multislice_s,image_ms\ngrid,5 pm,1,2\n",
    "words": "group,case,multislice_s,image_ms,error_1nm_percent\ngrid,5 pm,1,2,much\n",
    "no rows": "group,case,multislice_s,image_ms,error_1nm_percent\n",
    "ragged": "group,case\n1,2,3,4\n1,2,3,4,5\n",
    "no text": b"\xff\xfe\x00\x81",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_table_is_told_in_one_line(tmp_path, kind):
    path, text = tmp_path / "study.csv", BROKEN[kind]
    with write_artefact(path, command="study-convergence", code="x", parameters={}) as partial:
        partial.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(StoreError, match="study.csv") as told:
        plot_convergence(path, tmp_path / "out.png", code="code")
    assert "\n" not in str(told.value) and not (tmp_path / "out.png").exists()


# --- cases


def test_cases_need_no_frozen_phonons_of_the_beam():
    shaken = BEAM.model_copy(update={"frozen_phonons": 7})
    assert list(cases(shaken, IMAGING, CELL, PLANE, 3)) == list(cases(BEAM, IMAGING, CELL, PLANE, 3))
    assert reference_beam(shaken, CELL) == reference_beam(BEAM, CELL)
    snapshots = [case for case in cases(shaken, IMAGING, CELL, PLANE, 3) if case.beam and case.beam.frozen_phonons]
    assert len(snapshots) == 2 and {case.beam.frozen_phonons for case in snapshots} == {3}


def test_a_grid_too_coarse_for_what_is_stored_makes_no_row():
    wide = BEAM.model_copy(update={"stored_angle_mrad": 80, "pixel_pm": 5.3})
    names = [case.name for case in cases(wide, IMAGING, 6763.75, PLANE, 0) if case.group == "grid"]
    assert names[0] == "5.3 pm" and "13.5 pm" not in names
    assert "13.5 pm" in [case.name for case in cases(BEAM, IMAGING, 6763.75, PLANE, 0)]


@pytest.mark.parametrize("cell_pm", [700.0, CELL, 6763.75, 20000.0])
def test_intensity_grids_follow_the_cell(cell_pm):
    orders = stored_orders(cell_pm, 300, 45)
    points = [
        case.optics.intensity_points
        for case in cases(BEAM, IMAGING, cell_pm, PLANE, 0)
        if case.group == "intensity grid"
    ]
    assert points[0] is None and points[1] >= 4 * orders + 1
    assert points[2:] == sorted(set(points[2:]), reverse=True) and 2 * orders < points[-1] < 3 * orders


def test_the_blocks_own_focal_average_is_the_first_row():
    first = next(iter(cases(BEAM, IMAGING, CELL, PLANE, 0)))
    assert (first.optics.focal, first.optics.focal_samples) == ("modes", None)
    stepped = next(iter(cases(BEAM, Imaging(focal_steps=17), CELL, PLANE, 0)))
    assert (stepped.optics.focal, stepped.optics.focal_samples) == ("steps", 17)
    assert Case("a", "b").optics == Optics(focal="modes", focal_samples=cases_module.REFERENCE_MODES)


def test_a_slice_a_plane_is_named_by_the_crystals_planes():
    """[110] of fluorite has planes every a/(2√2); SrTiO3 [001] has SrO and TiO2 every a/2."""
    assert study.crystal_plane_pm(CERIA) == pytest.approx(541.1 / 8**0.5, abs=0.01)
    titanate = load_crystal(TITANATE_BLOCK, "titanate")
    assert study.crystal_plane_pm(titanate) == pytest.approx(titanate.periods_pm[2] / 2)
    frame = small_slab(3)[0]
    assert study.frames_plane_pm([frame]) == pytest.approx(191.3, abs=0.1)
    names = [case.name for case in cases(BEAM, IMAGING, CELL, 195.2, 0) if case.group == "slices"]
    assert names[0] == "a slice a plane (195 pm)"


def test_a_rectangular_cell_is_refused(tmp_path, multislices):
    frame = small_slab(2)[0]
    frame.cell[1, 1] += 1
    with pytest.raises(ConfigError, match="square cell, got 2029.1. x 2129.1"):
        study.Study(BEAM, IMAGING, [frame], 0.0, CERIA)


# --- the job


def test_frozen_phonons_of_the_beam_change_no_number(atoms, tmp_path, multislices):
    still = run(atoms, tmp_path / "a.csv")
    shaken = run(atoms, tmp_path / "b.csv", beam=BEAM.model_copy(update={"frozen_phonons": 5}))
    pd.testing.assert_frame_equal(still.drop(columns=TIMES), shaken.drop(columns=TIMES))


def test_structures_that_are_not_named_are_the_thickest_and_the_middle_one(atoms, tmp_path, multislices):
    run(atoms, tmp_path / "a.csv", structures=[])
    assert read_manifest(tmp_path / "a.csv")["notes"]["structures"] == ["slab-00002", "slab-00001"]


def test_a_stopped_study_goes_on(atoms, tmp_path, monkeypatch, multislices):
    whole = run(atoms, tmp_path / "whole.csv", checkpoints=tmp_path / "other")
    needed = len(multislices)
    multislices.clear()
    at_once, kept = study.timed_waves, tmp_path / "kept"

    def stops(*arguments):
        if len(multislices) == 5:
            raise KeyboardInterrupt
        return at_once(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(study, "timed_waves", stops)
        run(atoms, tmp_path / "out.csv", checkpoints=kept)
    assert not (tmp_path / "out.csv").exists() and len(list(kept.iterdir())) == 5
    files = sorted(kept.iterdir())
    files[0].write_bytes(files[0].read_bytes()[:100])  # damaged: made anew
    mine = [kept / "mine.npz", kept / "0123456789abcdef.npz", kept / "notes.txt"]
    for path in mine:
        path.write_bytes(b"mine")
    found = run(atoms, tmp_path / "out.csv", checkpoints=kept)
    assert len(multislices) == needed + 1
    assert read_manifest(tmp_path / "out.csv")["notes"]["waves_of_earlier_runs"] == 4
    pd.testing.assert_frame_equal(found.drop(columns=TIMES), whole.drop(columns=TIMES))
    assert sorted(kept.iterdir()) == sorted(mine) and all(path.read_bytes() == b"mine" for path in mine)


def test_another_crystal_of_the_same_name_has_its_own_waves(atoms, tmp_path, monkeypatch, multislices):
    def stops(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(study, "_table", stops)
        run(atoms, tmp_path / "out.csv", checkpoints=tmp_path / "kept")
    first = len(multislices)
    other = write_atoms(tmp_path / "other.extxyz", (2, 3, 4), shift=0.4)
    expected = run(other, tmp_path / "expected.csv")
    multislices.clear()
    found = run(other, tmp_path / "out.csv", checkpoints=tmp_path / "kept")
    assert len(multislices) == first
    pd.testing.assert_frame_equal(found.drop(columns=TIMES), expected.drop(columns=TIMES))


def test_waves_outlive_a_change_of_the_optics(atoms, tmp_path, multislices):
    """The key holds the code of the multislice and no word of the imaging."""
    kept = WaveCheckpoints(tmp_path, "content")
    reached_modules = {target.module for target in reached(waves.__name__)}
    assert "segdepth.simulation.exit_wave" in reached_modules
    assert not any("simulation" in name and ("optics" in name or "lens" in name) for name in reached_modules)
    frame = small_slab(2)[0]
    kept.waves(frame, BEAM, None, 0)
    kept.waves(frame, BEAM, None, 0)
    assert len(multislices) == 1 and not kept.reused
    for beam, projection, seed in ((BEAM, "finite", 0), (BEAM, None, 1), (Beam(), None, 0)):
        kept.waves(frame, beam, projection, seed)
    assert len(multislices) == 4


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"structures": [9]}, ["does not hold structure 9", "0 to 2"]),
        ({"beam": Beam(tilt_mrad=(0, 2))}, ["beam.tilt_mrad", "[0, 2]"]),
        ({"beam": Beam(random_tilt_mrad=(0, 2))}, ["beam.random_tilt_mrad", "[0, 2]"]),
        ({"beam": Beam(debye_waller_scale=(0.5, 2))}, ["beam.debye_waller_scale", "[0.5, 2.0]"]),
        ({"beam": Beam(parametrization=("lobato", "peng"))}, ["beam.parametrization", "[lobato, peng]"]),
        ({"beam": Beam(stored_angle_mrad=40)}, ["imaging.aperture_mrad: got 45", "beam.stored_angle_mrad (40)"]),
        ({"beam": Beam(pixel_pm=15, stored_angle_mrad=100)}, ["beam.pixel_pm: got 15"]),
        ({"imaging": Imaging(pixel_pm=20)}, ["imaging.pixel_pm", "whole number of pixels"]),
        ({"imaging": Imaging(c3_um=(-9, -8))}, ["imaging.c3_um", "range [-9, -8]"]),
        ({"imaging": Imaging(image_spread_pm=(10, 20))}, ["imaging.image_spread_pm"]),
        ({"imaging": Imaging(mtf_nyquist=(0.5, 1))}, ["imaging.mtf_nyquist"]),
        ({"imaging": Imaging(a1_nm=3)}, ["imaging.a1_azimuth_deg", "[0, 360]"]),
        ({"imaging": Imaging(b2_nm=(0, 40), b2_azimuth_deg=(30, 30))}, ["imaging.b2_nm"]),
    ],
)
def test_what_is_refused(atoms, tmp_path, multislices, more, words):
    told = refused(atoms, tmp_path / "out.csv", **more)
    assert all(word in told for word in words), told
    assert not multislices and not (tmp_path / "out.csv").exists()


def test_a_fixed_astigmatism_is_one_lens(atoms, tmp_path, multislices):
    fixed = Imaging(a1_nm=3, a1_azimuth_deg=(30, 30), c3_um=(-9, -9))
    assert len(run(atoms, tmp_path / "out.csv", imaging=fixed)) > 10


def test_the_study_needs_one_lens_and_an_upright_beam():
    """Told by the workflow when the study is asked for, and by the job."""

    def told(**changes) -> str:
        beam, imaging = Beam(tilt_mrad=changes.pop("tilt_mrad", (0.0, 0.0))), Imaging(**changes)
        with pytest.raises(ConfigError) as failure:
            check_study(beam, imaging, "beams.b", "imaging.i")
        return str(failure.value)

    check_study(Beam(), Imaging(a1_nm=2.0, a1_azimuth_deg=(30.0, 30.0)))
    assert "imaging.i.a1_azimuth_deg: got the range [0, 360]" in told(a1_nm=2.0)
    assert "imaging.i.c3_um: got the range [-12, -6]" in told(c3_um=(-12, -6))
    assert "imaging.i.focal_spread_nm: got 8; at most 7" in told(focal_spread_nm=8)
    assert "imaging.i.aperture_mrad: got 60; at most beams.b.stored_angle_mrad (45)" in told(aperture_mrad=60)
    assert "beams.b.tilt_mrad: got [2, 0]" in told(tilt_mrad=(2.0, 0.0))
