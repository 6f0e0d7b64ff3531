"""Table I: our networks beside the paper's (SegDepth, Table I), as CSV and as LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segdepth.errors import ConfigError
from segdepth.evaluation.stored import read_metrics
from segdepth.store.manifest import check_target, writing

COMMAND = "tabulate-table1"
NOTE = "printed as {} x 10^6, which is in units of 10^5"
PAPER = (
    (16, 1.175, 0.931, 0.812, 0.955, 7.25, NOTE.format("11.75")),
    (32, 4.692, 0.932, 0.842, 0.944, 3.58, NOTE.format("46.92")),
    (64, 18.75, 0.939, 0.847, 0.956, 2.33, ""),
    (96, 42.17, 0.936, 0.83, 0.943, 3.62, ""),
    (130, 77.31, 0.888, 0.699, 0.939, 1.75, ""),
)
"""Base channels, parameters in 10^6, pixelwise and centre accuracy, detection rate, hallucinated rate in 10^-2, note.
λ = 2.5 (IV-B). The parameters of the first two rows are given in the unit of the others."""

PAPER_LAMBDA = 2.5
RATES = {"pixelwise": "pixelwise_accuracy", "centre": "centre_accuracy", "detection": "detection_rate"}
HEADINGS = {
    "source": "Source",
    "base_channels": "$c$",
    "parameters_1e6": r"Par. ($10^6$)",
    "lambda": r"$\lambda$",
    "pixelwise": "Pixelwise",
    "centre": "Centre",
    "centre_Ce": "Centre Ce",
    "centre_O": "Centre O",
    "detection": "Detected",
    "hallucinated_1e-2": r"Halluc. ($10^{-2}$)",
    "columns_exact_Ce": "Exact Ce",
    "columns_exact_O": "Exact O",
}
"""Columns of the LaTeX table; the CSV has all of them and every rate per element."""


def our_row(facts: dict[str, Any]) -> dict[str, Any]:
    """One evaluation's ``metrics.json`` as a row."""
    row: dict[str, Any] = {
        "source": f"{facts['model']} on {facts['dataset']} ({facts['variant']})",
        "base_channels": facts["base_channels"],
        "parameters_1e6": round(facts["parameters"] / 1e6, 3),
        "lambda": facts["dose_lambda"],
    }
    for suffix in ("", "_Ce", "_O"):
        for name, key in RATES.items():
            row[name + suffix] = facts[key + suffix]
        false = facts["hallucinated_rate" + suffix]
        row["hallucinated_1e-2" + suffix] = None if false is None else 100 * false
        row["columns_exact" + suffix] = facts["columns_exact" + suffix]
        row["columns_within_one" + suffix] = facts["columns_within_one" + suffix]
    return row | {"structures": facts["structures"], "images": facts["images"]}


def paper_rows() -> list[dict[str, Any]]:
    names = ("base_channels", "parameters_1e6", "pixelwise", "centre", "detection", "hallucinated_1e-2", "note")
    return [{"source": "paper", "lambda": PAPER_LAMBDA, **dict(zip(names, row))} for row in PAPER]


def as_latex(table: pd.DataFrame) -> str:
    """A booktabs tabular; what a row does not have is a dash."""
    lines = [rf"\begin{{tabular}}{{l{'r' * (len(HEADINGS) - 1)}}}", r"\toprule", " & ".join(HEADINGS.values()) + r" \\"]
    ours_before = None
    for _, row in table.iterrows():
        ours = row["source"] != "paper"
        if ours != ours_before:
            lines.append(r"\midrule")
        ours_before = ours
        lines.append(" & ".join(_cell(name, row[name]) for name in HEADINGS) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _cell(name: str, value: Any) -> str:
    if pd.isna(value):
        return "--"
    if name == "source":
        return str(value).replace("_", r"\_")
    if name == "base_channels":
        return f"{int(value)}"
    if name == "lambda":
        return f"{value:g}"
    return f"{value:.2f}" if name in ("parameters_1e6", "hallucinated_1e-2") else f"{value:.3f}"


def tabulate(evaluations: Sequence[Path], out: Path, code: str) -> None:
    """Write our rows and the paper's to ``out`` (.csv) and to the .tex beside it."""
    out = Path(out)
    if out.suffix != ".csv":
        raise ConfigError(f"out: got {out}; the table's path ends in .csv, its .tex is written beside it")
    table = pd.DataFrame([*paper_rows(), *(our_row(read_metrics(path)) for path in evaluations)])
    order = [*HEADINGS, *(name for name in table.columns if name not in HEADINGS and name != "note"), "note"]
    table = table.reindex(columns=order)
    text = {".csv": table.to_csv(index=False, lineterminator="\n", float_format="%.6g"), ".tex": as_latex(table)}
    for suffix in text:
        check_target(out.with_suffix(suffix), COMMAND, evaluations)  # both, before either is written
    for suffix, content in text.items():
        with writing(
            out.with_suffix(suffix), command=COMMAND, code=code, inputs=evaluations, parameters={"paper": PAPER}
        ) as partial:
            partial.write_text(content, encoding="utf-8")
