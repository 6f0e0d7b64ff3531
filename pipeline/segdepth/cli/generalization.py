"""Networks under each other's conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.cli.options import EVALUATIONS, MODELS, BlockText, EvaluationsRoot, ModelsRoot, Out, read_block
from segdepth.config import Generalization
from segdepth.store.code_hash import code_hash


@app.command("tabulate-generalization")
def tabulate_generalization(
    generalization: BlockText,
    out: Out,
    evaluations_root: EvaluationsRoot = EVALUATIONS,
    models_root: ModelsRoot = MODELS,
) -> None:
    """Tabulate each network on the data sets of the others, before and after a short training there (CSV)."""
    from segdepth.steps.tabulate_generalization import tabulate_generalization as step
    from segdepth.steps.tabulate_networks import Folders

    folders = Folders(evaluations_root, models_root, observers=Path("results/ideal_observer"))
    step(read_block(Generalization, generalization), folders, out, code=code_hash("tabulate-generalization"))


@app.command("plot-generalization")
def plot_generalization(
    table: Annotated[Path, typer.Option(help="the CSV of tabulate-generalization")],
    out: Out,
) -> None:
    """Plot networks on each other's data sets, before and after a short training. Writes the PNG and a PDF."""
    from segdepth.steps.plot_generalization import plot_generalization as step

    step(table, out, code=code_hash("plot-generalization"))
