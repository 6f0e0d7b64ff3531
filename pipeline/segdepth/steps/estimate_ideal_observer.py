"""The job ``estimate-ideal-observer``: how well columns of a data set's test structures can be counted at all.

From their images: for some columns of each structure the images with one atom less and one more at the exit end are
formed, at every defocus and with the lens values of ``form-images``; the formulas and files are those of
``segdepth.evaluation.ideal_observer``. One less or more at the entrance would look different. From their neighbours alone: the
score of somebody who knows the smooth wedge perfectly, but not what befalls single columns
(``segdepth.evaluation.ideal_observer_columns``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from ase import Atoms
from tqdm import tqdm

from segdepth.config import ELEMENTS, Beam, Dataset, Imaging, Specimen
from segdepth.devices import torch_device
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation.ideal_observer import (
    COMMAND,
    LIMIT,
    VALUES,
    binary_error,
    by_atoms,
    d_prime,
    exact_share,
    exact_share_of,
    intervals,
    means,
    summary,
    with_both,
)
from segdepth.evaluation.ideal_observer_columns import (
    WEDGE_SUMS,
    draw_columns,
    smooth_wedge,
    wedge_tally,
    with_exit_atom,
    without_exit_atom,
)
from segdepth.evaluation.metrics import ratio
from segdepth.seeds import hash64, structure_rng
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.detector import electrons_per_pixel
from segdepth.simulation.electron import stored_orders, wavelength_pm
from segdepth.simulation.exit_wave import abtem_device, configure_abtem, exit_wave
from segdepth.simulation.grid import check_grid
from segdepth.simulation.lens import draw_lens_values, image_former, lens_columns
from segdepth.specimen.lattice import ATOMIC_NUMBER
from segdepth.specimen.plan import read_plan
from segdepth.steps.atoms_files import read_atoms
from segdepth.store.manifest import read_manifest, writing

COLUMN_DRAWS = hash64("limit")
"""Tells the draw of columns from those of the geometry's stream (``segdepth.specimen.draws`` counts from 1)."""

BOOTSTRAP = hash64("bootstrap")

COLUMNS = ("structure", "element", "x_pm", "y_pm", "atoms", "defocus_nm", *VALUES)
SYMBOL = {number: symbol for symbol, number in ATOMIC_NUMBER.items()}


