"""The step ``tabulate-paper``: our numbers beside the paper's, of one item or all (``segdepth.evaluation.paper``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segdepth.config import RESERVED, Paper
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation.paper import Network, PaperResults, paper_table
from segdepth.networks.bundled import bundled_network
from segdepth.networks.card import read_card
from segdepth.steps.measure_film import SCORES
from segdepth.steps.measure_gradients import RADII
from segdepth.steps.paper_files import bound_of, denoisings_of, film_of, gradients_of
from segdepth.steps.paper_recordings import boundary_of, recorded_columns, recording_of
from segdepth.steps.stored_evaluation import read_evaluation, read_ideal_observer
from segdepth.steps.training_facts import training_facts
from segdepth.steps.written_tables import CSV, read_table
from segdepth.store.manifest import check_whole, write_artefact

COMMAND = "tabulate-paper"


def tabulate_paper(
    items: Sequence[str],
    paper: Paper,
    results: Path,
    out: Path,
    *,
    code: str,
    predictions: Sequence[str] = (),
    depth: Sequence[Path] = (),
) -> None:
    """Write the rows of ``items`` to ``out`` (.csv).

    Parameters
    ----------
    results : folder with ``evaluation``, ``models``, ``denoising``, ``gradients``, ``predictions``, ``boundaries``,
        ``films`` and ``ideal_observer``.
    predictions : names of those of Figs. 10 and 11. depth : shards that hold the truth of simulated micrographs.

    Raises
    ------
    ConfigError
        ``out`` does not end in .csv.
    StoreError
        A result is missing, unfinished or damaged.
    """
    if out.suffix != ".csv":
        raise ConfigError(f"out: got {out}; the table's path ends in .csv")
    measured = list(dict.fromkeys(pair for item in items for pair in paper.measured(item)))
    denoised = denoisings_of(paper) if "table2" in items else []
    shown = [
        (model, gradients_of(model, paper.dataset_of(model))) for model in paper.gradient_models if "fig8" in items
    ]
    pictures, its_inputs = _recordings(items, paper, results, predictions, depth)
    of_pictures = [one.model for name in ("recorded", "boundaries") for one in pictures[name].values()]
    of_pictures += [paper.film_model] if pictures["film"] is not None else []
    models = dict.fromkeys([*(model for model, _ in (*measured, *shown)), *of_pictures])
    folders = {model: _folder(results, model) for model in models}
    inputs = [results / "evaluation" / model / dataset for model, dataset in measured]
    inputs += [results / "denoising" / model / f"{dataset}.csv" for model, dataset in denoised]
    inputs += [results.parent / path for _, path in shown] + list(folders.values()) + its_inputs
    found = PaperResults(
        networks={model: _network(folder) for model, folder in folders.items()},
        evaluations={pair: read_evaluation(results.joinpath("evaluation", *pair)) for pair in measured},
        denoising={pair: _table(results.joinpath("denoising", pair[0], f"{pair[1]}.csv")) for pair in denoised},
        radii={model: _table(results.parent / path, RADII) for model, path in shown},
        **pictures,
    )
    table = paper_table(items, paper, found)
    parameters = {"items": list(items), "paper": paper.model_dump(mode="json"), "predictions": list(predictions)}
    with write_artefact(out, command=COMMAND, code=code, inputs=inputs, parameters=parameters) as partial:
        table.to_csv(partial, **CSV)


def _recordings(
    items: Sequence[str], paper: Paper, results: Path, predictions: Sequence[str], depth: Sequence[Path]
) -> tuple[dict[str, Any], list[Path]]:
    """Of Figs. 10 to 12 and of the bound what ``PaperResults`` holds, and what it was read from."""
    recorded, boundaries, film, bound, inputs = {}, {}, None, None, []
    for name in predictions:
        folder, measured = results / "predictions" / name, results / "boundaries" / name
        recording = recording_of(folder) if "fig10" in items else None
        if recording is not None:
            recorded[name] = recorded_columns(folder, recording, depth)
            inputs += [folder, recording.path]
        if "fig11" in items:
            boundaries[name] = boundary_of(measured)
            inputs.append(measured)
    if "fig12" in items and paper.film is not None:
        film = _table(results.parent / film_of(paper), SCORES)
        inputs.append(results.parent / film_of(paper))
    if "bound" in items and paper.bound is not None:
        inputs.append(results.parent / bound_of(paper))
        bound = read_ideal_observer(inputs[-1], columns=True)
    found = {"recorded": recorded, "boundaries": boundaries, "film": film, "bound": bound}
    return found, [*inputs, *(depth if recorded else ())]


def _folder(results: Path, model: str) -> Path:
    return bundled_network(model) if model in RESERVED else results / "models" / model


def _network(folder: Path) -> Network:
    """A network's card, and seconds of its training with that of the network that denoises for it."""
    manifest = check_whole(folder)
    try:
        seconds = training_facts(folder, manifest).get("training_seconds")
        denoiser = manifest["parameters"].get("model", {}).get("denoiser")
    except (OSError, ValueError, AttributeError) as failure:
        raise StoreError(f"{folder}: the record of its training cannot be read ({failure})") from None
    before = None if denoiser is None else Path(denoiser)
    if before is not None:
        earlier = _network(before if before.exists() else folder.parent / before.name).training_seconds
        seconds = None if None in (earlier, seconds) else seconds + earlier
    return Network(read_card(folder), seconds)


def _table(path: Path, part: str = "") -> pd.DataFrame:
    check_whole(path)
    return read_table(path / part if part else path)
