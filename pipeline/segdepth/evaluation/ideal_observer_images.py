"""How the image changes when one column of a structure has one atom less or more at the exit end.

The images are formed at every defocus and with the lens values of ``form-images``. One atom less or more at the
entrance would look different.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from ase import Atoms

from segdepth.config import Beam, Imaging, Specimen
from segdepth.crystals import Crystal
from segdepth.crystals.elements import SYMBOLS
from segdepth.devices import torch_device
from segdepth.errors import ConfigError
from segdepth.evaluation.ideal_observer import VALUES, binary_error, d_prime, exact_share
from segdepth.evaluation.ideal_observer_columns import with_exit_atom, without_exit_atom
from segdepth.seeds import structure_rng
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.beam import resolve_beam
from segdepth.simulation.electron import wavelength_pm
from segdepth.simulation.exit_wave import abtem_device, configure_abtem, exit_wave, wave_orders
from segdepth.simulation.grid import check_grid
from segdepth.simulation.lens_values import draw_lens_values, image_former, lens_fields

COLUMNS = ("structure", "element", "x_pm", "y_pm", "atoms", "defocus_nm", *VALUES)
"""Values of a column and image."""


class Images:
    """Images of atoms at every defocus, as ``simulate-waves`` and ``form-images`` make them.

    Raises
    ------
    ConfigError
        The beam's grid is too coarse, or field and margin are no whole numbers of pixels.
    """

    def __init__(self, beam: Beam, imaging: Imaging, specimen: Specimen, device: str) -> None:
        check_grid("beam", beam, specimen.cell_pm)
        self.beam, self.imaging = beam, imaging
        self.backend, self.where = abtem_device(device), torch_device(device)
        configure_abtem(self.backend)
        attributes = {
            "cell_pm": specimen.cell_pm,
            "margin_pm": specimen.margin_pm,
            "wavelength_pm": wavelength_pm(beam.energy_kev),
            "stored_angle_mrad": beam.stored_angle_mrad,
        }
        self._former = image_former(imaging, attributes, wave_orders(specimen.cell_pm, beam), self.where)

    def lens(self, rng: np.random.Generator) -> Lens:
        """One for every defocus."""
        drawn = draw_lens_values(self.imaging, self.imaging.defocus_values_nm, rng)
        return Lens.from_values(lens_fields(drawn), self.where)

    def formed(self, atoms: Atoms, beam: Beam, lens: Lens) -> np.ndarray:
        """(defocus, y, x) of the field of view, vacuum = 1."""
        wave = torch.as_tensor(exit_wave(atoms, beam))
        count = len(self.imaging.defocus_values_nm)
        return self._former.form(wave.expand(count, -1, -1), lens).cpu().numpy()


def observed_columns(
    atoms: Atoms,
    drawn: pd.DataFrame,
    images: Images,
    crystal: Crystal,
    electrons: float,
    key: tuple[int, str, int],
) -> list[dict[str, Any]]:
    """A row of ``COLUMNS`` for each column that was drawn from a structure, and each defocus.

    Parameters
    ----------
    electrons : that a pixel counts in vacuum.
    key : root seed, specimen and index of the structure.
    """
    if drawn.empty:
        return []
    lens = images.lens(structure_rng(*key, "lens"))
    symbols = crystal.all_elements
    beam = resolve_beam(images.beam, symbols, crystal.debye_waller_pm, structure_rng(*key, "beam"))
    plain = images.formed(atoms, beam, lens)
    rows = []
    for column in drawn.to_dict("records"):
        changed = (change(atoms, column["column"], crystal) for change in (without_exit_atom, with_exit_atom))
        minus, plus = (d_prime(plain, images.formed(one, beam, lens), electrons) for one in changed)
        place = {
            "structure": key[2],
            "element": SYMBOLS[column["element"]],
            "x_pm": round(column["x_pm"], 2),
            "y_pm": round(column["y_pm"], 2),
            "atoms": int(column["atoms"]),
        }
        values = zip(
            images.imaging.defocus_values_nm, exact_share(minus, plus), binary_error(minus), minus, plus, strict=True
        )
        rows += [place | dict(zip(("defocus_nm", *VALUES), each)) for each in values]
    return rows


def check_upright(specimen: Specimen, beam: Beam) -> None:
    """An ideal observer is estimated for upright crystals and coherent waves only: another slicing, or another draw of
    the phonons, would change the image more than one atom does.

    Raises
    ------
    ConfigError
        Crystal or beam is tilted, or the beam has snapshots of displaced atoms.
    """
    for what, tilted in (
        ("specimen: tilt_deg", specimen.tilt_deg[1] > 0),
        ("beam: tilt_mrad", any(beam.tilt_mrad)),
        ("beam: random_tilt_mrad", any(beam.random_tilt_mrad)),
    ):
        if tilted:
            raise ConfigError(
                f"{what}: an ideal observer is estimated for upright crystals only; choose a block without tilt"
            )
    for key in ("frozen_phonons", "diffuse_snapshots"):
        if count := getattr(beam, key):
            raise ConfigError(
                f"beam: {key}: got {count}; an ideal observer is estimated with the coherent wave only (0)"
            )
