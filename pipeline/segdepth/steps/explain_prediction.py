"""The step ``explain-prediction``: a prediction and the fit of its lens in, the explained picture out.

The folder holds

``explanation.html`` : the prediction's page with refined depth, expected counts and residuals as further layers.

``explanation.zarr`` : ``explanation.explain.MAPS`` (frame, row, column) on the network's grid, float32; counts and
expected values in electrons, residuals (n - μ)/√μ; NaN where not valid. ``row``, ``column`` in pm; attributes
``affine_to_file_pm``, ``crystal``, ``explained``, ``warnings``.

``explanation.ome.tif``, ``depth_refined.hspy``, ``expected.hspy``, ``residual.hspy``, ``crystal.extxyz`` : as a
prediction has them (``micrograph.results``), on the file's own pixels; the atoms are those of the refined counts.

``columns_refined.csv``, ``.parquet`` : one row a column and frame, with ``explanation.explain.COLUMNS``,
``reliable`` as predicted, and ``explained``.

``explanation.json`` : χ² by frame, defocus as adjusted, lines for the user.

``explanation.png`` : the first frame.

Maps are written frame by frame: memory does not grow with the length of a film, but for the table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import zarr
from pyarrow import parquet
from tqdm import tqdm

from segdepth.devices import one_thread
from segdepth.errors import MicrographError, StoreError
from segdepth.explanation.explain import UNITS, Explainer, explained_maps, lines_of, room_for
from segdepth.explanation.layers import explained_result, refined_rows, with_layers
from segdepth.explanation.refinement import BEYOND_COUNTS
from segdepth.figures.explanation import draw
from segdepth.figures.style import write_picture
from segdepth.fitting.result import read_lens_fit
from segdepth.fitting.same_film import check_same_film
from segdepth.micrograph.results.facts import FilmFacts, LostFrame
from segdepth.micrograph.results.facts import lines_of as lost_lines
from segdepth.micrograph.results.maps import STORE, dose_of
from segdepth.micrograph.results.reading import read_facts, read_frame
from segdepth.micrograph.results.summary import SUMMARY
from segdepth.micrograph.results.tables import PARQUET
from segdepth.micrograph.results.writing import LayersWriter
from segdepth.simulation.exit_wave import abtem_device
from segdepth.store.manifest import check_target, write_artefact
from segdepth.store.zarr_store import open_zarr, write_zarr

COMMAND = "explain-prediction"
NAME = "explanation"
EXPLANATION, TABLE, FACTS, PICTURE = f"{NAME}.zarr", "columns_refined", f"{NAME}.json", f"{NAME}.png"
LOST = "it could not be read, or has no columns"


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
    abtem_device(device)  # one that is not there is told before anything is read
    check_target(out, COMMAND, [prediction, lens])
    fit = read_lens_fit(lens)
    if not fit.explained and not force:
        raise MicrographError(
            f"{lens}: the fit does not explain its film, so that its lens is no fact; --force goes on all the same"
        )
    parameters = {"force": force}
    with open_zarr(prediction, "predict-micrograph", part=STORE) as maps, one_thread():
        kev, pixel_pm = (maps.attrs.get(name) for name in ("energy_kev", "pixel_pm"))
        check_same_film(lens, fit, prediction, dose_of(maps), kev, pixel_pm)
        columns = parquet.read_table(prediction / PARQUET).to_pandas()
        try:
            facts = with_layers(read_facts(prediction), fit)
        except (OSError, ValueError, KeyError, TypeError) as failure:
            raise StoreError(f"{prediction / SUMMARY}: cannot be read ({failure}); predict again") from None
        explainer = Explainer(maps, columns, fit, device)
        if not explainer.numbers():
            raise MicrographError(f"{prediction}: no frame has columns that could be explained")
        with write_artefact(
            out, command=COMMAND, code=code, inputs=[prediction, lens], parameters=parameters
        ) as partial:
            partial.mkdir()
            lines = _write(explainer, prediction, facts, partial, parameters)
    return lines


def _write(
    explainer: Explainer, prediction: Path, film: FilmFacts, folder: Path, parameters: Mapping[str, Any]
) -> tuple[str, ...]:
    """All files, each frame's maps as they come; the lines for the user."""
    numbers, fit = explainer.numbers(), explainer.fit
    tables: list[pd.DataFrame] = []
    facts: list[dict[str, Any]] = []
    lost: list[LostFrame] = []
    writer = LayersWriter(folder, film, NAME, film.classes - 1 + BEYOND_COUNTS)
    waiting = list(enumerate(film.frames))
    for frame in tqdm(explainer.frames(), desc=f"explanation of {prediction.name}", total=len(numbers), unit="frame"):
        while waiting[0][1] != frame.number:
            writer.lose(waiting.pop(0)[1], LOST)
        place, _ = waiting.pop(0)
        if isinstance(frame, LostFrame):
            writer.lose(frame.number, frame.reason)
            lost.append(frame)
            continue
        maps = explained_maps(explainer, [frame], ())
        rows = explainer.columns[explainer.columns["frame"] == frame.number]
        result = explained_result(read_frame(prediction, explainer.maps, place, rows), frame)
        writer.put(result, refined_rows(result, film.pixel_pm))
        if not facts:
            room = room_for(maps, numbers)
            write_zarr(room, folder / EXPLANATION, leading=("frame",), parameters=parameters, compute=False)
            write_picture(draw(maps, frame.table, frame.facts), folder / PICTURE)
        store = zarr.open_group(folder / EXPLANATION, mode="r+")
        for name in maps.data_vars:
            store[name][numbers.index(frame.number)] = maps[name].values[0]
        tables.append(frame.table.assign(reliable=result.table["reliable"].to_numpy(bool)))
        facts.append(frame.facts)
    for _, number in waiting:
        writer.lose(number, LOST)
    if not facts:
        raise MicrographError(f"{prediction}: no frame could be explained; {lost[0].reason}")
    lines = lines_of(fit, facts, [*lost_lines((), [], lost), *film.warnings])
    writer.close(lines)
    store.attrs["warnings"] = list(lines)
    _write_table(pd.concat(tables, ignore_index=True), folder, fit.explained)
    found = {
        "explained": fit.explained,
        "lines": list(lines),
        "crystal": fit.crystal,
        "lens": dict(fit.values),
        "frames": facts,
    }
    (folder / FACTS).write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
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
