"""The step ``record-film``: a film whose surface columns gain and lose atoms, and what they truly hold when.

The folder it writes:

- ``lambda-<dose>.tif`` for each dose: an ImageJ TIFF in electron counts (frame, y, x), uint16, with its pixel in nm and
  its time from frame to frame, as a camera's program writes it.
- ``truth.zarr``: ``segdepth.simulation.film_truth``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import tifffile
from ase import Atoms
from tqdm import tqdm

from segdepth.config import Beam, Film, Imaging, Specimen
from segdepth.crystals import Crystal
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation.ideal_observer import d_prime
from segdepth.evaluation.ideal_observer_columns import with_exit_atom, without_exit_atom
from segdepth.seeds import hash64, structure_rng
from segdepth.simulation.arbitrary_pixel import field_shape, form_at_pixel
from segdepth.simulation.beam import resolve_beam
from segdepth.simulation.cell import sides_pm
from segdepth.simulation.detector import electrons_per_pixel
from segdepth.simulation.electron import wavelength_pm
from segdepth.simulation.exit_wave import abtem_device, configure_abtem
from segdepth.simulation.film_truth import truth_dataset
from segdepth.simulation.film_waves import STEPS, FilmWaves, moved
from segdepth.simulation.grid import check_grid
from segdepth.simulation.lens_values import draw_lens_values
from segdepth.specimen.columns import column_table
from segdepth.specimen.frame_facts import FrameFacts, crystal_text
from segdepth.specimen.surface_changes import draw_changing, markov_steps
from segdepth.steps.atoms_files import read_atoms
from segdepth.store.manifest import check_target, write_artefact
from segdepth.store.zarr_store import write_zarr

COMMAND = "record-film"
TRUTH = "truth.zarr"

FILMS = 30_000
"""Separates random draws of films from those of stored images, recordings, yardsticks and evaluations."""

EDGE_PM = 600.0
"""Columns that change stand so far inside the field, so that what they change is in the image."""

BRIGHTEST = 8.0
"""No pixel of a crystal's image is so many times as bright as the vacuum."""

DTYPE = np.dtype(">u2")
"""Of counts in a stack."""


def record_film(
    film: Film,
    imaging: Imaging,
    specimen: Specimen,
    beam: Beam,
    structure: int,
    most_atoms: int,
    atoms: Path,
    out: Path,
    *,
    code: str,
    device: str = "auto",
) -> None:
    """Simulate and record a structure of a shard of atoms as a film.

    Parameters
    ----------
    structure : index in the plan. most_atoms : largest count that a column may reach.

    Raises
    ------
    ConfigError
        Crystal or beam is tilted or the beam has configurations; the drift is longer than the margin; a dose may make
        more electrons in a pixel than a stack holds; no column is at the surface.
    StoreError
        The atoms cannot be read or lack the structure.
    """
    check_still(film, specimen, beam)
    check_counts(film, imaging)
    check_target(out, COMMAND, [atoms])
    backend = abtem_device(device)
    configure_abtem(backend)
    frame = _structure(atoms, structure)
    facts = FrameFacts.of(frame)
    if facts.crystal is None:
        raise StoreError(f"{atoms}: its frames have no 'crystal'")
    cell = sides_pm(frame)
    check_grid("beam", beam, cell)
    key = (facts.root_seed, facts.specimen, facts.index)
    attrs = {
        "cell_pm": cell,
        "margin_pm": facts.margin_pm,
        "wavelength_pm": wavelength_pm(beam.energy_kev),
        "stored_angle_mrad": beam.stored_angle_mrad,
    }
    parameters = {
        name: block.model_dump(mode="json")
        for name, block in {"film": film, "imaging": imaging, "specimen": specimen, "beam": beam}.items()
    } | {"structure": structure, "most_atoms": most_atoms}
    with write_artefact(
        out,
        command=COMMAND,
        code=code,
        inputs=[atoms],
        parameters=parameters,
        seeds={"root_seed": facts.root_seed, "specimen": facts.specimen},
        notes={"device": backend},
    ) as partial:
        partial.mkdir()
        table, steps = drawn_columns(film, frame, facts, most_atoms)
        waves = _waves(frame, beam, facts.crystal, table, key)
        lens = draw_lens_values(imaging, [film.defocus_nm], structure_rng(*key, "lens", FILMS))
        drift = _drift(film, structure_rng(*key, "geometry", FILMS, 2))

        def formed(wave: np.ndarray) -> np.ndarray:
            return form_at_pixel(imaging, attrs, wave, lens, film.pixel_pm)[0]

        detectability = _detectability(table, waves, formed, film, imaging)
        shape = field_shape(attrs, film.pixel_pm)
        truth = _truth(film, table, steps, drift, facts, detectability, shape)
        write_zarr(truth, partial / TRUTH, leading=(), parameters=parameters)
        frames = tqdm(range(film.frames), desc="images of the film", unit="frame", mininterval=0.5)
        images = (formed(moved(waves.wave(steps[:, n]), cell, *drift[n])) for n in frames)
        noise = [structure_rng(*key, "noise", FILMS, hash64(film.stack(dose))) for dose in film.dose_lambda]
        write_stacks(partial, images, shape, film, imaging.detection_efficiency, noise)


