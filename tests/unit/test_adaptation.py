"""A network tuned to one film: ranges that hold the lens fit, a plan for the workflow, and nothing made twice."""

from __future__ import annotations

import json
import math
import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from adaptation_data import FIT, write_film, write_fit, write_network
from conftest import CERIA
from hypothesis import assume, given
from hypothesis import strategies as st

from segdepth.adaptation import draft
from segdepth.adaptation.blocks import Budget, beam_lines, crystal_block, imaging_lines, margin_pm, specimen_lines
from segdepth.adaptation.ranges import AZIMUTH_FLOOR_DEG, FLOORS, LIMITS, TILT_FLOOR_DEG, Line, tilt_ranges
from segdepth.adaptation.rates import budget_of
from segdepth.adaptation.thickness import SIDE_ATOMS, rise_of
from segdepth.cli import main
from segdepth.config import RESERVED, Beam, CrystalBlock, Imaging, PredictionOptions, Specimen, load_config, validate
from segdepth.crystals import load_crystal
from segdepth.errors import ConfigError, SegDepthError
from segdepth.fitting.result import FittedBin
from segdepth.learning import callbacks
from segdepth.networks.bundled import folder_of
from segdepth.networks.card import read_card
from segdepth.specimen.checks import check_specimen
from segdepth.specimen.faces import thickness_atoms
from segdepth.steps import adaptation_structures
from segdepth.steps import plan_adaptation as planning
from segdepth.steps.adapt_network import adapt_network
from segdepth.steps.adaptation_structures import make_structures
from segdepth.steps.check_config import check_config
from segdepth.steps.layout import Layout
from segdepth.steps.plan_adaptation import plan_adaptation
from segdepth.store.claims import release_all
from segdepth.store.trace import describe, trace

COARSE = [Line("pixel_pm", 12.0), Line("slice_pm", 191.3)]
"""A multislice that takes no time."""

PLAIN = ("c3_um", "c5_mm", "focal_spread_nm", "convergence_mrad", "image_spread_pm", "contrast_factor", "background")


def block_of(kind, lines):
    return validate(kind, {line.key: line.value for line in lines}, "block")


# --- ranges ----------------------------------------------------------------------------------------------------------


@given(st.data())
def test_the_imaging_block_holds_values_and_errors_and_is_never_too_narrow(data):
    values, errors = dict(FIT.values), {}
    spans = {"defocus_nm": (-20, 20), "c3_um": (-25, 25), "c5_mm": (-7, 7), "focal_spread_nm": (0, 9)}
    spans |= {"convergence_mrad": (0, 0.5), "image_spread_pm": (0, 40), "contrast_factor": (0.5, 1)}
    spans |= {"background": (0, 1), "a1_nm": (0, 6), "b2_nm": (0, 200), "a2_nm": (0, 300)}
    for name, (low, high) in spans.items():
        values[name] = data.draw(st.floats(low, high), name)
        errors[name] = data.draw(st.one_of(st.none(), st.floats(0, 0.5 * (high - low))), name)
    block = block_of(Imaging, imaging_lines(replace(FIT, values=values, errors=errors, held=()), 21.13671875))
    ranges = {"defocus_nm": block.trained_defocus_nm} | {name: getattr(block, name) for name in spans if name in FLOORS}
    ranges["defocus_nm"] = block.trained_defocus_nm
    for name, (low, high) in ranges.items():
        least, most = LIMITS.get(name, (-math.inf, math.inf))
        wide = max(FLOORS[name], 2 * errors[name] if errors[name] is not None else 0.0)
        for end in (values[name] - wide, values[name] + wide):
            tiny = 0.002 * (1 + abs(end))  # rounding, and ends that are written as 0
            assert low - max(tiny, 0.1 * FLOORS[name]) <= min(max(end, least), most) <= high + tiny, name


def test_the_documentation_has_the_floors():
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "adapt.md").read_text(encoding="utf-8")
    named = {"C1": "defocus_nm", "A1": "a1_nm", "B2": "b2_nm", "A2": "a2_nm"}
    told = [f"{name} {FLOORS[key]:g} nm" for name, key in named.items()]
    told += [f"focal spread {FLOORS['focal_spread_nm']:g} nm", f"vibration {FLOORS['image_spread_pm']:g} pm"]
    told += [f"contrast factor {FLOORS['contrast_factor']:g}", f"background {FLOORS['background']:g}"]
    told += [f"azimuths {AZIMUTH_FLOOR_DEG:g}°", f"at least {TILT_FLOOR_DEG:g}°", f"± {SIDE_ATOMS} atoms"]
    assert [each for each in told if each not in " ".join(page.split())] == []


