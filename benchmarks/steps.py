"""Seconds and peak memory of the workflow's steps, from what Snakemake measured in the last run.

make clean run && .venv/bin/python benchmarks/steps.py
"""

from __future__ import annotations

import platform
from pathlib import Path

import pandas as pd


def read_steps(folder: Path) -> pd.DataFrame:
    """Jobs, seconds (sum and longest) and peak memory of each rule that has a ``benchmark:``."""
    rows = []
    for path in sorted(folder.rglob("*.tsv")):
        one = pd.read_csv(path, sep="\t")
        rows.append(
            {"rule": path.relative_to(folder).parts[0], "s": one["s"].iloc[0], "max_rss": one["max_rss"].iloc[0]}
        )
    if not rows:
        raise SystemExit(f"{folder}: no benchmark files; run the workflow first")
    grouped = pd.DataFrame(rows).groupby("rule")
    table = grouped.agg(jobs=("s", "size"), seconds=("s", "sum"), longest_s=("s", "max"), peak_mb=("max_rss", "max"))
    return table.sort_values("seconds", ascending=False).round(1)


if __name__ == "__main__":
    print(f"{platform.machine()}, {platform.platform()}, Python {platform.python_version()}\n")
    print(read_steps(Path("logs/benchmarks")).to_string())
