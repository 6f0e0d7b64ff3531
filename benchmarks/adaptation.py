"""How much a network gains that is adapted to a film: simulated films whose truth is known.

python benchmarks/adaptation.py FOLDER [--films 6] [--minutes 20] [--exact-samples 60000] [--model NETWORK]

Of each film, lens, tilt, thickness and dose are drawn, and three structures with frozen phonons are its frames. What
stands for the lens fit is the truth plus the errors that a fit states (normal, with ``ERRORS``). Three networks predict
the film by the way that a user's file takes:

broad     NETWORK, by default the bundled one
adapted   `segdepth adapt` with so many minutes, from NETWORK
exact     trained from scratch on the exact lens and tilt, with the adapted one's ranges of thickness

Prints the share of columns exact, the mean absolute error, and how much of the gap from broad to exact is closed by
adapting. Everything is kept below FOLDER, and a benchmark that was stopped goes on. On two cores a film takes the
minutes, and about two hours for the exact network.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from segdepth.adaptation import ranges
from segdepth.adaptation.blocks import SHARD, splits
from segdepth.adaptation.names import NAME
from segdepth.config import PAPER_PIXEL_PM, Beam, Imaging, PredictionOptions, Specimen
from segdepth.crystals import Crystal
from segdepth.crystals.elements import SYMBOLS
from segdepth.errors import MicrographError
from segdepth.evaluation.recorded_columns import matched_columns
from segdepth.fitting.result import FittedBin, LensFit, write_lens_fit
from segdepth.micrograph.files import open_recording
from segdepth.micrograph.predict import crystal_of, predict_recording
from segdepth.networks.bundled import bundled_network
from segdepth.networks.card import read_card
from segdepth.networks.files import load_network
from segdepth.simulation.arbitrary_pixel import form_at_pixel
from segdepth.simulation.configurations import configuration_weights
from segdepth.simulation.datasets import structure_beams, waves_dataset
from segdepth.simulation.detector import electrons_per_pixel
from segdepth.simulation.exit_wave import configure_abtem, exit_waves
from segdepth.simulation.lens_values import draw_lens_values
from segdepth.specimen.columns import column_table
from segdepth.specimen.faces import thickness_atoms
from segdepth.specimen.frame_facts import frame_facts
from segdepth.specimen.plan import plan_row
from segdepth.specimen.wedge import build_wedge
from segdepth.steps.adapt_network import adapt_network
from segdepth.steps.plan_adaptation import COMMAND, plan_adaptation
from segdepth.store.code_hash import code_hash
from segdepth.store.manifest import manifest_path, write_artefact

FRAMES = 3
PIXEL_PM = 6.3
TILT_DEG = 2.2
NAMES = ("broad", "adapted", "exact")
EXACT_EPOCHS, EXACT_RATE = 32, 2e-3

RANGES = {
    "defocus_nm": (2, 16),
    "c3_um": (-15, -5),
    "c5_mm": (4, 6),
    "a1_nm": (0, 4),
    "b2_nm": (0, 120),
    "a2_nm": (0, 200),
    "focal_spread_nm": (3, 6),
    "convergence_mrad": (0.15, 0.25),
    "image_spread_pm": (14, 32),
    "contrast_factor": (0.75, 1),
    "background": (0, 0.25),
}
"""What a film's lens may be, drawn evenly; azimuths are drawn too."""

HELD = ("c3_um", "c5_mm", "convergence_mrad")
"""Not fitted: the stand-in for the fit has typical values for them."""

TYPICAL = {"c3_um": -10.0, "c5_mm": 5.0, "convergence_mrad": 0.2}

ERRORS = {
    "defocus_nm": 0.3,
    "a1_nm": 0.2,
    "b2_nm": 8.0,
    "a2_nm": 15.0,
    "focal_spread_nm": 0.4,
    "image_spread_pm": 1.5,
    "contrast_factor": 0.02,
    "background": 0.02,
    "tilt_x_deg": 0.12,
    "tilt_y_deg": 0.12,
}
"""Standard errors that the stand-in for the fit states and has."""