def test_held_values_have_ten_percent_to_either_side():
    block = block_of(Imaging, imaging_lines(FIT, 21.13671875))
    assert block.c3_um == (-9.9, -8.1) and block.c5_mm == (4.5, 5.5)


@pytest.mark.parametrize(
    ("size", "azimuth", "error", "expected"),
    [
        (2.4, 170.0, 4.0, (162.0, 178.0)),
        (2.4, 178.0, 4.0, (170.0, 186.0)),
        (2.4, 352.0, 4.0, (-16.0, 0.0)),
        (2.4, 30.0, 0.1, (25.0, 35.0)),
        (2.4, 30.0, 50.0, (0.0, 360.0)),
        (2.4, 30.0, None, (0.0, 360.0)),
        (0.15, 30.0, 4.0, (0.0, 360.0)),  # the magnitude may be 0
    ],
)
def test_azimuths(size, azimuth, error, expected):
    fit = replace(
        FIT,
        values={**FIT.values, "a1_nm": size, "a1_azimuth_deg": azimuth},
        errors={**FIT.errors, "a1_azimuth_deg": error},
    )
    assert block_of(Imaging, imaging_lines(fit, 21.13671875)).a1_azimuth_deg == pytest.approx(expected)


@given(st.floats(-2.5, 2.5), st.floats(-2.5, 2.5), st.floats(0, 0.4), st.floats(0, 1), st.floats(0, 2 * math.pi))
def test_the_tilt_may_be_wrong_by_two_errors_in_any_direction(x, y, error, share, towards):
    values, errors = {"tilt_x_deg": x, "tilt_y_deg": y}, {"tilt_x_deg": error, "tilt_y_deg": error}
    size, azimuth = (line.value for line in tilt_ranges(replace(FIT, values=values, errors=errors), 4.0))
    wide = 0.99 * share * max(2 * error, 0.15)
    true = x + wide * math.cos(towards), y + wide * math.sin(towards)
    assume(math.hypot(*true) < 4)
    assert size[0] - 1e-3 <= math.hypot(*true) <= size[1] + 1e-3
    off = (math.degrees(math.atan2(true[1], true[0])) - azimuth[0]) % 360
    assert min(off, 360 - off) < 0.1 or off <= azimuth[1] - azimuth[0] + 0.1


@given(st.integers(6, 30), st.floats(1, 5), st.floats(0.5, 3), st.integers(0, 2**32 - 1))
def test_the_specimen_holds_the_rise_of_the_bins(bulk, surface, decay, seed):
    distance = np.array([165.0, 500, 830, 1160, 1650, 2310, 3300, 4800])
    noise = 0.3 * np.random.default_rng(seed).normal(size=distance.size)
    atoms = thickness_atoms(distance, bulk, surface, 1000 * decay) + noise
    rise = rise_of([FittedBin(d, t, 0.3, 30, 10, 10) for d, t in zip(distance, atoms)])
    assert rise.bulk[0] <= bulk <= rise.bulk[1] + 0.21 * (bulk - surface)  # 5 nm in, it may be still thinner
    assert rise.surface[0] <= surface <= rise.surface[1]
    if bulk - surface > 4:
        assert rise.decay_nm[0] <= decay <= rise.decay_nm[1] or bulk > rise.bulk[1]


def test_blocks_of_two_bins_and_of_none():
    rise = rise_of([FittedBin(d, t, 0.3, 30, 10, 10) for d, t in ((165.0, 12.2), (500.0, 14.0))])
    assert rise.bulk == (11, 17) and rise.surface == (1, 17)
    with pytest.raises(ValueError, match="no thickness"):
        rise_of([])


@pytest.mark.parametrize("vacuum", [None, 0.02, 0.4, 0.95])
def test_blocks_are_valid(vacuum):
    bins = tuple(replace(each, thickness_atoms=4 * each.thickness_atoms) for each in FIT.bins)
    steep = replace(FIT, bins=bins, values={**FIT.values, "tilt_x_deg": 2.4, "tilt_y_deg": 0.6})
    specimen = block_of(Specimen, specimen_lines(steep, CERIA, "crystal", 5411.0, vacuum, 40))
    check_specimen("specimen", specimen, CERIA)
    assert specimen.margin_pm == margin_pm(specimen, CERIA) >= 676
    assert specimen.facet_count == ((0, 0) if vacuum is None else (0, 2))
    assert block_of(Beam, beam_lines(replace(FIT, energy_kev=200.0))).energy_kev == 200


