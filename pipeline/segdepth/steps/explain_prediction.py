"""The step ``explain-prediction``: a prediction and the fit of its lens in, the explained picture out.

The folder holds

``explanation.zarr`` : ``counts``, ``expected``, ``residual``, ``expected_refined``, ``residual_refined`` (frame, row,
column) on the network's grid, float32; counts and expected values in electrons, residuals (n - μ)/√μ; NaN where not
valid. ``row``, ``column`` in pm; attributes ``affine_to_file_pm``, ``crystal``, ``explained``, ``warnings``.

``columns_refined.csv``, ``.parquet`` : one row a column and frame, with ``explanation.explain.COLUMNS``.

``explanation.json`` : χ² by frame, defocus as adjusted, lines for the user.

``explanation.png`` : the first frame.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet
from tqdm import tqdm

from segdepth.devices import one_thread
from segdepth.errors import MicrographError
from segdepth.explanation.explain import UNITS, ExplainedFrame, Explainer, explained_maps, lines_of
from segdepth.figures.explanation import draw
from segdepth.figures.style import write_picture
from segdepth.fitting.result import read_lens_fit
from segdepth.fitting.same_film import check_same_film
from segdepth.micrograph.results.maps import STORE, dose_of
from segdepth.micrograph.results.tables import PARQUET
from segdepth.store.manifest import check_target, write_artefact
from segdepth.store.zarr_store import open_zarr, write_zarr

COMMAND = "explain-prediction"
EXPLANATION, TABLE, FACTS, PICTURE = "explanation.zarr", "columns_refined", "explanation.json", "explanation.png"


def explain_prediction(
    prediction: Path, lens: Path, out: Path, *, code: str = "unknown", force: bool = False, device: str = "cpu"
) -> tuple[str, ...]:
    """Explain every frame of a prediction's folder by a fit of the lens.

    Parameters
    ----------
    prediction : folder of ``segdepth predict``. lens : JSON file of ``segdepth fit-lens``.
    force : also where the fit does not explain its film; every output then says so.

    Returns
    -------
    Lines for the user.

    Raises
    ------
    StoreError, MicrographError, ConfigError
        Something is missing or damaged, the fit is not explained or is another film's, the crystals differ, or no frame
        has columns.
    """
    prediction = Path(prediction)
    check_target(out, COMMAND, [prediction, lens])
    fit = read_lens_fit(lens)
    if not fit.explained and not force:
        raise MicrographError(
            f"{lens}: the fit does not explain its film, so that its lens is no fact; --force goes on all the same"
        )
    parameters = {"force": force}
    with open_zarr(prediction, "predict-micrograph", part=STORE) as maps, one_thread():
        check_same_film(lens, fit, prediction, dose_of(maps), maps.attrs.get("energy_kev"))
        columns = parquet.read_table(prediction / PARQUET).to_pandas()
        explainer = Explainer(maps, columns, fit, device)
        found: list[ExplainedFrame] = []
        with tqdm(total=maps.sizes["frame"], desc=f"explanation of {prediction.name}", unit="frame") as bar:
            for frame in explainer.frames():
                found.append(frame)
                bar.update()
        if not found:
            raise MicrographError(f"{prediction}: no frame has columns that could be explained")
        lines = lines_of(fit, [one.facts for one in found])
        with write_artefact(
            out, command=COMMAND, code=code, inputs=[prediction, lens], parameters=parameters
        ) as partial:
            partial.mkdir()
            stored = explained_maps(explainer, found, lines)
            write_zarr(stored, partial / EXPLANATION, leading=("frame",), parameters=parameters)
            _write_table(pd.concat([one.table for one in found], ignore_index=True), partial, fit.explained)
            facts = {
                "explained": fit.explained,
                "lines": list(lines),
                "crystal": fit.crystal,
                "lens": dict(fit.values),
                "frames": [one.facts for one in found],
            }
            text = json.dumps(facts, indent=1, allow_nan=False)
            (partial / FACTS).write_text(text + "\n", encoding="utf-8")
            write_picture(draw(stored, found[0].table, found[0].facts), partial / PICTURE)
    return lines


def _write_table(table: pd.DataFrame, folder: Path, explained: bool) -> None:
    """The table as CSV and Parquet, the same values in both."""
    table = table.assign(explained=np.full(len(table), explained))
    table.to_csv(folder / f"{TABLE}.csv", index=False)
    arrays = pa.Table.from_pandas(table, preserve_index=False)
    fields = [
        field.with_metadata({"unit": UNITS[field.name]}) if field.name in UNITS else field for field in arrays.schema
    ]
    parquet.write_table(arrays.cast(pa.schema(fields)), folder / f"{TABLE}.parquet", compression="zstd")