def check_still(film: Film, specimen: Specimen, beam: Beam) -> None:
    """A film is made of upright crystals and coherent waves only: with a tilt, one atom more would change the slicing
    and that the image more than the atom does; and its drift stays within the margin.

    Raises
    ------
    ConfigError
        It is not so.
    """
    for what, wrong in (
        ("specimen: tilt_deg", specimen.tilt_deg[1] > 0),
        ("beam: tilt_mrad", any(beam.tilt_mrad)),
        ("beam: random_tilt_mrad", any(beam.random_tilt_mrad)),
        ("beam: frozen_phonons", bool(beam.frozen_phonons)),
        ("beam: diffuse_snapshots", bool(beam.diffuse_snapshots)),
    ):
        if wrong:
            raise ConfigError(f"{what}: a film is made of upright crystals and coherent waves only; allowed: 0")
    length = film.drift_pm_per_s * film.duration_s
    if length > 2 * specimen.margin_pm:
        raise ConfigError(
            f"film: drift_pm_per_s: got {film.drift_pm_per_s:g} for {film.duration_s:g} s, which is {length:g} pm; "
            f"at most twice the specimen's margin_pm ({2 * specimen.margin_pm:g}) is simulated"
        )


def check_counts(film: Film, imaging: Imaging) -> None:
    """The largest dose makes no more electrons in a pixel than a stack of 16 bits holds.

    Raises
    ------
    ConfigError
        It may make more.
    """
    each = electrons_per_pixel(1.0, film.pixel_pm, imaging.detection_efficiency)
    most = np.iinfo(DTYPE).max / (BRIGHTEST * each)
    dose = max(film.dose_lambda)
    if dose > most:
        raise ConfigError(
            f"film: dose_lambda: got {dose:g}, which may make more than the {np.iinfo(DTYPE).max} electrons in a pixel "
            f"that a stack holds; allowed: at most {most:g}"
        )


def _structure(path: Path, index: int) -> Atoms:
    for position, frame in enumerate(read_atoms(path)):
        if FrameFacts.of(frame, position).index == index:
            return frame
    raise StoreError(f"{path}: does not hold structure {index}")


def drawn_columns(film: Film, frame: Atoms, facts: FrameFacts, most_atoms: int) -> tuple[pd.DataFrame, np.ndarray]:
    """All columns in the field, which of them change (``changes``, ``dwell_s``), and the steps of these (changing
    column, frame)."""
    key = (facts.root_seed, facts.specimen, facts.index)
    table = column_table(frame, facts.margin_pm, facts.field_pm, facts.margin_pm)
    rng = structure_rng(*key, "geometry", FILMS)
    rows = draw_changing(
        table,
        [ATOMIC_NUMBER[element] for element in facts.crystal.elements],
        facts.field_pm,
        each=film.changing_columns,
        reach_pm=1000 * film.reach_nm,
        edge_pm=EDGE_PM,
        most_atoms=most_atoms,
        rng=rng,
    )
    if not len(rows):
        raise ConfigError(
            f"film: reach_nm: got {film.reach_nm:g}; no column of 1 to {most_atoms - 1} atoms stands that near to "
            f"the vacuum and {EDGE_PM / 1000:g} nm inside the field of structure {facts.index}"
        )
    dwell = np.exp(rng.uniform(*np.log(film.dwell_s), len(rows)))
    steps = markov_steps(dwell, film.frame_s, film.frames, structure_rng(*key, "geometry", FILMS, 1))
    table = table.assign(changes=False, dwell_s=np.nan)
    table.loc[rows, "changes"], table.loc[rows, "dwell_s"] = True, dwell
    return table, steps


def _changed(crystal: Crystal, atoms: Atoms, column: int, step: int) -> Atoms:
    return (with_exit_atom if step > 0 else without_exit_atom)(atoms, column, crystal)


def _waves(frame: Atoms, beam: Beam, crystal: Crystal, table: pd.DataFrame, key: tuple[int, str, int]) -> FilmWaves:
    own = resolve_beam(
        beam,
        [*crystal.all_elements, *frame.get_chemical_symbols()],
        crystal.debye_waller_pm,
        structure_rng(*key, "beam"),
    )
    changing = table.loc[table["changes"], "column"].tolist()
    total = 1 + len(STEPS) * len(changing)
    with tqdm(total=total, desc="multislice of changes", unit="wave", mininterval=0.5) as bar:
        return FilmWaves(
            frame, own, changing, lambda atoms, column, step: _changed(crystal, atoms, column, step), bar.update
        )


