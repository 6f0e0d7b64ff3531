"""Figures on disk: a PNG and a PDF, each with its manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from segdepth.errors import ConfigError
from segdepth.figures.style import write_picture
from segdepth.store.manifest import check_target, write_artefact


def save_figure(
    fig: Figure,
    out: Path,
    *,
    command: str,
    code: str,
    inputs: Iterable[Path],
    parameters: Mapping[str, Any] | None = None,
) -> None:
    """Write ``out`` (.png) and the PDF beside it.

    Raises
    ------
    ConfigError
        ``out`` does not end in .png.
    StoreError
        Something else is in one of the two places; then neither is written.
    """
    out, inputs = Path(out), [Path(path) for path in inputs]
    if out.suffix != ".png":
        raise ConfigError(f"out: got {out}; a figure's path ends in .png, its .pdf is written beside it")
    pair = (out, out.with_suffix(".pdf"))
    for path in pair:
        check_target(path, command, inputs)  # both, before either is written
    for path in pair:
        with write_artefact(path, command=command, code=code, inputs=inputs, parameters=parameters or {}) as partial:
            write_picture(fig, partial)