def estimate_ideal_observer(
    *,
    dataset: Dataset,
    dataset_name: str,
    specimen: Specimen,
    beam: Beam,
    imaging: Imaging,
    plan: Path,
    atoms: Sequence[Path],
    root_seed: int,
    out: Path,
    code: str,
    device: str = "auto",
    columns: int = 2,
    edge_nm: float = 0.6,
) -> None:
    """Estimate the limit on ``columns`` columns of each element in each test structure, ``edge_nm`` inside the field.

    ``atoms`` are the shards' files.

    Raises
    ------
    ConfigError
        Crystal or beam is tilted, or the beam has frozen phonons: another slicing or another draw of the phonons would
        then change the image more than one atom does.
    StoreError
        A file is missing, damaged or of another specimen; there are no test structures or no columns to draw.
    """
    _check_upright(specimen, beam)
    check_grid("beam", beam, specimen.cell_pm)
    former = _Former(beam, imaging, specimen, device)
    structures = dataset.structures_of("test", specimen)
    if not structures:
        raise StoreError(f"data set {dataset_name!r}: has no test structures")
    blocks = {"dataset": dataset, "specimen": specimen, "beam": beam, "imaging": imaging}
    with writing(
        out,
        command=COMMAND,
        code=code,
        inputs=[plan, *atoms],
        parameters={
            **{name: block.model_dump(mode="json") for name, block in blocks.items()},
            "dataset_name": dataset_name,
            "columns": columns,
            "edge_nm": edge_nm,
        },
        seeds={"root_seed": root_seed, "specimen": dataset.specimen},
        notes={"device": former.backend},
    ) as partial:
        electrons = electrons_per_pixel(dataset.dose_lambda, imaging.pixel_pm, imaging.detection_efficiency)
        rows = _planned(plan, specimen, dataset.specimen, root_seed)
        found, wedge, done = [], np.zeros((len(ELEMENTS), len(WEDGE_SUMS)), int), set()
        with tqdm(total=len(structures), desc=f"limit of {dataset_name}", unit="structure", mininterval=0.5) as bar:
            for frame in _frames(atoms, structures, specimen, dataset.specimen, root_seed):
                index = int(frame.info["index"])
                key = (root_seed, dataset.specimen, index)
                drawn = draw_columns(
                    frame, specimen, columns, 1000 * edge_nm, structure_rng(*key, "geometry", COLUMN_DRAWS)
                )
                found += _of_structure(frame, drawn, former, specimen.lattice_pm, electrons, key)
                wedge += wedge_tally(frame, smooth_wedge(rows[index], specimen, dataset.specimen, root_seed), specimen)
                done.add(index)
                bar.update()
        if missing := sorted(set(structures) - done):
            raise StoreError(
                f"{len(missing)} of {len(structures)} test structures are in none of the {len(atoms)} shards, "
                f"the first is {missing[0]}"
            )
        if not found:
            raise StoreError(
                f"data set {dataset_name!r}: no column of 2 to 9 atoms stands {edge_nm:g} nm inside the field"
            )
        table = pd.DataFrame(found)[list(COLUMNS)]
        shares, choices = summary(table), 2 * specimen.count_shift_atoms + 1
        ends = intervals(table, structures, np.random.default_rng((root_seed, BOOTSTRAP, hash64(dataset.specimen))))
        facts = {
            "dataset": dataset_name,
            "specimen": dataset.specimen,
            "dose_lambda": dataset.dose_lambda,
            "structures": len(structures),
            "columns": len(table) // len(imaging.defocus_values_nm),
            **shares,
            **_wedge_summary(wedge),
            **_both_summary(shares, choices),
            **_interval_summary(ends, choices),
        }
        _write(partial, facts, table, choices)


def _check_upright(specimen: Specimen, beam: Beam) -> None:
    for what, tilted in (("specimen: tilt_deg", specimen.tilt_deg[1] > 0), ("beam: tilt_mrad", any(beam.tilt_mrad))):
        if tilted:
            raise ConfigError(f"{what}: the limit is estimated for upright crystals only; choose a block without tilt")
    if beam.frozen_phonons:
        raise ConfigError(
            f"beam: frozen_phonons: got {beam.frozen_phonons}; the limit is estimated with the coherent wave only (0)"
        )


def _check_made_of(path: Path, specimen: Specimen, name: str, root_seed: int) -> None:
    made = read_manifest(path)
    parameters = made["parameters"]
    given = specimen.model_dump(mode="json"), name, root_seed
    if (parameters.get("specimen"), parameters.get("name"), made["seeds"].get("root_seed")) != given:
        raise StoreError(f"{path}: was made for another specimen block, name or root_seed than those given here")


def _planned(plan: Path, specimen: Specimen, name: str, root_seed: int) -> dict[int, dict[str, Any]]:
    """The plan's rows by index."""
    table = read_plan(plan)
    _check_made_of(plan, specimen, name, root_seed)
    return {int(row["index"]): row for row in table.to_dict("records")}


def _frames(
    atoms: Sequence[Path], structures: Sequence[int], specimen: Specimen, name: str, root_seed: int
) -> Iterator[Atoms]:
    """The test structures, a shard at a time."""
    wanted = set(structures)
    for path in atoms:
        frames = read_atoms(path)
        _check_made_of(path, specimen, name, root_seed)
        yield from (frame for frame in frames if int(frame.info["index"]) in wanted)