THICKNESS_ERROR = 0.5
AZIMUTHS = ("a1_azimuth_deg", "b2_azimuth_deg", "a2_azimuth_deg")
BINS_PM = (165.0, 495.0, 825.0, 1155.0, 1650.0, 2310.0, 3135.0)


def drawn_film(index: int, seed: int) -> dict[str, Any]:
    """The truth of a film: lens values, tilt, thickness and dose."""
    rng = np.random.default_rng([seed, index])
    truth: dict[str, Any] = {name: float(rng.uniform(*limits)) for name, limits in RANGES.items()}
    truth |= {name: float(rng.uniform(0, 360)) for name in AZIMUTHS}
    size, azimuth = TILT_DEG * math.sqrt(rng.uniform()), rng.uniform(0, 2 * math.pi)
    truth |= {"tilt_x_deg": size * math.cos(azimuth), "tilt_y_deg": size * math.sin(azimuth)}
    bulk = int(rng.integers(6, 29))
    truth |= {"bulk_atoms": bulk, "surface_atoms": float(rng.uniform(1, bulk / 2))}
    truth |= {"decay_nm": float(rng.uniform(0.4, 3)), "exit_share": float(rng.uniform(0.2, 0.8))}
    return truth | {"lambda": float(np.exp(rng.uniform(*np.log([0.5, 8]))))}


def specimen_of(truth: dict[str, Any]) -> Specimen:
    """Rough particles of the film's thickness."""
    size = math.hypot(truth["tilt_x_deg"], truth["tilt_y_deg"])
    azimuth = math.degrees(math.atan2(truth["tilt_y_deg"], truth["tilt_x_deg"]))
    return Specimen(
        crystal="crystal",
        structures=FRAMES,
        bulk_atoms=(truth["bulk_atoms"],) * 2,
        surface_atoms=(truth["surface_atoms"],) * 2,
        thickest_atoms=truth["bulk_atoms"] + 4,
        decay_nm=(truth["decay_nm"],) * 2,
        exit_fraction=(truth["exit_share"],) * 2,
        vacuum_fraction=(0.2, 0.4),
        tilt_deg=(size, size),
        tilt_azimuth_deg=(azimuth, azimuth),
        tilt_by="propagation",
        face_roughness_atoms=(0.4, 0.8),
        missing_probability=0.05,
        added_probability=0.03,
    )


def imaging_of(truth: dict[str, Any]) -> Imaging:
    fixed = {name: truth[name] for name in RANGES if name != "defocus_nm"}
    return Imaging(defocus_nm=(truth["defocus_nm"],), **fixed, **{name: (truth[name],) * 2 for name in AZIMUTHS})


def make_film(crystal: Crystal, truth: dict[str, Any], index: int, seed: int, phonons: int, folder: Path) -> None:
    """``film-<frame>.npy``, counts (y, x), and ``columns-<frame>.csv``, what is true."""
    block, imaging = specimen_of(truth), imaging_of(truth)
    beam = Beam(pixel_pm=7.5, frozen_phonons=phonons)
    configure_abtem("cpu")
    for frame in range(FRAMES):
        path = folder / f"film-{frame}.npy"
        if path.exists():
            continue
        rng = np.random.default_rng([seed, index, frame])
        row = plan_row(block, crystal, f"film{index}", frame, seed)
        frames = [build_wedge(row, block, crystal, f"film{index}", seed)]
        facts = frame_facts(frames)
        beams = structure_beams(beam, frames, facts)
        waves = exit_waves(frames[0], beams[0], rng)
        stored = waves_dataset(waves[None], frames, facts, beams)
        lens = draw_lens_values(imaging, [truth["defocus_nm"]], rng)
        weights = tuple(configuration_weights(beam).tolist())
        image = form_at_pixel(imaging, stored.attrs, waves, lens, PIXEL_PM, weights)[0]
        counts = rng.poisson(np.maximum(image, 0) * electrons_per_pixel(truth["lambda"], PIXEL_PM, 1.0))
        columns = column_table(frames[0], block.margin_pm, block.field_pm)
        inset = [(block.field_pm - PIXEL_PM * side) / 2 for side in image.shape[::-1]]
        columns = columns.assign(x_pm=columns["x_pm"] - inset[0], y_pm=columns["y_pm"] - inset[1])
        columns["element"] = [SYMBOLS[number] for number in columns["element"]]
        sides = PIXEL_PM * np.array(image.shape[::-1])
        inside = columns["x_pm"].between(0, sides[0]) & columns["y_pm"].between(0, sides[1])
        columns[inside].to_csv(folder / f"columns-{frame}.csv", index=False)
        np.save(path, counts.astype(np.uint16))


