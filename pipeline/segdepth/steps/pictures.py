"""Figures on disk: a PNG and a PDF, each with its manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from segdepth.errors import ConfigError, StoreError
from segdepth.figures.style import write_picture
from segdepth.store.manifest import check_target, check_whole, manifest_path, read_manifest, write_artefact

SIMULATED_BY = ("record-micrograph", "record-film")
FROM_A_MICROGRAPH = ("predict-micrograph", "measure-boundary")
"""Commands whose first input is a micrograph, or what one of them made."""


def is_simulated(source: Path) -> bool:
    """Whether a micrograph is a simulated recording, by the manifest beside it, or beside the folder that holds it.

    Parameters
    ----------
    source : the file, or what a command of ``FROM_A_MICROGRAPH`` made from it, which is followed back to it.
    """
    source = Path(source)
    try:
        while beside := next((p for p in (source, source.parent) if manifest_path(p).exists()), None):
            manifest = read_manifest(beside)
            if manifest["command"] not in FROM_A_MICROGRAPH:
                return manifest["command"] in SIMULATED_BY
            source = beside.parent / manifest["inputs"][0]["path"]
    except (StoreError, IndexError):  # cannot be told
        return False
    return False


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


def plot_result(
    drawn: Callable[[Path], Figure], result: Path, out: Path, *, kind: str, made_by: str, command: str, code: str
) -> None:
    """Draw a file or a folder of results with ``drawn`` and save the figure.

    Parameters
    ----------
    kind : what the result is, in a word. made_by : the command that must have made it. command : that draws it.

    Raises
    ------
    StoreError
        The result is missing, unfinished, damaged or of another version; something else is in the figure's place.
    """
    result = Path(result)
    check_whole(result, made_by)
    try:
        fig = drawn(result)
    except StoreError as failure:
        told = str(failure)
        raise StoreError(told if told.startswith(str(result)) else f"{result}: {told}") from None
    except (OSError, ValueError, KeyError, IndexError) as failure:
        raise StoreError(f"{result}: is not a {kind} of this version ({failure})") from None
    save_figure(fig, out, command=command, code=code, inputs=[result])