def _drift(film: Film, rng: np.random.Generator) -> np.ndarray:
    """Drift in pm (frame, 2), 0 in the middle of the film."""
    azimuth = rng.uniform(0, 2 * np.pi)
    times = film.frame_s * (np.arange(film.frames) - (film.frames - 1) / 2)
    return film.drift_pm_per_s * times[:, None] * (np.cos(azimuth), np.sin(azimuth))


def _detectability(table: pd.DataFrame, waves: FilmWaves, formed: Any, film: Film, imaging: Imaging) -> pd.DataFrame:
    """``d_prime_minus`` and ``d_prime_plus`` of each column at λ = 1; NaN where it does not change."""
    electrons = electrons_per_pixel(1.0, film.pixel_pm, imaging.detection_efficiency)
    plain = formed(waves.plain)
    found = np.full((len(table), len(STEPS)), np.nan)
    for number, row in enumerate(np.flatnonzero(table["changes"])):
        for place in range(len(STEPS)):
            found[row, place] = d_prime(plain, formed(waves.plain + waves.differences[number, place]), electrons)
    return pd.DataFrame(found, columns=["d_prime_minus", "d_prime_plus"])


def _truth(
    film: Film,
    table: pd.DataFrame,
    steps: np.ndarray,
    drift: np.ndarray,
    facts: FrameFacts,
    detectability: pd.DataFrame,
    shape: tuple[int, int],
) -> Any:
    """The data set, of columns in the recording's own coordinates; those that drift never brings in are left out."""
    field = np.broadcast_to(facts.field_pm, 2)
    inset = (field - film.pixel_pm * np.array(shape[::-1])) / 2
    columns = table.assign(x_pm=table["x_pm"] - inset[0], y_pm=table["y_pm"] - inset[1])
    columns[list(detectability)] = detectability.to_numpy()
    atoms = np.repeat(columns["atoms"].to_numpy()[:, None], film.frames, axis=1)
    atoms[columns["changes"].to_numpy()] += steps
    reach = np.abs(drift).max(axis=0)
    size = film.pixel_pm * np.array(shape[::-1])
    near = columns["x_pm"].between(-reach[0], size[0] + reach[0])
    near &= columns["y_pm"].between(-reach[1], size[1] + reach[1])
    attrs = {
        "pixel_pm": film.pixel_pm,
        "frame_s": film.frame_s,
        "shape": list(shape),
        "dose_lambda": list(film.dose_lambda),
        "defocus_nm": film.defocus_nm,
        "crystal": crystal_text(facts.crystal),
    }
    return truth_dataset(columns[near], atoms[near.to_numpy()], drift, film.frame_s, attrs)


def write_stacks(
    folder: Path,
    images: Iterable[np.ndarray],
    shape: tuple[int, int],
    film: Film,
    detection_efficiency: float,
    noise: Sequence[np.random.Generator],
) -> None:
    """An ImageJ TIFF (frame, y, x) for each dose, frame by frame: no more than one image is in memory.

    Parameters
    ----------
    images : ``film.frames`` noise-free ones of ``shape`` (y, x), vacuum = 1. noise : a generator a dose.

    Raises
    ------
    ConfigError
        A pixel counts more electrons than a stack holds.
    """
    with ExitStack() as opened:
        stacks = []
        for dose, rng in zip(film.dose_lambda, noise):
            electrons = electrons_per_pixel(dose, film.pixel_pm, detection_efficiency)
            stream = opened.enter_context(_empty_stack(folder / film.stack(dose), shape, film))
            stacks.append((electrons, rng, stream))
        for image in images:
            for electrons, rng, stream in stacks:
                counts = rng.poisson(np.maximum(image, 0) * electrons)
                if counts.max() > np.iinfo(DTYPE).max:
                    raise ConfigError(
                        f"film: dose_lambda: makes {counts.max()} electrons in a pixel; a stack holds "
                        f"{np.iinfo(DTYPE).max}"
                    )
                stream.write(counts.astype(DTYPE).tobytes())


def _empty_stack(path: Path, shape: tuple[int, int], film: Film) -> BinaryIO:
    """A new TIFF without counts yet, open where the first frame's begin."""
    per_nm = 1000 / film.pixel_pm
    told = {"axes": "TYX", "unit": "nm", "finterval": film.frame_s, "fps": 1 / film.frame_s, "tunit": "s"}
    begin, _ = tifffile.imwrite(
        path,
        shape=(film.frames, *shape),
        dtype=DTYPE,
        imagej=True,
        resolution=(per_nm, per_nm),
        metadata=told,
        byteorder=DTYPE.byteorder,
        returnoffset=True,
    )
    stream = path.open("r+b")
    stream.seek(begin)
    return stream