class _Former:
    """Images of atoms at every defocus, as ``simulate-waves`` and ``form-images`` make them."""

    def __init__(self, beam: Beam, imaging: Imaging, specimen: Specimen, device: str) -> None:
        self.beam, self.imaging = beam, imaging
        self.backend, self.where = abtem_device(device), torch_device(device)
        configure_abtem(self.backend)
        attributes = {
            "cell_pm": specimen.cell_pm,
            "margin_pm": specimen.margin_pm,
            "wavelength_pm": wavelength_pm(beam.energy_kev),
            "stored_angle_mrad": beam.stored_angle_mrad,
        }
        orders = stored_orders(specimen.cell_pm, beam.energy_kev, beam.stored_angle_mrad)
        self._former = image_former(imaging, attributes, orders, self.where)

    def lens(self, rng: np.random.Generator) -> Lens:
        """One for every defocus."""
        drawn = draw_lens_values(self.imaging, self.imaging.defocus_values_nm, rng)
        return Lens.from_columns(lens_columns(drawn), self.where)

    def images(self, atoms: Atoms, lens: Lens) -> np.ndarray:
        """(defocus, y, x) of the field of view, vacuum = 1."""
        wave = torch.as_tensor(exit_wave(atoms, self.beam))
        count = len(self.imaging.defocus_values_nm)
        return self._former.form(wave.expand(count, -1, -1), lens).cpu().numpy()


def _of_structure(
    atoms: Atoms,
    drawn: pd.DataFrame,
    former: _Former,
    lattice_pm: float,
    electrons: float,
    key: tuple[int, str, int],
) -> list[dict[str, Any]]:
    """Rows of ``columns.csv``; ``key`` is root seed, specimen and index."""
    if drawn.empty:
        return []
    lens = former.lens(structure_rng(*key, "lens"))
    plain = former.images(atoms, lens)
    rows = []
    for column in drawn.to_dict("records"):
        fewer = without_exit_atom(atoms, column["column"])
        more = with_exit_atom(atoms, column["column"], lattice_pm)
        minus, plus = (d_prime(plain, former.images(changed, lens), electrons) for changed in (fewer, more))
        place = {
            "structure": key[2],
            "element": SYMBOL[column["element"]],
            "x_pm": round(column["x_pm"], 2),
            "y_pm": round(column["y_pm"], 2),
            "atoms": int(column["atoms"]),
        }
        values = zip(
            former.imaging.defocus_values_nm, exact_share(minus, plus), binary_error(minus), minus, plus, strict=True
        )
        rows += [place | dict(zip(("defocus_nm", *VALUES), each)) for each in values]
    return rows


def _wedge_summary(tally: np.ndarray) -> dict[str, float | None]:
    """``wedge_exact`` and ``wedge_within_one`` from the sums of ``wedge_tally``."""
    found = {}
    for suffix, sums in (("", tally.sum(0)), *((f"_{e}", tally[i]) for i, e in enumerate(ELEMENTS))):
        counted = dict(zip(WEDGE_SUMS, sums))
        for name in ("exact", "within_one"):
            found[f"wedge_{name}{suffix}"] = ratio(counted[name], counted["all"])
    return found


def _both_summary(limit: dict[str, float | None], choices: int) -> dict[str, float | None]:
    """``both_exact``: the wedge tells the middle of a column's ``choices`` of counts, the image which of them it is.

    The best that anybody can reach; ``segdepth.evaluation.ideal_observer`` says how it differs from what networks are measured
    on. None with one choice.
    """
    return {
        name.replace("limit", "both"): exact_share_of(choices, share) if choices > 1 else None
        for name, share in limit.items()
        if name.startswith("limit_exact")
    }


def _interval_summary(limit: dict[str, list[float] | None], choices: int) -> dict[str, list[float] | None]:
    """``<name>_interval`` of ``limit_exact`` and of ``both_exact``, which is a straight line of it."""
    both = {
        name.replace("limit", "both"): [exact_share_of(choices, end) for end in ends] if ends and choices > 1 else None
        for name, ends in limit.items()
    }
    return {f"{name}_interval": ends for name, ends in (limit | both).items()}


def _write(folder: Path, facts: dict[str, Any], table: pd.DataFrame, choices: int) -> None:
    options: dict[str, Any] = {"index": False, "lineterminator": "\n", "float_format": "%.6g"}
    folder.mkdir()
    (folder / LIMIT).write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    with_both(means(table, ["element", "defocus_nm"]), choices).to_csv(folder / "by_defocus.csv", **options)
    with_both(by_atoms(table), choices).to_csv(folder / "by_atoms.csv", **options)
    table.to_csv(folder / "columns.csv", **options)
