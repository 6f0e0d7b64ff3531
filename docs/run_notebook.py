"""Run a notebook's code cells and put what they print and draw into it.

``python docs/run_notebook.py docs/tutorials/film.ipynb``

Without Jupyter: a cell is Python, as it stands. ``tests/test_notebook.py`` runs them in the same way.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

DPI = 90
"""Of the pictures kept in a notebook."""


def run_cells(notebook: dict[str, Any]) -> tuple[list[list[dict[str, Any]]], dict[str, Any]]:
    """Outputs of each code cell, as nbformat has them, and the variables that are left. Figures are closed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names: dict[str, Any] = {"__name__": "__main__"}
    outputs = []
    for number, cell in enumerate(c for c in notebook["cells"] if c["cell_type"] == "code"):
        printed = io.StringIO()
        quiet = contextlib.redirect_stderr(io.StringIO())
        with contextlib.redirect_stdout(printed), quiet, warnings.catch_warnings(action="ignore"):
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
        found = []
        if printed.getvalue():
            found.append({"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(True)})
        found += [_picture(plt.figure(figure)) for figure in plt.get_fignums()]
        plt.close("all")
        outputs.append(found)
    return outputs, names


def _picture(figure: Any) -> dict[str, Any]:
    """A figure as an output."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DPI, bbox_inches="tight", metadata={"Software": None})
    text = base64.b64encode(drawn.getvalue()).decode()
    return {"output_type": "display_data", "metadata": {}, "data": {"image/png": text}}


def main(path: Path) -> None:
    """Put new outputs into a notebook; it runs in a temporary folder."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            outputs, _ = run_cells(notebook)
        finally:
            os.chdir(here)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, (cell, found) in enumerate(zip(code, outputs), start=1):
        cell["execution_count"], cell["outputs"] = number, found
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
