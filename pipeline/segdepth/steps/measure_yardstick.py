"""The step ``measure-yardstick``: a network on recordings whose truth is known, by the way that a user's file takes.

Each test structure is recorded with its own lens, pixel, dose and quarter turn (its other turn, its vacuum side and its
tilt are the specimen's), then read, calibrated and predicted with nothing but a pixel tag that is off by up to 3 %.
With ``fit_lens`` its lens is fitted first, at the voltage that a file states, and the counts are joined with the fit.

It writes ``yardstick.csv`` (metric, element, value, low, high: ``segdepth.evaluation.recorded_columns``; aim, and
aim_most where a range is aimed for, else the same), ``frames.csv`` (one row a recording: what was drawn, what came
back) and ``columns.csv`` (one row a column that was found).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from torch import nn
from tqdm import tqdm

from segdepth.config import Dataset, Imaging, LensFitOptions, PredictionOptions, Specimen, Yardstick
from segdepth.crystals import Crystal
from segdepth.devices import one_thread, shared_cores, torch_device
from segdepth.errors import SegDepthError, StoreError
from segdepth.evaluation.recorded_columns import MATCHED, frame_counts, matched_columns, measured, true_columns, turned
from segdepth.evaluation.recordings import DrawnRecording, draw_recording
from segdepth.fitting.film_fit import fit_film
from segdepth.fitting.known_thickness import known_thickness
from segdepth.micrograph.familiarity.judgement import Familiarity, read_familiarity
from segdepth.micrograph.files.recording import recording_of
from segdepth.micrograph.film import Film
from segdepth.micrograph.predict import crystal_of, predict_recording
from segdepth.micrograph.results.tables import HEADER
from segdepth.micrograph.thickness import Thickness
from segdepth.networks.bundled import familiarity_of, name_of
from segdepth.networks.card import NetworkCard
from segdepth.networks.files import load_network
from segdepth.simulation.arbitrary_pixel import form_at_pixel
from segdepth.simulation.configurations import stored_weights
from segdepth.steps.fit_lens import table_code
from segdepth.store.manifest import check_whole, write_artefact
from segdepth.store.zarr_store import open_zarr

COMMAND = "measure-yardstick"

TABLE = "yardstick.csv"

CSV: dict[str, Any] = {"index": False, "lineterminator": "\n", "float_format": "%.7g"}


def measure_yardstick(
    yardstick: Yardstick,
    dataset: Dataset,
    specimen: Specimen,
    imaging: Imaging,
    model: Path,
    waves: Sequence[Path],
    depth: Sequence[Path],
    out: Path,
    *,
    name: str,
    code: str,
    device: str = "auto",
    familiarity: Path | None = None,
    tables: Path | None = None,
) -> None:
    """Record, predict and measure.

    Parameters
    ----------
    waves, depth : the shards' stores, in the same order.
    name : the yardstick's, which its random draws depend on.
    familiarity : what the network has learnt; without it that of the bundled network is known, and no other.
    tables : folder for tables of waves, where lenses are fitted; without it the user's cache.

    Raises
    ------
    StoreError
        A store is missing or damaged, or another version trained the network.
    """
    where = torch_device(device)
    check_whole(model, ("train-model", "export-model"))
    network, card = load_network(model, where)
    known = familiarity or familiarity_of(model)
    learnt = None if known is None else read_familiarity(known, card)
    top = card.classes - 1 if card.labels.get("more") else None
    wanted = set(dataset.structures_of("test", specimen))
    parameters = {
        "yardstick": yardstick.model_dump(mode="json"),
        "dataset": dataset.model_dump(mode="json"),
        "imaging": imaging.model_dump(mode="json"),
        "name": name,
    }
    frames, columns = [], []
    with write_artefact(
        out,
        command=COMMAND,
        code=code,
        inputs=[model, *waves, *depth, *([familiarity] if familiarity else [])],
        parameters=parameters,
        seeds={"yardstick": name},
        notes={"device": str(where)},
    ) as partial:
        elements: tuple[str, ...] = ()
        bar = tqdm(total=len(wanted) * yardstick.recordings, desc=f"recordings of {name}", unit="frame")
        for truth, counts, tag_pm, energy_kev, true in _recordings(yardstick, imaging, waves, depth, wanted):
            elements = elements or tuple(dict.fromkeys(true["element"]))
            fitted, known = {}, None
            if yardstick.fit_lens:
                fitted, known = _fitted(counts, tag_pm, energy_kev, crystal_of(card), tables)
            facts, listed = _predicted(network, card, counts, tag_pm, learnt, name_of(model), known)
            size = tuple(side * truth["pixel_pm"] for side in counts.shape)
            listed = listed.assign(**{f"{a}_pm": listed[f"{a}_px"] * truth["pixel_pm"] for a in "xy"})
            frames.append(truth | facts | fitted | frame_counts(listed, true, size))
            columns.append(
                matched_columns(listed, true, top).assign(structure=truth["structure"], recording=truth["recording"])
            )
            bar.update()
        bar.close()
        table, one_a_frame = pd.concat(columns, ignore_index=True), pd.DataFrame(frames)
        partial.mkdir()
        table[["structure", "recording", *MATCHED]].to_csv(partial / "columns.csv", **CSV)
        one_a_frame.to_csv(partial / "frames.csv", **CSV)
        metrics = pd.DataFrame(measured(table, one_a_frame, elements, seed=0))
        aims = [np.broadcast_to(yardstick.aim(*key), 2) for key in zip(metrics["metric"], metrics["element"])]
        ends = dict(zip(("aim", "aim_most"), np.array(aims, dtype=float).T))
        metrics.assign(**ends).to_csv(partial / TABLE, **CSV)


def _recordings(
    yardstick: Yardstick, imaging: Imaging, waves: Sequence[Path], depth: Sequence[Path], wanted: set[int]
) -> Iterator[tuple[dict[str, Any], np.ndarray, float, float, pd.DataFrame]]:
    """What was drawn, counts (y, x), the pixel and the voltage that the file states, and the true columns in the
    recording."""
    for wave_path, depth_path in zip(waves, depth, strict=True):
        with open_zarr(wave_path, "simulate-waves") as store, open_zarr(depth_path, "project-depth") as labels:
            seeds = store.attrs["root_seed"], store.attrs["specimen"]
            for index in (int(index) for index in store["structure"].values if int(index) in wanted):
                if index not in labels["structure"].values:
                    raise StoreError(f"{depth_path}: does not hold structure {index}")
                for number in range(yardstick.recordings):
                    drawn = draw_recording(yardstick, imaging, (*seeds, index), number)
                    yield _recorded(drawn, imaging, store, labels, index)


def _recorded(
    drawn: DrawnRecording, imaging: Imaging, store: xr.Dataset, labels: xr.Dataset, index: int
) -> tuple[dict[str, Any], np.ndarray, float, float, pd.DataFrame]:
    pixel, turns = drawn.pixel_pm, drawn.quarter_turns
    wave = store.sel(structure=index)["wave"].values
    image = form_at_pixel(imaging, store.attrs, wave, drawn.lens, pixel, stored_weights(store))[0]
    counts = drawn.noise.poisson(np.maximum(image, 0) * drawn.electrons)
    true = true_columns(labels, index, pixel, image.shape)
    size = image.shape[0] * pixel, image.shape[1] * pixel
    energy_kev = float(store.attrs["energy_kev"])
    return drawn.facts, np.rot90(counts, turns).copy(), drawn.tag_pm, energy_kev, turned(true, size, turns)


def _fitted(
    counts: np.ndarray, tag_pm: float, energy_kev: float, crystal: Crystal, tables: Path | None
) -> tuple[dict[str, Any], Callable[[Film, Crystal], Thickness] | None]:
    """What the fit of a recording's lens said, and the thickness that it found; None where it was refused."""
    options = LensFitOptions(pixel_pm=tag_pm, energy_kev=energy_kev)
    try:
        with one_thread():
            fit = fit_film(recording_of(counts), crystal, options, table_code=table_code(), tables=tables).fit
    except SegDepthError as refused:
        return {"fit": "refused", "fit_reason": str(refused)}, None
    facts = {"fit": "explained" if fit.explained else "not explained", "fit_reason": "", "fit_chi2": fit.chi2 / fit.dof}
    return facts, partial(known_thickness, fit=fit, name="fit-lens")


def _predicted(
    network: nn.Module,
    card: NetworkCard,
    counts: np.ndarray,
    tag_pm: float,
    learnt: Familiarity | None,
    name: str,
    known: Callable[[Film, Crystal], Thickness] | None,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """What came back of one recording, and its columns."""
    options = PredictionOptions(pixel_pm=tag_pm)
    try:
        with warnings.catch_warnings(), shared_cores():
            warnings.simplefilter("ignore")
            maps, listed = predict_recording(network, card, recording_of(counts), options, learnt, name, known)
    except SegDepthError as refused:
        return {"outcome": "refused", "reason": str(refused)}, pd.DataFrame(columns=HEADER)
    level = maps.attrs["familiarity_levels"][int(maps["familiarity"].values[0])]
    found = {"rotation_deg": maps.attrs["rotation_deg"], "found_pixel_pm": maps.attrs["pixel_pm"]}
    return {"outcome": level if len(listed) else "empty", "reason": "", **found}, listed
