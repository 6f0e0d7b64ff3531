"""The step ``measure-film``: what a network and a hidden Markov model see of a film's events, against the truth.

Each recording of the film is read and predicted like a user's file, its columns are followed, and events are found in
six ways: by the hidden Markov model (``hmm``: all; ``hmm_listed``: those with a q-value of 0.05 or less), as changes of
the most probable count from frame to frame (``frame``), and from one average of 3, 5 or 9 frames to the next
(``mean_3``, ...), which are predicted by themselves.

The folder it writes; a row of each table begins with ``film``, ``network``, ``frames``, ``frame_s``, ``dose_lambda``:

- ``scores.csv``: ``method``, ``columns`` (how many of the element change), then ``event_scores`` and ``chance_scores``
  of ``segdepth.evaluation.film_events``.
- ``dwell.csv``: ``method``, then ``recall_by_dwell``.
- ``detectability.csv``: ``element``, ``columns``, ``d_prime`` (median over the changing columns, of
  one atom less or more in one frame), ``frames_needed`` (median: a bound), ``frames_seen`` and ``seen_by`` (the fewest
  frames that a column keeps its atoms, of ``dwell.csv``, whose changes are seen, and by what method: see
  ``segdepth.evaluation.film_events.fewest_frames_seen``; empty if none are).
- ``lambda-<dose>/``: ``tracks.zarr``, ``events.csv`` and ``rates.csv`` of ``track-columns``; the tracks have
  ``true_atoms`` (column, frame), -1 where there is no true column, and the attributes ``film``, ``network``,
  ``dose_lambda`` and ``changing_<element>``: how many columns of the element truly change, followed or not.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import nn
from tqdm import tqdm

from segdepth.config import ALL, Film, PredictionOptions
from segdepth.crystals.elements import SYMBOLS
from segdepth.devices import shared_cores, torch_device
from segdepth.errors import ConfigError
from segdepth.evaluation.film_events import (
    CHANGING,
    TOLERANCE_FRAMES,
    chance_scores,
    event_scores,
    fewest_frames_seen,
    frames_needed,
    matched_rows,
    recall_by_dwell,
    true_events,
)
from segdepth.micrograph.familiarity.judgement import Familiarity, read_familiarity
from segdepth.micrograph.files import open_recording
from segdepth.micrograph.files.recording import recording_of
from segdepth.micrograph.predict import predict_recording
from segdepth.micrograph.tracks.events import changes_of, column_events
from segdepth.micrograph.tracks.follow import follow_columns
from segdepth.networks.bundled import familiarity_of, name_of
from segdepth.networks.card import NetworkCard
from segdepth.networks.compatibility import check_unseen
from segdepth.networks.files import load_network
from segdepth.steps.record_film import TRUTH
from segdepth.steps.track_columns import write_tracks
from segdepth.steps.written_tables import CSV
from segdepth.store.manifest import check_whole, read_manifest, write_artefact
from segdepth.store.zarr_store import open_zarr

COMMAND = "measure-film"
SCORES, DWELL, DETECTABILITY = "scores.csv", "dwell.csv", "detectability.csv"
AVERAGES = (3, 5, 9)
HMM, LISTED, FRAME = "hmm", "hmm_listed", "frame"


def measure_film(
    film: Film,
    model: Path,
    recorded: Path,
    out: Path,
    *,
    name: str,
    code: str,
    device: str = "auto",
    familiarity: Path | None = None,
) -> None:
    """Predict, follow and score.

    Parameters
    ----------
    recorded : folder of ``record-film``. name : the film's.

    Raises
    ------
    StoreError, MicrographError
        A store is missing or damaged; a recording shows no lattice.
    ConfigError
        The film was recorded with other frames, another time between them, or without one of the doses, or shows a
        structure that the network was trained on.
    """
    where = torch_device(device)
    check_whole(model, ("train-model", "export-model"))
    network, card = load_network(model, where)
    known = familiarity or familiarity_of(model)
    learnt = None if known is None else read_familiarity(known, card)
    parameters = {"film": film.model_dump(mode="json"), "name": name}
    with (
        open_zarr(recorded, "record-film", part=TRUTH) as stored,
        write_artefact(
            out,
            command=COMMAND,
            code=code,
            inputs=[model, recorded],
            parameters=parameters,
            seeds={"film": name},
            notes={"device": str(where)},
        ) as partial,
    ):
        truth = stored.load()
        check_recorded(film, truth, recorded)
        made = read_manifest(recorded)
        check_unseen(
            card,
            [made["parameters"]["structure"]],
            made["seeds"]["specimen"],
            made["seeds"]["root_seed"],
            network=repr(name_of(model)),
            name=f"film {name!r}",
        )
        partial.mkdir()
        scores, dwell, detectability = [], [], []
        for dose in tqdm(film.dose_lambda, desc=f"events of {name}", unit="dose"):
            predicted = _Predicted(network, card, learnt, name_of(model), recorded / film.stack(dose), film)
            shown = {"film": name, "network": name_of(model), "dose_lambda": dose}
            one = _measured(predicted, truth, shown, partial, parameters)
            first = {"film": name, "network": name_of(model), "frames": film.frames, "frame_s": film.frame_s}
            for table, rows in zip((scores, dwell, detectability), one):
                table += [first | row for row in rows]
        for rows, path in ((scores, SCORES), (dwell, DWELL), (detectability, DETECTABILITY)):
            pd.DataFrame(rows).to_csv(partial / path, **CSV)


def check_recorded(film: Film, truth: xr.Dataset, recorded: Path) -> None:
    """The film is the one whose truth this is.

    Raises
    ------
    ConfigError
        Its time from frame to frame, its number of frames or one of its doses is another.
    """
    was = {"frames": truth.sizes["frame"], "frame_s": float(truth.attrs["frame_s"])}
    for name, value in was.items():
        if not np.isclose(getattr(film, name), value, rtol=1e-6, atol=0):
            raise ConfigError(f"film: {name}: got {getattr(film, name):g}; {recorded} was recorded with {value:g}")
    doses = np.atleast_1d(truth.attrs["dose_lambda"])
    for dose in film.dose_lambda:
        if not np.isclose(doses, dose, rtol=1e-6, atol=0).any():
            there = ", ".join(f"{each:g}" for each in doses)
            raise ConfigError(f"film: dose_lambda: got {dose:g}; {recorded} was recorded at {there}")


class _Predicted:
    """Tracks of a recording, of its frames or of averages of them."""

    def __init__(
        self,
        network: nn.Module,
        card: NetworkCard,
        learnt: Familiarity | None,
        name: str,
        path: Path,
        film: Film,
    ) -> None:
        self.given = network, card, learnt, name
        self.path, self.film = path, film

    def tracks(self, block: int) -> xr.Dataset:
        """Of sums of ``block`` frames that follow each other; what is left over at the end does not count."""
        network, card, learnt, name = self.given
        with open_recording(self.path) as recording, warnings.catch_warnings(), shared_cores():
            warnings.simplefilter("ignore")
            used, pixel = recording, recording.pixel_pm
            if block > 1:
                sums = [
                    sum(recording.read_frame(first + n).astype(np.uint32) for n in range(block))
                    for first in range(0, recording.count - block + 1, block)
                ]
                used = recording_of(np.stack(sums), str(self.path))
            options = PredictionOptions(pixel_pm=pixel)
            with torch.inference_mode():
                maps, columns = predict_recording(network, card, used, options, learnt, name)
        return follow_columns(maps, columns, self.film.frame_s * block)


def _measured(
    predicted: _Predicted, truth: xr.Dataset, shown: dict[str, Any], folder: Path, parameters: dict[str, Any]
) -> tuple[list[dict], list[dict], list[dict]]:
    """Rows of the three tables at one dose; the tracks are written.

    Parameters
    ----------
    shown : attributes of the tracks.
    """
    frame_s, dose = predicted.film.frame_s, shown["dose_lambda"]
    elements = np.array([SYMBOLS[number] for number in truth["element"].values])
    changing = elements[truth["changes"].values]
    happened = true_events(truth["atoms"].values, frame_s)
    scores, dwell = [], []
    for block in (1, *AVERAGES):
        if block > 1 and block * 3 > predicted.film.frames:
            continue
        tracks = predicted.tracks(block)
        rows = _true_rows(tracks, truth, elements, block)
        found = changes_of(tracks["probability"].values, block, frame_s)
        methods = {FRAME if block == 1 else f"mean_{block}": _of_columns(found, tracks, rows)}
        if block == 1:
            model = column_events(tracks)
            place = dict(zip(tracks["column"].values.tolist(), range(tracks.sizes["column"])))
            every = model.events.assign(row=[place[name] for name in model.events["column"]])
            methods[HMM] = _of_columns(every, tracks, rows)
            methods[LISTED] = _of_columns(every[every["listed"]], tracks, rows)
            into = folder / predicted.path.stem
            into.mkdir()
            counts = {f"{CHANGING}{element}": (changing == element).sum().item() for element in dict.fromkeys(elements)}
            write_tracks(_with_truth(tracks, truth, rows).assign_attrs(shown | counts), model, into, parameters)
        for method, table in methods.items():
            key = {"dose_lambda": dose, "method": method}
            given = table, happened, elements, TOLERANCE_FRAMES * frame_s
            chance = chance_scores(*given, predicted.film.duration_s)
            for row, by in zip(event_scores(*given), chance):
                count = len(changing) if row["element"] == ALL else np.count_nonzero(changing == row["element"])
                scores.append(key | {"columns": count} | row | by)
            dwell += [key | row for row in recall_by_dwell(*given, predicted.film.duration_s)]
    return scores, dwell, _detectability(truth, elements, dose, scores, dwell)


def _true_rows(tracks: xr.Dataset, truth: xr.Dataset, elements: np.ndarray, block: int) -> np.ndarray:
    """Row of the true column of each track."""
    drift = np.stack([truth["drift_x_pm"].values, truth["drift_y_pm"].values], axis=-1)
    count = tracks.sizes["frame"]
    drift = drift[: count * block].reshape(count, block, 2).mean(axis=1)
    places = np.stack([tracks["x_pm"].values, tracks["y_pm"].values], axis=-1) - drift
    true = np.stack([truth["x_pm"].values, truth["y_pm"].values], axis=-1)
    return matched_rows(np.nanmean(places, axis=1), tracks["element"].values.tolist(), true, elements.tolist())


def _of_columns(found: pd.DataFrame, tracks: xr.Dataset, rows: np.ndarray) -> pd.DataFrame:
    """Events whose ``row`` is that of the tracks, with their element and the row of their true column."""
    mine = found["row"].to_numpy(int)
    return found.assign(element=tracks["element"].values[mine], row=rows[mine])


def _with_truth(tracks: xr.Dataset, truth: xr.Dataset, rows: np.ndarray) -> xr.Dataset:
    atoms = np.where(rows[:, None] >= 0, truth["atoms"].values[rows], -1).astype(np.int16)
    text = {"units": "atoms", "long_name": "true number of atoms, -1 where there is no true column"}
    changes = (rows >= 0) & truth["changes"].values[rows]
    return tracks.assign(true_atoms=(("column", "frame"), atoms, text)).assign_coords(
        changes=("column", changes, {"units": "1", "long_name": "the true column gains and loses atoms"})
    )


def _detectability(
    truth: xr.Dataset, elements: np.ndarray, dose: float, scores: list[dict], dwell: list[dict]
) -> list[dict]:
    both = np.stack([truth["d_prime_minus"].values, truth["d_prime_plus"].values])
    rows = []
    for element in dict.fromkeys(elements):
        values = both[:, (elements == element) & truth["changes"].values]
        if not values.size:
            continue
        mine = ([row for row in table if row["element"] == element] for table in (scores, dwell))
        frames, method = fewest_frames_seen(*mine)
        rows.append(
            {
                "dose_lambda": dose,
                "element": element,
                "columns": values.shape[1],
                "d_prime": float(np.median(values) * np.sqrt(dose)),
                "frames_needed": float(np.median(frames_needed(values, dose))),
                "frames_seen": frames,
                "seen_by": method,
            }
        )
    return rows