def stated_fit(crystal: Crystal, truth: dict[str, Any], rng: np.random.Generator) -> LensFit:
    """What stands for the lens fit: the truth and the errors that it states."""
    values = {name: truth[name] for name in (*RANGES, *AZIMUTHS, "tilt_x_deg", "tilt_y_deg", "exit_share")} | TYPICAL
    errors: dict[str, float | None] = dict.fromkeys(values) | ERRORS | {"exit_share": 0.15}
    for name in ("a1", "b2", "a2"):
        size, error = max(values[f"{name}_nm"], 1e-3), errors[f"{name}_nm"]
        errors[f"{name}_azimuth_deg"] = math.degrees(min(error / size, math.pi)) / {"a1": 2, "b2": 1, "a2": 3}[name]
    for name, error in errors.items():
        if error is not None:
            values[name] += error * float(rng.normal())
    for name, (low, high) in ranges.LIMITS.items():
        values[name] = float(np.clip(values[name], low, high))
    atoms = thickness_atoms(np.array(BINS_PM), truth["bulk_atoms"], truth["surface_atoms"], 1000 * truth["decay_nm"])
    atoms = atoms + THICKNESS_ERROR * rng.normal(size=len(atoms))
    bins = tuple(FittedBin(d, float(n), THICKNESS_ERROR, 30.0, 30.0, 30.0) for d, n in zip(BINS_PM, atoms))
    return LensFit(
        crystal=crystal.to_dict(),
        energy_kev=300.0,
        dose_e_per_a2=truth["lambda"] / (PAPER_PIXEL_PM / 100) ** 2,
        frames=1,
        pixel_pm=PIXEL_PM,
        values=values,
        errors=errors,
        held=HELD,
        bins=bins,
        chi2=210.0,
        dof=210.0,
        explained=True,
        rivals=(),
        lines=(),
    )


def adapted_network(fit: LensFit, model: Path, folder: Path, minutes: float, cores: int) -> Path:
    """The network that ``segdepth adapt`` makes."""
    out, lens = folder / "adapted", folder / "lens_fit.json"
    network = out / "results" / "models" / NAME
    if not manifest_path(network).exists():
        write_lens_fit(fit, lens)
        plan_adaptation(
            folder / "film-0.npy",
            lens,
            model,
            out,
            prediction=PredictionOptions(pixel_pm=PIXEL_PM),
            minutes=minutes,
            cores=cores,
            code=code_hash("plan-adaptation"),
            tell=print,
        )
        adapt_network(out, cores=cores, tell=print)
    return network


