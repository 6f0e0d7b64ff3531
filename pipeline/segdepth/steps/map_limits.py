"""The step ``map-limits``: where to record. The ideal observer of single columns over defocus, C3, dose and vibration.

Some columns of some test structures are given an atom less and one more, and their neighbours one less; exit waves of
the square about the column serve every lens (``segdepth.evaluation.ideal_observer_recordings``,
``segdepth.evaluation.neighbour_waves``). It writes ``map.csv``
(``segdepth.evaluation.limits.map_rows``), ``settings.csv`` (``recommended``) and ``columns.csv``, one row a column and
setting at λ = 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from segdepth.config import Beam, Dataset, Imaging, LimitMap, Specimen
from segdepth.crystals.elements import SYMBOLS
from segdepth.errors import StoreError
from segdepth.evaluation.ideal_observer import d_prime
from segdepth.evaluation.ideal_observer_columns import draw_columns
from segdepth.evaluation.ideal_observer_recordings import check_planes, coherent, column_waves
from segdepth.evaluation.limits import map_rows, recommended
from segdepth.evaluation.neighbour_waves import independent_share, neighbour_waves
from segdepth.seeds import hash64, structure_rng
from segdepth.simulation.arbitrary_pixel import form_at_pixel
from segdepth.simulation.beam import resolve_beam
from segdepth.simulation.detector import electrons_per_pixel
from segdepth.simulation.exit_wave import abtem_device, configure_abtem
from segdepth.simulation.lens_values import draw_lens_values
from segdepth.steps.estimate_ideal_observer import frames_of
from segdepth.steps.written_tables import CSV
from segdepth.store.manifest import write_artefact

COMMAND = "map-limits"
MAP, SETTINGS, COLUMNS = "map.csv", "settings.csv", "columns.csv"
DRAWS = hash64("limit map")

PIXEL_PM = 10.0
"""Of the images: the noise is that of an area, so that a finer pixel changes nothing."""

EDGE_PM = 600.0
"""Columns stand so far inside the field at least."""


def map_limits(
    block: LimitMap,
    dataset: Dataset,
    specimen: Specimen,
    beam: Beam,
    imaging: Imaging,
    most_atoms: int,
    atoms: Sequence[Path],
    out: Path,
    *,
    name: str,
    code: str,
    device: str = "auto",
) -> None:
    """Estimate and write.

    Parameters
    ----------
    imaging : gives every lens value but those of the map. atoms : the specimen's shards. name : of the block.

    Raises
    ------
    ConfigError
        The specimen's atoms are tilted, or it has carbon.
    StoreError
        A shard is missing or damaged, or no column can be drawn.
    """
    check_planes(specimen)
    backend = abtem_device(device)
    configure_abtem(backend)
    structures = dataset.structures_of("test", specimen)[: block.structures]
    blocks = {"limit_map": block, "dataset": dataset, "specimen": specimen, "beam": beam, "imaging": imaging}
    parameters = {key: each.model_dump(mode="json") for key, each in blocks.items()}
    parameters |= {"name": name, "most_atoms": most_atoms}
    with write_artefact(
        out, command=COMMAND, code=code, inputs=list(atoms), parameters=parameters, notes={"device": backend}
    ) as partial:
        rows: list[dict[str, Any]] = []
        for frame, crystal in tqdm(
            frames_of(atoms, structures), total=len(structures), desc=f"limits of {name}", unit="structure"
        ):
            key = (int(frame.info["root_seed"]), dataset.specimen, int(frame.info["index"]))
            rng = structure_rng(*key, "geometry", DRAWS)
            drawn = draw_columns(frame, specimen, crystal, most_atoms, block.columns, EDGE_PM, rng)
            symbols = [*crystal.all_elements, *frame.get_chemical_symbols()]
            own = resolve_beam(coherent(beam), symbols, crystal.debye_waller_pm, structure_rng(*key, "beam"))
            for column in drawn.to_dict("records"):
                waves, attributes = column_waves(frame, column["column"], own, crystal)
                waves = np.concatenate([waves, neighbour_waves(frame, column["column"], own, crystal)])
                place = {"structure": key[2], "element": SYMBOLS[column["element"]], "atoms": int(column["atoms"])}
                rows += [place | each for each in _settings(block, imaging, waves, attributes)]
        if not rows:
            raise StoreError(f"limit map {name!r}: no column of 2 to {most_atoms - 1} atoms can be drawn")
        observed = pd.DataFrame(rows)
        found = map_rows(observed, block.dose_lambda)
        partial.mkdir()
        observed.to_csv(partial / COLUMNS, **CSV)
        found.to_csv(partial / MAP, **CSV)
        recommended(found).to_csv(partial / SETTINGS, **CSV)


def _settings(block: LimitMap, imaging: Imaging, waves: np.ndarray, attributes: dict[str, Any]) -> list[dict[str, Any]]:
    """Detectability of one column at each setting, λ = 1.

    Images are formed with the least vibration and blurred to the others. ``waves`` : as it is, one atom less, one more,
    then one less of each neighbour.
    """
    side, other = (round(length / PIXEL_PM) for length in attributes["cell_pm"])
    pixel = attributes["cell_pm"][0] / side  # a whole number of pixels, so that images are periodic
    electrons = electrons_per_pixel(1.0, pixel, imaging.detection_efficiency)
    least = min(block.image_spread_pm)
    square = np.fft.fftfreq(other, pixel)[:, None] ** 2 + np.fft.rfftfreq(side, pixel) ** 2
    rows = []
    for c3 in block.c3_um:
        one = imaging.model_copy(update={"c3_um": float(c3), "image_spread_pm": float(least)})
        values = draw_lens_values(one, block.defocus_nm, np.random.default_rng(0))
        sharp = np.stack([form_at_pixel(one, attributes, wave, values, pixel) for wave in waves])
        spectrum = np.fft.rfft2(sharp.astype(np.float64))
        for spread in block.image_spread_pm:
            blurred = np.fft.irfft2(
                spectrum * np.exp(-2 * np.pi**2 * (spread**2 - least**2) * square), sharp.shape[-2:]
            )
            for place, defocus in enumerate(block.defocus_nm):
                plain, minus, plus, *_ = blurred[:, place]
                setting = {"defocus_nm": float(defocus), "c3_um": float(c3), "image_spread_pm": float(spread)}
                setting |= {
                    "d_prime_minus": float(d_prime(plain, minus, electrons)),
                    "d_prime_plus": float(d_prime(plain, plus, electrons)),
                }
                setting["independent"] = independent_share(plain, minus, blurred[3:, place])
                rows.append(setting)
    return rows