@pytest.mark.parametrize("lattice_pm", [None, 545.0])
def test_the_crystal_of_a_fit_is_found_among_the_known_structures(lattice_pm):
    block = CrystalBlock(structure="CeO2", zone_axis=(1, 1, 0), x_axis=(0, 0, 1), lattice_pm=lattice_pm)
    wanted = load_crystal(block, "crystal")
    found = load_crystal(crystal_block(wanted.to_dict()), "crystal")
    assert found.periods_pm == pytest.approx(wanted.periods_pm, rel=1e-9)
    assert found.columns == wanted.columns and found.debye_waller_pm == wanted.debye_waller_pm


def test_another_crystal_needs_its_block():
    strange = {**CERIA.to_dict(), "formula": "SrTiO3"}
    with pytest.raises(ConfigError, match=r"give its block with --crystal"):
        crystal_block(strange)


@given(st.floats(1, 60), st.integers(1, 16), st.floats(0.2, 20), st.floats(0.01, 0.5))
def test_the_budget_keeps_to_the_minutes(minutes, cores, structure_s, sample_s):
    made = budget_of(minutes, cores, structure_s, sample_s, 4.0)
    assert 16 <= made.structures <= 480 and made.samples >= 64
    spent = made.structures * structure_s / cores + made.samples * sample_s
    if made.structures > 16 and made.samples > 64:
        assert spent < 60 * minutes
    assert budget_of(2 * minutes, cores, structure_s, sample_s, 4.0).structures >= made.structures


# --- plans -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def given_files(tmp_path_factory) -> Path:
    """A folder with a film, its fit, and a network."""
    folder = tmp_path_factory.mktemp("adaptation")
    write_film(folder)
    write_network(folder)
    return folder


@pytest.fixture
def few(monkeypatch):
    """Five structures and no measuring."""
    monkeypatch.setattr(planning, "_measured_budget", lambda *_: Budget(5, 64))


def plan(folder: Path, out: Path, *, fit: Path | None = None, force=False, **changes) -> Path:
    return plan_adaptation(
        folder / "film.npy",
        fit or write_fit(folder, **changes),
        folder / "broad",
        out,
        prediction=PredictionOptions(pixel_pm=7.0),
        minutes=1.0,
        force=force,
        code="code",
    )


def test_a_plan_is_a_configuration_that_holds_the_fit(few, given_files, tmp_path):
    path = plan(given_files, tmp_path / "out")
    config = load_config(path)
    check_config(config)
    values, lens = FIT.values, config.imaging["adapted"]
    for name in PLAIN:
        low, high = getattr(lens, name)
        assert low < values[name] < high, name
    assert lens.trained_defocus_nm == pytest.approx((12.3 - 0.75, 12.3 + 0.75), abs=1e-3)
    specimen = config.specimens["adapted"]
    assert specimen.exit_fraction == (0.2, 0.6)
    assert specimen.tilt_deg[0] < math.hypot(1.0, 0.8) < specimen.tilt_deg[1]
    assert specimen.tilt_azimuth_deg[0] < math.degrees(math.atan2(-0.8, 1.0)) < specimen.tilt_azimuth_deg[1]
    assert config.beams["adapted"].diffuse_snapshots == 1
    model = config.models["adapted"]
    low, high = model.training.dose_lambda
    assert low < config.datasets["adapted"].dose_lambda < high and high / low == pytest.approx(1.5, rel=1e-4)
    assert model.init_weights == str(given_files / "broad") and not model.training.flip and not model.flip_average
    assert config.predictions["film"].input == str(given_files / "film.npy")
    assert "film.npy" in model.remark and "NOT RELIABLE" not in model.remark
    text = path.read_text()
    assert str(given_files / "lens_fit.json") in text and "# fit 12.3 ± 0.2" in text
    told = describe(trace(path))
    assert "whole" in told and all(name in told for name in ("film.npy", "lens_fit.json", "broad"))


