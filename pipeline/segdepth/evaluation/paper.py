"""The paper's numbers, and ours beside them: rows of ``results/tables/paper.csv`` and of the tables of its items.

| column | what it is |
|---|---|
| ``item``, ``row`` | the paper's table or figure (``table1_widths``, ``table2``, ``fig7``, ...) and its row or curve |
| ``against`` | of a difference, the row that is taken off, measured on the same structures |
| ``metric``, ``element``, ``lambda`` | what was measured, of which element's pixels or columns, and the images' λ; a
  difference has the metric's name with ``_change`` |
| ``paper``, ``reference``, ``note`` | the paper's number, where it stands, and what to know of it; or empty |
| ``value``, ``low``, ``high`` | ours, with its 95 % bootstrap interval over structures; of a difference, structures
  drawn for both alike, or none where an earlier version made an evaluation that does not hold the metric by structure |
| ``dataset``, ``model``, ``base_channels``, ``variant`` | data set (of ``fig10`` and ``fig11`` the prediction, of
  ``fig12`` the film) and network |
| ``trained_lambda`` | lowest and highest λ of the network's training |
| ``training_seconds`` | of the network, that of its denoiser included |
| ``structures``, ``images`` | how many were measured; of a film the frames |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from segdepth.config import ALL
from segdepth.config.paper import Paper
from segdepth.evaluation.calibration import POPULATIONS
from segdepth.evaluation.gradient_reach import mean_radii
from segdepth.evaluation.metrics import bootstrap_intervals, share_within_one
from segdepth.evaluation.paired import difference_interval, structure_sums
from segdepth.evaluation.paper_bound import bound_rows
from segdepth.evaluation.paper_recordings import Boundary, RecordedColumns, boundary_rows, column_rows, event_rows
from segdepth.evaluation.results import Evaluation, IdealObserver
from segdepth.networks.card import NetworkCard
from segdepth.seeds import hash64

PAPER_METRICS = ("pixelwise_accuracy", "centre_accuracy", "detection_rate", "hallucinated_rate")
METRICS = (*PAPER_METRICS, "columns_exact", "columns_within_one")
DENOISED = ("psnr_db", "ssim")
DENOISING = (*DENOISED, "noisy_psnr_db", "noisy_ssim")
WITHIN_ONE = "pixels_within_one"
CONFIDENCE = 0.8
"""Whose accuracy the paper gives in words (IV-C)."""

COLUMNS = (
    *("item", "row", "against", "metric", "element", "lambda", "paper", "reference", "value", "low", "high", "dataset"),
    *("model", "base_channels", "variant", "trained_lambda", "training_seconds", "structures", "images", "note"),
)


@dataclass(frozen=True)
class Network:
    """A trained network: its card, and seconds of its training with that of its denoiser; None if not known."""

    card: NetworkCard
    training_seconds: float | None = None


@dataclass(frozen=True)
class PaperResults:
    """``networks`` by model, ``evaluations`` and ``denoising`` (see ``segdepth.evaluation.denoising``) by model and
    data set, ``radii`` (see ``segdepth.evaluation.gradient_reach``) by model; ``recorded`` and ``boundaries`` by
    prediction, ``film``: the scores of ``measure-film``; ``bound``: with its ``columns``."""

    networks: Mapping[str, Network]
    evaluations: Mapping[tuple[str, str], Evaluation]
    denoising: Mapping[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    radii: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    recorded: Mapping[str, RecordedColumns] = field(default_factory=dict)
    boundaries: Mapping[str, Boundary] = field(default_factory=dict)
    film: pd.DataFrame | None = None
    bound: IdealObserver | None = None


@cache
def paper_numbers() -> pd.DataFrame:
    """The numbers that the paper prints: ``item``, ``row``, ``lambda``, ``metric``, ``printed``, ``unit``,
    ``reference``, ``note`` and ``value``, which is printed times unit; λ is missing where the paper gives none."""
    path = str(files("segdepth.evaluation") / "data" / "paper.csv")
    table = pd.read_csv(path, keep_default_na=False, na_values={"lambda": [""]})
    return table.assign(value=(table["printed"] * table["unit"]).round(6))


def paper_table(items: Sequence[str], paper: Paper, results: PaperResults) -> pd.DataFrame:
    """The rows of some items, in their order; ``COLUMNS``."""
    rows = [row for item in items for row in _rows_of(item, paper, results)]
    whole = {name: "Int64" for name in ("base_channels", "structures", "images")}
    numbers = dict.fromkeys(("lambda", "paper", "value", "low", "high", "training_seconds"), float)
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(whole | numbers)


def _rows_of(item: str, paper: Paper, results: PaperResults) -> Iterator[dict[str, Any]]:
    if item in OTHER_ROWS:
        yield from OTHER_ROWS[item](paper, results)
        return
    roles = dict(zip((paper.segmentation, paper.denoised, paper.joint), TABLE2_ROWS))
    for model, dataset in paper.measured(item):
        network, evaluation = results.networks[model], results.evaluations[model, dataset]
        facts = _facts(item, network, evaluation, model, dataset)
        if item == "fig6":
            yield from _within_one_rows(facts, evaluation)
            continue
        if item == "fig7":
            yield from _calibration_rows(facts, evaluation, network.card.temperature)
            continue
        facts["row"] = roles[model] if item == "table2" else curve_name(network.card)
        if item == "table1_widths":
            another_pixel = network.card.variant == "binned" and model in paper.other_datasets
            facts["row"] = width_name(network.card) + (", binned" if another_pixel else "")
            yield _with_paper(facts | {"metric": "parameters", "value": evaluation.facts["parameters"]})
            yield facts | _seconds(evaluation)
        for metric in METRICS:
            for element in (ALL, *evaluation.elements):
                low, high = evaluation.interval(metric, element) or (None, None)
                number = {"value": evaluation.value(metric, element), "low": low, "high": high}
                yield _with_paper(facts | {"metric": metric, "element": element} | number)
        if item == "table2" and (model, dataset) in results.denoising:
            note = SAME_DENOISER if _shares_denoiser((model, dataset), results) else ""
            yield from _denoising_rows(facts, results.denoising[model, dataset], note)
    if item == "table2":
        yield from _difference_rows(paper, results)


SAME_DENOISER = "the same denoiser: it learns from its own loss alone, as in the paper (IV-F)"
"""Note of PSNR and SSIM of rows whose denoisers are one."""

TABLE2_ROWS = ("segmentation", "denoising then segmentation", "denoising and segmentation")


def width_name(card: NetworkCard) -> str:
    """The paper's name of a network in Table I, or that of one that it does not have."""
    width = f"c = {card.base_channels}"
    return f"{width}, space to depth" if card.variant == "space_to_depth" else width


