"""The step ``fit-lens``: a micrograph in, its lens, tilt and thickness out, as JSON.

The file is that of ``segdepth.fitting.result``, and has ``cells`` beside it: the Fourier orders of the average unit
cells by bin (``data``: mean, real parts, imaginary parts) and those of the model, for the figure.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from segdepth.config import CrystalBlock, LensFitOptions
from segdepth.crystals import Crystal, load_crystal
from segdepth.devices import one_thread
from segdepth.fitting.film_fit import fit_film
from segdepth.fitting.result import LensFit, write_lens_fit
from segdepth.micrograph.files import open_recording
from segdepth.store.code_hash import code_hash
from segdepth.store.manifest import check_target, write_artefact

COMMAND = "fit-lens"


def table_code() -> str:
    """Hash of the code that makes tables of waves."""
    return code_hash("segdepth.fitting.wave_table")


def fit_lens(
    options: LensFitOptions,
    crystal: CrystalBlock | Crystal,
    source: Path,
    out: Path,
    *,
    tables: Path | None = None,
    code: str = "unknown",
    tell: Callable[[str], None] = lambda line: None,
) -> LensFit:
    """Fit a micrograph or film; all frames together.

    Parameters
    ----------
    options : how the micrograph is read, and what is held.
    source : a file of ``segdepth.micrograph.files``.
    out : JSON file that is made, or replaced where it is an earlier fit.
    tables : folder for tables of waves; without it the user's cache.
    code : hash of the code, for the manifest.
    tell : called with each line for the user as soon as it is known.

    Raises
    ------
    SegDepthError
        Anything wrong with the input, before anything is written.
    """
    check_target(out, COMMAND, [source])
    known = crystal if isinstance(crystal, Crystal) else load_crystal(crystal)
    with open_recording(source, options.image) as recording, one_thread():
        found = fit_film(recording, known, options, table_code=table_code(), tables=tables, tell=tell)
    parameters = {**options.parameters, "crystal": known.to_dict()}
    with write_artefact(out, command=COMMAND, code=code, inputs=[source], parameters=parameters) as partial:
        write_lens_fit(found.fit, partial, {"cells": found.pictures})
    return found.fit