def exact_network(truth: dict[str, Any], folder: Path, structures: int, samples: int, cores: int) -> Path:
    """A network that begins with random weights and sees the exact lens and tilt only; all else is as in the plan of
    the adapted one."""
    out = folder / "exact"
    network = out / "results" / "models" / NAME
    if manifest_path(network).exists():
        return network
    plan = yaml.safe_load((folder / "adapted" / "config.yaml").read_text(encoding="utf-8"))
    lens = imaging_of(truth).model_dump(mode="json") | {"pixel_pm": plan["imaging"][NAME]["pixel_pm"]}
    plan["imaging"][NAME] = {key: value for key, value in lens.items() if value is not None}
    tilt = specimen_of(truth)
    plan["specimens"][NAME] |= {key: list(getattr(tilt, key)) for key in ("tilt_deg", "tilt_azimuth_deg")}
    plan["specimens"][NAME] |= {"structures": structures, "shard_size": SHARD}
    plan["datasets"][NAME]["splits"] = splits(structures)
    del plan["models"][NAME]["init_weights"]
    training = {"epochs": EXACT_EPOCHS, "epoch_samples": samples // EXACT_EPOCHS, "learning_rate": EXACT_RATE}
    plan["models"][NAME]["training"] |= training
    config = out / "config.yaml"
    if not manifest_path(config).exists():
        with write_artefact(config, command=COMMAND, code="benchmark", parameters={}) as partial:
            partial.write_text(yaml.safe_dump(plan), encoding="utf-8")
    adapt_network(out, cores=cores, tell=print)
    return network


def measured(network: Path, folder: Path) -> pd.DataFrame:
    """One row a true column that was found, of all frames: ``evaluation.recorded_columns.MATCHED``."""
    trained, card = load_network(network)
    top, found = card.classes - 1 if card.more else None, []
    for frame in range(FRAMES):
        true = pd.read_csv(folder / f"columns-{frame}.csv")
        options = PredictionOptions(pixel_pm=PIXEL_PM)
        try:
            with open_recording(folder / f"film-{frame}.npy") as recording:
                _, listed = predict_recording(trained, card, recording, options, None, network.name)
        except MicrographError as refused:
            print(f"{folder.name}, frame {frame}: {refused}")
            continue
        listed = listed.assign(**{f"{axis}_pm": listed[f"{axis}_px"] * PIXEL_PM for axis in "xy"})
        found.append(matched_columns(listed, true[true["atoms"] > 0], top))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["true_atoms", "depth"])


def row_of(film: int, network: str, columns: pd.DataFrame, truth: dict[str, Any]) -> dict[str, Any]:
    error = (columns["depth"] - columns["true_atoms"]).astype(float).abs()
    found = {"exact": (error == 0).mean(), "within_one": (error <= 1).mean(), "mean_error": error.mean()}
    known = {name: truth[name] for name in ("bulk_atoms", "lambda", "defocus_nm")}
    return {"film": film, "network": network, "columns": len(columns), **found, **known}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--films", type=int, default=6)
    parser.add_argument("--seed", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--exact-structures", type=int, default=480)
    parser.add_argument("--exact-samples", type=int, default=60_000)
    parser.add_argument("--phonons", type=int, default=8)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--model", type=Path)
    given = parser.parse_args()
    model = (given.model or bundled_network()).resolve()
    crystal = crystal_of(read_card(model))
    rows = []
    for index in range(given.films):
        folder = given.folder.resolve() / f"film-{index:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        truth = drawn_film(index, given.seed)
        (folder / "truth.json").write_text(json.dumps(truth, indent=1))
        make_film(crystal, truth, index, given.seed, given.phonons, folder)
        fit = stated_fit(crystal, truth, np.random.default_rng([given.seed, index, 1]))
        networks = {"broad": model, "adapted": adapted_network(fit, model, folder, given.minutes, given.cores)}
        networks["exact"] = exact_network(truth, folder, given.exact_structures, given.exact_samples, given.cores)
        rows += [row_of(index, name, measured(network, folder), truth) for name, network in networks.items()]
        table = pd.DataFrame(rows)
        table.to_csv(given.folder / "adaptation.csv", index=False)
        print(table.to_string(index=False, float_format="%.3g"), flush=True)
    print_summary(table, given)


def print_summary(table: pd.DataFrame, given: argparse.Namespace) -> None:
    """Means over films, and the share of the gap that is closed."""
    mean = table.groupby("network")[["exact", "within_one", "mean_error"]].mean().loc[list(NAMES)]
    print(f"\n{platform.machine()}, torch {torch.__version__}, {given.cores} cores, {given.films} films")
    print(mean.to_string(float_format="%.3f"))
    for metric in mean.columns:
        gap = mean.loc["exact", metric] - mean.loc["broad", metric]
        closed = (mean.loc["adapted", metric] - mean.loc["broad", metric]) / gap if gap else float("nan")
        print(f"{metric}: {100 * closed:.0f} % of the gap closed in {given.minutes:g} minutes")


if __name__ == "__main__":
    main()