def test_values_that_images_cannot_be_made_with_are_told_and_moved(few, given_files, tmp_path, monkeypatch, capsys):
    fit = write_fit(tmp_path, values={**FIT.values, "contrast_factor": 0.42, "exit_share": 1.1})
    given = "--lens", fit, "--out", tmp_path / "out", "--prediction", '{"pixel_pm": 7.0}', "--model"
    assert command(monkeypatch, "plan-adaptation", given_files / "film.npy", *given, given_files / "broad") == 0
    told = capsys.readouterr().err
    assert "contrast_factor: the fit's 0.42 is outside of 0.5 to 1, with which images are made; 0.5 is taken" in told
    assert "exit_share: the fit's 1.1 is outside of 0 to 1, with which images are made; 1 is taken" in told
    assert told.count("is taken") == 2
    lens = load_config(tmp_path / "out" / "config.yaml").imaging["adapted"]
    assert lens.contrast_factor[0] == 0.5 and lens.contrast_factor[1] >= 0.5


def test_a_plan_of_the_same_is_kept_and_one_of_another_is_not(few, given_files, tmp_path):
    path = plan(given_files, tmp_path / "out")
    first = path.stat().st_mtime_ns
    plan(given_files, tmp_path / "out")
    assert path.stat().st_mtime_ns == first
    plan(given_files, tmp_path / "out", energy_kev=200.0)
    assert load_config(path).beams["adapted"].energy_kev == 200


def command(monkeypatch, *arguments) -> int:
    """Exit status of a command."""
    monkeypatch.setattr(sys, "argv", ["segdepth", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


@pytest.mark.parametrize("name", RESERVED)
def test_a_network_of_the_package_is_named_and_copied(few, given_files, tmp_path, monkeypatch, capsys, name):
    """The workflow does not begin a training with a network that an export may replace."""
    fit = write_fit(tmp_path, bins=tuple(replace(each, thickness_atoms=each.thickness_atoms + 9) for each in FIT.bins))
    given = "--lens", fit, "--out", tmp_path / "out", "--prediction", '{"pixel_pm": 7.0}', "--model", name
    assert command(monkeypatch, "plan-adaptation", given_files / "film.npy", *given) == 0
    config = load_config(tmp_path / "out" / "config.yaml")
    assert config.models["adapted"].init_weights == str(tmp_path / "out" / "network")
    assert read_card(tmp_path / "out" / "network") == read_card(folder_of(name))
    thin = "counts up to 10 atoms, and the film has 17 of them" in capsys.readouterr().err
    assert thin == (name == "bundled")  # the other one counts further


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"explained": False, "chi2": 900.0}, r"does not explain the film \(chi2 900 for 50 .*--force"),
        ({"bins": ()}, "has no thickness of any bin"),
        ({"values": {**FIT.values, "defocus_nm": 250.0}}, "imaging.adapted.defocus_nm"),
        ({"dose_e_per_a2": 4000.0}, r"the fit's dose is 4000 .* is it this film's fit\?"),
        ({"crystal": {**CERIA.to_dict(), "zone_axis": [1, 0, 0]}}, r"does not fit the network .*zone_axis"),
    ],
)
def test_what_does_not_belong_together_is_refused_before_anything_is_written(few, given_files, tmp_path, changes, told):
    with pytest.raises(ConfigError, match=told):
        plan(given_files, tmp_path / "out", **changes)
    release_all()
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_not_there_is_told_before_anything_is_planned(given_files, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(planning, "plan_adaptation", lambda *_, **__: pytest.fail("planned first"))
    given = "--lens", write_fit(tmp_path), "--out", tmp_path / "out", "--device", "tpu"
    assert command(monkeypatch, "adapt", given_files / "film.npy", *given) == 2
    assert capsys.readouterr().err == "segdepth: error: device: got 'tpu'; allowed: auto, cpu, cuda\n"


# --- all of it -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapted(given_files) -> Path:
    """A network adapted by force to a fit that explains nothing."""
    out = given_files / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "_measured_budget", lambda *_: Budget(4, 64))
        patch.setattr(draft, "beam_lines", lambda fit: COARSE)
        fit = given_files / "bad.json"
        fit.write_text(json.dumps(replace(FIT, explained=False, chi2=900.0).to_dict()))
        plan(given_files, out, fit=fit, force=True)
    adapt_network(out, cores=1)
    return out


