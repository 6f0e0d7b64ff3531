"""Table I: our networks beside the paper's (SegDepth, Table I).

The table is long: ``source``, ``base_channels``, ``parameters_1e6``, ``lambda``, ``structures``, ``images``, ``note``,
then ``metric``, ``element``, ``value``. The LaTeX form has a row for each network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from segdepth.config import ALL
from segdepth.evaluation.paper import PAPER_METRICS, paper_numbers
from segdepth.evaluation.results import Evaluation, number_in


def _paper_networks() -> tuple[tuple[Any, ...], ...]:
    """Channels, parameters in 10^6, pixelwise and centre accuracy, detection rate, hallucinated rate in 10^-2, note.
    λ = 2.5 (IV-B)."""
    table = paper_numbers()
    found = []
    for name, rows in table[table["item"] == "table1"].groupby("row", sort=False):
        value = rows.set_index("metric")
        parameters = round(value.loc["parameters", "value"] / 1e6, 6)
        printed = (float(value.loc[metric, "printed"]) for metric in PAPER_METRICS)
        found.append((int(name.removeprefix("c = ")), parameters, *printed, value.loc["parameters", "note"]))
    return tuple(found)


PAPER = _paper_networks()
PAPER_LAMBDA = 2.5
METRICS = (*PAPER_METRICS, "columns_exact", "columns_within_one")

FACTS = ("source", "base_channels", "parameters_1e6", "lambda", "structures", "images", "note")
HEADINGS = {
    "Pixelwise": ("pixelwise_accuracy", False),
    "Centre": ("centre_accuracy", False),
    "Centre {}": ("centre_accuracy", True),
    "Detected": ("detection_rate", False),
    r"Halluc. ($10^{-2}$)": ("hallucinated_rate", False),
    "Exact {}": ("columns_exact", True),
}
"""Columns of the LaTeX table: metric, and whether there is one for each element."""


def table1(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """The paper's rows and ours, long."""
    rows = [row for network in PAPER for row in _paper_rows(*network)]
    rows += [row for evaluation in evaluations for row in _our_rows(evaluation)]
    columns = [*FACTS, "metric", "element", "value"]
    whole = {name: "Int64" for name in ("base_channels", "structures", "images")}
    return pd.DataFrame(rows, columns=columns).astype({**whole, "value": float})


def _paper_rows(channels: int, parameters: float, *numbers: Any) -> list[dict[str, Any]]:
    *values, note = numbers
    facts = {"source": "paper", "base_channels": channels, "parameters_1e6": parameters, "lambda": PAPER_LAMBDA}
    values[-1] = round(values[-1] / 100, 6)  # printed in 10^-2
    return [
        {**facts, "note": note or None, "metric": metric, "element": ALL, "value": value}
        for metric, value in zip(PAPER_METRICS, values, strict=True)
    ]


def _our_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    found = evaluation.facts
    facts = {
        "source": f"{found['model']} on {found['dataset']} ({found['variant']})",
        "base_channels": found["base_channels"],
        "parameters_1e6": round(found["parameters"] / 1e6, 3),
        "lambda": found["dose_lambda"],
        "structures": found["structures"],
        "images": found["images"],
    }
    return [
        {**facts, "metric": metric, "element": element, "value": evaluation.value(metric, element)}
        for metric in METRICS
        for element in (ALL, *evaluation.elements)
    ]


def as_latex(table: pd.DataFrame) -> str:
    """A booktabs tabular of the long table, a row for each network; what a network does not have is a dash."""
    elements = [element for element in dict.fromkeys(table["element"]) if element != ALL]
    columns = [
        (heading.replace("{}", element), metric, element)
        for heading, (metric, by_element) in HEADINGS.items()
        for element in (elements if by_element else [ALL])
    ]
    head = ["Source", "$c$", r"Par. ($10^6$)", r"$\lambda$", *(heading for heading, _, _ in columns)]
    lines = [rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}", r"\toprule", " & ".join(head) + r" \\"]
    ours_before = None
    for (source, channels, parameters, dose), row in table.groupby(list(FACTS[:4]), sort=False):
        ours = source != "paper"
        if ours != ours_before:
            lines.append(r"\midrule")
        ours_before = ours
        values = [_number(metric, number_in(row, "value", metric=metric, element=e)) for _, metric, e in columns]
        cells = [str(source).replace("_", r"\_"), f"{channels}", f"{parameters:.2f}", f"{dose:g}"]
        lines.append(" & ".join([*cells, *values]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _number(metric: str, value: float | None) -> str:
    if value is None:
        return "--"
    return f"{100 * value:.2f}" if metric == "hallucinated_rate" else f"{value:.3f}"