def curve_name(card: NetworkCard) -> str:
    """Width and dose of training, for Fig. 9."""
    return f"{width_name(card)}, trained at λ = {dose_name(card)}"


def dose_name(card: NetworkCard) -> str:
    return " … ".join(f"{dose:g}" for dose in dict.fromkeys(card.doses))


def _facts(item: str, network: Network, evaluation: Evaluation, model: str, dataset: str) -> dict[str, Any]:
    measured = {name: evaluation.facts[name] for name in ("structures", "images")}
    return (
        {"item": item, "dataset": dataset, "lambda": evaluation.facts["dose_lambda"], "element": ALL}
        | measured
        | (_facts_of_network(model, network))
    )


def _facts_of_network(model: str, network: Network) -> dict[str, Any]:
    return {
        "model": model,
        "base_channels": network.card.base_channels,
        "variant": network.card.variant,
        "trained_lambda": dose_name(network.card),
        "training_seconds": network.training_seconds,
    }


def _with_paper(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the paper's number, where it has one."""
    table = paper_numbers()
    item = row["item"].removesuffix("_widths")
    same = (table["item"] == item) & (table["row"] == row["row"]) & (table["metric"] == row["metric"])
    at_dose = table["lambda"].isna() | np.isclose(table["lambda"], row["lambda"])
    found = table[same & at_dose] if row["element"] == ALL else table[:0]
    if found.empty:
        return row
    its = found.iloc[0]
    note = "; ".join(filter(None, (row.get("note"), its["note"])))
    return row | {"paper": float(its["value"]), "reference": its["reference"], "note": note}


def _seconds(evaluation: Evaluation) -> dict[str, Any]:
    """The network's time for an image, and on what."""
    run = evaluation.run
    threads = f", threads: {run['threads']}" if run.get("device") == "cpu" and "threads" in run else ""
    note = f"{run['device']}{threads}" if "device" in run else ""
    return {"metric": "seconds_per_image", "value": run.get("seconds_per_image"), "note": note}


BEFORE = "before temperature scaling"
CALIBRATION_ROWS = {
    "pixels_before": f"pixels, {BEFORE}",
    "pixels": "pixels",
    "columns_before": f"columns, {BEFORE}",
    "columns": "columns",
}


def _calibration_rows(facts: dict[str, Any], evaluation: Evaluation, temperature: float) -> Iterator[dict[str, Any]]:
    """Accuracy of the pixels whose confidence lies in the bin that holds ``CONFIDENCE``; calibration errors."""
    sure = f"confidence {CONFIDENCE:g}"
    for population, row in (("pixels_before", f"{sure}, {BEFORE}"), ("pixels", sure)):
        table = evaluation.reliability(population)
        inside = (table["confidence_low"] <= CONFIDENCE) & (table["confidence_high"] > CONFIDENCE)
        (its,) = table[inside].to_dict("records")
        note = f"of the pixels with a confidence of {its['confidence_low']:.2f} to {its['confidence_high']:.2f}"
        yield _with_paper(facts | {"row": row, "metric": "accuracy", "value": its["accuracy"], "note": note})
    for population, row in CALIBRATION_ROWS.items():
        metric = POPULATIONS[population]
        low, high = evaluation.interval(metric) or (None, None)
        number = {"metric": "expected_calibration_error", "value": evaluation.value(metric), "low": low, "high": high}
        yield facts | {"row": row, "note": f"T = {temperature:g}"} | number


def _within_one_rows(facts: dict[str, Any], evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """Share of the pixels whose depth is within one atom: of all, and of those whose true depth is above 0."""
    for element in (ALL, *evaluation.elements):
        matrix = evaluation.confusion_matrix(element)
        columns = np.where(np.arange(len(matrix))[:, None] > 0, matrix, 0)
        for name, rows in (("all pixels", matrix), ("pixels of columns", columns)):
            yield facts | {"row": name, "metric": WITHIN_ONE, "element": element, "value": share_within_one(rows)}


def _shares_denoiser(pair: tuple[str, str], results: PaperResults) -> bool:
    """Another network's denoiser has the same PSNR and SSIM in every image."""
    mine = results.denoising[pair]
    return any(mine.equals(table) for other, table in results.denoising.items() if other != pair)


def _denoising_rows(facts: dict[str, Any], table: pd.DataFrame, note: str) -> Iterator[dict[str, Any]]:
    groups = table.groupby("structure")
    parts = {name: (groups[name].sum().to_numpy(), groups.size().to_numpy(float)) for name in DENOISING}
    intervals = bootstrap_intervals(parts, np.random.default_rng(hash64("bootstrap")))
    for name in DENOISING:
        low, high = intervals[name] or (None, None)
        number = {"value": float(table[name].mean()), "low": low, "high": high}
        yield facts | {"metric": name, "element": ALL, "note": note if name in DENOISED else ""} | number


def _difference_rows(paper: Paper, results: PaperResults) -> Iterator[dict[str, Any]]:
    """Each row of Table II less each one above it, paired by structure; those of one denoiser have no difference in
    PSNR and SSIM."""
    models = dict(zip(TABLE2_ROWS, (paper.segmentation, paper.denoised, paper.joint)))
    pairs = {row: (model, paper.dataset_of(model)) for row, model in models.items()}
    found = {row: _by_structure(results, pair) for row, pair in pairs.items()}
    for against, row in combinations(TABLE2_ROWS, 2):
        pair = pairs[row]
        images = [results.denoising.get(pairs[name]) for name in (row, against)]
        one_denoiser = images[0] is not None and images[0].equals(images[1])
        facts = _facts("table2", results.networks[pair[0]], results.evaluations[pair], *pair)
        for (metric, element), (value, sums) in found[row].items():
            other, its_sums = found[against].get((metric, element), (None, None))
            if value is None or other is None or (one_denoiser and metric in DENOISED):
                continue
            low, high = difference_interval([sums], [its_sums], pair[1]) or (None, None)
            number = {"value": value - other, "low": low, "high": high}
            yield _less(facts | {"row": row, "metric": metric, "element": element}, against) | number


def _by_structure(results: PaperResults, pair: tuple[str, str]) -> dict[tuple[str, str], tuple[float | None, Any]]:
    """Value and ``structure_sums`` by metric and element, for a model and its data set."""
    evaluation = results.evaluations[pair]
    keys = [(metric, element) for metric in METRICS for element in (ALL, *evaluation.elements)]
    found = {key: (evaluation.value(*key), structure_sums(evaluation, *key)) for key in keys}
    if pair in results.denoising:
        images = results.denoising[pair]
        for name in DENOISED:
            sums = images.groupby("structure")[name].agg(right="sum", total="size").reset_index()
            sums["specimen"] = evaluation.facts.get("specimen")
            found[name, ALL] = float(images[name].mean()), sums
    return found


def _less(row: dict[str, Any], against: str) -> dict[str, Any]:
    """The row's facts as those of a difference from another row, with that of the paper's numbers where it has both."""
    mine, other = (_with_paper(row | {"row": name}) for name in (row["row"], against))
    found = row | {"against": against, "metric": f"{row['metric']}_change"}
    if "paper" in mine and "paper" in other:
        found |= {"paper": round(mine["paper"] - other["paper"], 6), "reference": mine["reference"]}
    return found


def _radius_rows(paper: Paper, results: PaperResults) -> Iterator[dict[str, Any]]:
    """Radii of the gradient against λ, at columns and in the vacuum, and of columns against the true count."""
    for model in paper.gradient_models:
        network, radii = results.networks[model], results.radii[model]
        facts = {"item": "fig8", "dataset": paper.dataset_of(model)} | _facts_of_network(model, network)
        name = curve_name(network.card)
        for row in mean_radii(radii).to_dict("records"):
            yield facts | {"row": f"{name}, {row.pop('place')}", "images": row["structures"]} | row
        by_count = mean_radii(radii[radii["place"] == "column"], by_count=True).drop(columns="place")
        for row in by_count.to_dict("records"):
            yield facts | {"row": f"{name}, columns of {row.pop('atoms')}", "images": row["structures"]} | row


def _recorded_rows(paper: Paper, results: PaperResults) -> Iterator[dict[str, Any]]:
    """Fig. 10, where the truth of a predicted micrograph is known."""
    for name, found in results.recorded.items():
        facts = _facts_of_image("fig10", name, found, results)
        for row in column_rows(found):
            yield facts | {"row": "columns"} | row


def _boundary_rows(paper: Paper, results: PaperResults) -> Iterator[dict[str, Any]]:
    for name, found in results.boundaries.items():
        facts = _facts_of_image("fig11", name, found, results)
        for row in boundary_rows(found):
            yield _with_paper(facts | row)


def _facts_of_image(item: str, name: str, found: RecordedColumns | Boundary, results: PaperResults) -> dict[str, Any]:
    measured = {"dataset": name, "lambda": found.dose_lambda, "element": ALL, "structures": 1, "images": 1}
    return {"item": item} | measured | _facts_of_network(found.model, results.networks[found.model])


def _event_rows(paper: Paper, results: PaperResults) -> Iterator[dict[str, Any]]:
    if results.film is None:
        return
    facts = _facts_of_network(paper.film_model, results.networks[paper.film_model])
    for row in event_rows(results.film):
        yield {"item": "fig12", "dataset": paper.film, "structures": 1} | facts | row


def _bound_rows(paper: Paper, results: PaperResults) -> Iterator[dict[str, Any]]:
    """At the doses of the data sets of Fig. 9."""
    if results.bound is None:
        return
    measured = [results.evaluations[pair].facts for pair in paper.measured("bound")]
    doses = sorted({float(facts["dose_lambda"]) for facts in measured})
    for row in bound_rows(results.bound, doses):
        yield {"item": "bound", "dataset": results.bound.facts["dataset"]} | row


OTHER_ROWS = {
    "fig8": _radius_rows,
    "bound": _bound_rows,
    "fig10": _recorded_rows,
    "fig11": _boundary_rows,
    "fig12": _event_rows,
}
"""Items that are not made of evaluations."""