def test_every_output_of_a_forced_adaptation_says_so(adapted):
    line = "NOT RELIABLE: the network is adapted to a lens fit that does not explain film.npy"
    assert read_card(adapted / "results" / "models" / "adapted").remark.startswith(line)
    summary = json.loads((adapted / "results" / "predictions" / "film" / "summary.json").read_text())
    assert any(each.startswith(line) for each in summary["warnings"])
    assert line in (adapted / "results" / "predictions" / "film" / "prediction.html").read_text()


def test_a_prediction_is_traced_to_its_plan_and_its_first_network(adapted):
    chain = trace(adapted / "results" / "predictions" / "film")
    assert not chain.broken
    told = describe(chain)
    for name in ("film.npy", "data/specimens/adapted/plan.csv", "data/waves/adapted/adapted/shard-000.zarr", "broad"):
        assert name in told


def test_a_shard_that_cannot_be_made_is_told_in_one_line(adapted, tmp_path):
    config = load_config(adapted / "config.yaml")
    with pytest.raises(SegDepthError, match=r"plan\.csv: ") as told:
        make_structures(config, Layout(config), tmp_path / "nothing", 2, "cpu")
    assert "\n" not in str(told.value) and not list((tmp_path / "nothing").rglob("*.extxyz"))


def test_a_file_beside_the_film_that_is_named_like_a_module_is_not_run(adapted, tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("raise SystemExit('run')\n")
    monkeypatch.chdir(tmp_path)
    config = load_config(adapted / "config.yaml")
    with pytest.raises(SegDepthError, match=r"plan\.csv: "):  # as without it
        make_structures(config, Layout(config), tmp_path / "nothing", 2, "cpu")


PARENT = """
import builtins, sys, types
from segdepth.steps.adaptation_structures import _Running
CODE = "f = open(PIPE, 'wb', 0); f.write(b'x'); import time; time.sleep(300)".replace("PIPE", repr(sys.argv[1]))
class Shard:
    def __reduce__(self):
        return builtins.eval, ("__import__('types').SimpleNamespace(make=lambda: exec(%r))" % CODE,)
_Running().make(Shard())
"""
"""Has a shard made that opens the named pipe, writes a byte and sleeps."""


def test_a_shard_ends_with_the_process_that_asked_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    parent = subprocess.Popen([sys.executable, "-c", PARENT, tmp_path / "pipe"], start_new_session=True)
    try:
        assert select.select([reader], [], [], 120)[0] and os.read(reader, 1) == b"x"
        parent.kill()
        assert select.select([reader], [], [], 60)[0] and os.read(reader, 1) == b""  # the shard held it open
    finally:
        with suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()
        os.close(reader)


def test_a_fault_in_a_shard_comes_with_its_traceback(adapted, monkeypatch):
    config = load_config(adapted / "config.yaml")
    monkeypatch.setattr(adaptation_structures.pickle, "dumps", lambda shard: b"nothing that can be read")
    with pytest.raises(RuntimeError, match=r"shard 0: exit status 1\nTraceback"):
        make_structures(config, Layout(config), adapted, 1, "cpu")


def test_a_stopped_adaptation_goes_on_and_gives_the_same_bits(adapted, monkeypatch):
    out = adapted.with_name("stopped")
    shutil.copytree(adapted, out)
    shutil.rmtree(out / "results")
    waves = out / "data" / "waves" / "adapted" / "adapted" / "shard-000.zarr"
    shutil.rmtree(waves)  # as if the second store had not been begun
    waves.with_name("shard-000.zarr.manifest.json").unlink()
    atoms = out / "data" / "specimens" / "adapted" / "shard-000.extxyz"
    made = atoms.stat().st_mtime_ns

    class Stopped(Exception):
        pass

    def stop(self, trainer, module):
        if trainer.current_epoch == 4:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.SampleEpoch, "on_train_epoch_end", stop)
        with pytest.raises(Stopped):
            adapt_network(out, cores=1)
    assert list((out / "results" / "checkpoints" / "adapted").glob("*/last.ckpt"))
    adapt_network(out, cores=1)
    assert atoms.stat().st_mtime_ns == made
    for name in ("results/models/adapted/weights.safetensors", "results/predictions/film/columns.csv"):
        assert (out / name).read_bytes() == (adapted / name).read_bytes()
    assert not trace(out / "results" / "predictions" / "film").broken
    network = out / "results" / "models" / "adapted"
    before = network.stat().st_mtime_ns
    assert adapt_network(out, cores=1) == () and network.stat().st_mtime_ns == before
