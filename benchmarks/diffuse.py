"""What leaving out diffusely scattered electrons does to a count: perfect slabs, against frozen phonons.

.venv/bin/python benchmarks/diffuse.py [--snapshots 24]

For slabs of a few atoms and some defoci: how many atoms more or fewer the most similar absorptive image has (by least
squares, linear between neighbouring counts), and the error of an image without (absorptive) and with diffuse electrons
(one snapshot) as a share of the contrast.
"""

from __future__ import annotations

import argparse

import numpy as np
from ase import Atoms

import segdepth
from segdepth.crystals import Crystal, lattice_columns
from segdepth.micrograph.predict import crystal_of
from segdepth.networks.bundled import bundled_network
from segdepth.networks.card import read_card
from segdepth.specimen.frame_facts import crystal_text

DEFOCUS_NM = (3.0, 6.0, 9.0, 12.0)
COUNTS, MOST = (3, 5, 7), 9
CELLS = (2, 3)
PAD_PM = 200.0


def slab(crystal: Crystal, count: int) -> Atoms:
    """A perfect crystal of so many periods along the beam, periodic along x and y."""
    px, py, pz = crystal.periods_pm
    width, height = CELLS[0] * px, CELLS[1] * py
    columns = lattice_columns(crystal, width, height, (1.0, 1.0), 0.0)
    places, numbers = [], []
    for x, y, z, number, kind in zip(
        columns.x_pm, columns.y_pm, columns.z_offset, columns.atomic_number, columns.column_type
    ):
        per = crystal.columns[kind].per_period
        for which in range(count * per):
            places.append((x, y, PAD_PM + (which / per + z) * pz))
            numbers.append(number)
    atoms = Atoms(
        numbers=numbers,
        positions=np.array(places) / 100,
        cell=np.array([width, height, 2 * PAD_PM + count * pz]) / 100,
        pbc=(True, True, False),
    )
    atoms.info = {"exit_face_pm": PAD_PM + count * pz, "margin_pm": 0.0, "crystal": crystal_text(crystal)}
    return atoms


def images(atoms: Atoms, **beam) -> np.ndarray:
    """(defocus, y, x), vacuum = 1."""
    return segdepth.simulate(atoms, beam=beam, defocus_nm=DEFOCUS_NM, pixel_pm=21.1, device="cpu").values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snapshots", type=int, default=24, help="of the frozen phonons that are taken as true")
    snapshots = parser.parse_args().snapshots
    crystal = crystal_of(read_card(bundled_network()))
    absorptive = np.stack([images(slab(crystal, count)) for count in range(1, MOST + 1)])
    print(
        "| atoms | C1 (nm) | looks like | error, absorptive | error, one diffuse snapshot |\n|---:|---:|---:|---:|---:|"
    )
    for count in COUNTS:
        true = images(slab(crystal, count), frozen_phonons=snapshots, pixel_pm=7.0)
        diffuse = images(slab(crystal, count), diffuse_snapshots=1)
        for number, defocus in enumerate(DEFOCUS_NM):
            mine, slope = absorptive[count - 1, number], (absorptive[count, number] - absorptive[count - 2, number]) / 2
            shift = ((true[number] - mine) * slope).sum() / (slope**2).sum()
            errors = [np.std(image - true[number]) / np.std(true[number]) for image in (mine, diffuse[number])]
            print(f"| {count} | {defocus:g} | {count + shift:.1f} | {errors[0]:.3f} | {errors[1]:.3f} |")


if __name__ == "__main__":
    main()
