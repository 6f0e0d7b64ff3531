"""The step ``tabulate-paper``: our numbers beside the paper's, of one item or all (``segdepth.evaluation.paper``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from segdepth.config import RESERVED, Paper
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation.paper import Network, PaperResults, paper_table
from segdepth.networks.bundled import bundled_network
from segdepth.networks.card import read_card
from segdepth.steps.measure_gradients import RADII
from segdepth.steps.paper_files import denoisings_of, gradients_of
from segdepth.steps.stored_evaluation import read_evaluation
from segdepth.steps.training_facts import training_facts
from segdepth.steps.written_tables import CSV, read_table
from segdepth.store.manifest import check_whole, write_artefact

COMMAND = "tabulate-paper"


def tabulate_paper(items: Sequence[str], paper: Paper, results: Path, out: Path, *, code: str) -> None:
    """Write the rows of ``items`` to ``out`` (.csv).

    Parameters
    ----------
    results : folder with ``evaluation``, ``models``, ``denoising`` and ``gradients``.

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
    models = dict.fromkeys([model for model, _ in (*measured, *shown)])
    folders = {model: _folder(results, model) for model in models}
    inputs = [results / "evaluation" / model / dataset for model, dataset in measured]
    inputs += [results / "denoising" / model / f"{dataset}.csv" for model, dataset in denoised]
    inputs += [results.parent / path for _, path in shown] + list(folders.values())
    found = PaperResults(
        networks={model: _network(folder) for model, folder in folders.items()},
        evaluations={pair: read_evaluation(results.joinpath("evaluation", *pair)) for pair in measured},
        denoising={pair: _table(results.joinpath("denoising", pair[0], f"{pair[1]}.csv")) for pair in denoised},
        radii={model: _table(results.parent / path, RADII) for model, path in shown},
    )
    table = paper_table(items, paper, found)
    parameters = {"items": list(items), "paper": paper.model_dump(mode="json")}
    with write_artefact(out, command=COMMAND, code=code, inputs=inputs, parameters=parameters) as partial:
        table.to_csv(partial, **CSV)


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
