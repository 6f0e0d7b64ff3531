"""Our potentials and abTEM's against Dr. Probe's: ``python benchmarks/drprobe.py FOLDER`` (one core, 15 seconds).

FOLDER holds Dr. Probe's SrTiO3 example (of github.com/FWin22/drprobe_interface): ``*.cel``, ``slc/``, ``wav/``,
``img/``; naming it in ``SEGDEPTH_DRPROBE`` does as well. The calculation is in ``drprobe_example.py``.
"""

from __future__ import annotations

import os
import platform
import sys
import textwrap
from pathlib import Path

import numpy as np
import torch
from abtem.core.energy import energy2wavelength
from ase import Atoms

from drprobe_example import (
    EDGE,
    ENERGY,
    POINTS,
    SLICE,
    Difference,
    DrProbe,
    abtems,
    apart,
    difference,
    ours,
    ours_absorbing,
    parametrizations,
    propagate,
    read,
    resampled,
    short,
    thermal_absorption,
    through,
)  # fmt: skip
from segdepth.simulation.exit_wave import configure_abtem
from segdepth.simulation.potential import SlicedPotential
from segdepth.store.run_record import versions


def percent(values: list[float]) -> str:
    return " / ".join(f"{100 * value:.3f}" for value in values)


def potential_table(reference: DrProbe, kinds: dict) -> dict[str, list[float]]:
    print("Projected potentials (ours), SrO / TiO2 slice: rms difference of the Fourier coefficients in Dr. Probe's")
    print("band, % of the rms; means; and of the absorption that this potential's thermal vibration makes.\n")
    print("| scattering factors | potential % | mean potential, V | absorption % |")
    print("|---|---|---|---|")
    print(f"| Dr. Probe | | {mean_potential(reference.potentials.real)} | |")
    found = {}
    for name, parametrization in kinds.items():
        slices = ours(reference.atoms, parametrization)
        found[name] = apart(slices, reference.potentials.real)
        absorbed = "" if "ions" in name else percent(absorption_apart(reference, parametrization))
        print(f"| {name} | {percent(found[name])} | {mean_potential(slices)} | {absorbed} |", flush=True)
    return found


def mean_potential(slices: np.ndarray) -> str:
    return " / ".join(f"{value / SLICE:.2f}" for value in slices.mean((1, 2)))


def absorption_apart(reference: DrProbe, parametrization) -> list[float]:
    return apart(thermal_absorption(reference.atoms, parametrization), reference.potentials.imag)


def wave_table(reference: DrProbe, kinds: dict) -> dict[tuple[str, str, str], Difference]:
    print("\n| scattering factors | projection | absorption | wave behind 2 / 4 / 6 / 8 / 10 | rms | image | rms |")
    print("|---|---|---|---|---|---|---|")
    found = {}
    for name, parametrization in kinds.items():
        made = {"ours": ours(reference.atoms, parametrization)}
        made["abTEM infinite"] = abtems(reference.atoms, parametrization, "infinite")
        if hasattr(parametrization, "potential"):
            made["abTEM finite"] = abtems(reference.atoms, parametrization, "finite")
        for how, slices in made.items():
            for absorption, added in (("none", 0), ("Dr. Probe's", 1j * reference.potentials.imag)):
                one = found[name, how, absorption] = difference(propagate(slices + added), reference)
                print(f"| {name} | {how} | {absorption} | {one.row()} |", flush=True)
    return found


def experiments(reference: DrProbe, kinds: dict) -> dict[str, Difference]:
    atoms, lobato, kohl = reference.atoms, kinds["lobato"], kinds["weickenmeier-kohl"]
    theirs = 1j * reference.potentials.imag
    lobatos, kohls = ours(atoms, lobato), ours(atoms, kohl)
    finite = {n: resampled(abtems(atoms, lobato, "finite", n * POINTS), POINTS).real + theirs for n in (1, 4)}
    fine = ours(atoms, lobato, 4 * POINTS) + 1j * resampled(theirs.imag, 4 * POINTS).real
    made = {
        "lobato, no absorption": propagate(lobatos),
        "lobato, the package's own absorption": propagate(ours_absorbing(atoms, lobato)),
        "lobato, thermal absorption": propagate(lobatos + 1j * thermal_absorption(atoms, lobato)),
        "lobato": propagate(lobatos + theirs),
        "lobato, object not tilted": propagate(lobatos + theirs, tilt=0.0),
        "lobato, grid four times as fine": propagate(fine),
        "lobato, abTEM finite": propagate(finite[1]),
        "lobato, abTEM finite, sampled four times as finely": propagate(finite[4]),
        "peng, neutral": propagate(ours(atoms, kinds["peng"]) + theirs),
        "peng, ions": propagate(ours(atoms, kinds["peng, ions"]) + theirs),
        "weickenmeier-kohl": propagate(kohls + theirs),
        "weickenmeier-kohl, abTEM infinite": propagate(abtems(atoms, kohl, "infinite") + theirs),
        "weickenmeier-kohl, λ and way": propagate(kohls + theirs, their_numbers=True),
        "weickenmeier-kohl, λ and way, thermal absorption": propagate(
            kohls + 1j * thermal_absorption(atoms, kohl, fine=1280), their_numbers=True
        ),
        "potentials of Dr. Probe": propagate(reference.potentials),
        "potentials of Dr. Probe, λ and way": propagate(reference.potentials, their_numbers=True),
        "potentials of Dr. Probe, soft band edge": propagate(reference.potentials, taper=0.01),
        "waves of Dr. Probe": reference.waves,
    }
    print("\nExperiments; with Dr. Probe's absorption where nothing else is said. λ and way: a wavelength of 1.97 pm")
    print("and thickness · cos 1° from slice to slice.\n")
    print("| experiment | wave behind 2 / 4 / 6 / 8 / 10 | rms | image | rms | behind 10 with its phase |")
    print("|---|---|---|---|---|---|")
    found = {}
    for name, waves in made.items():
        one = found[name] = difference(waves, reference)
        print(f"| {name} | {one.row()} | {short(one.with_phase)} |", flush=True)
    name = "waves of Dr. Probe, soft aperture"
    found[name] = difference(reference.waves, reference, EDGE)
    print(f"| {name} | {found[name].row()} | 0 |")
    return found


def cost_of_projecting(atoms: Atoms, parametrization) -> float:
    """Largest difference behind ten slices between whole atoms in two slices a cell and 24 pm slabs of the crystal."""
    crystal = atoms.repeat((1, 1, 5))
    crystal.positions[:, 2] -= SLICE / 2  # a plane of atoms at a slice's entrance, as Dr. Probe has it
    kinds = {"dtype": torch.float64}
    whole = through(SlicedPotential(crystal, POINTS, SLICE / 2, parametrization, **kinds), 10 * SLICE)
    slabs = through(SlicedPotential(crystal, POINTS, SLICE / 8, parametrization, finite=True, **kinds), 10 * SLICE)
    turn = np.vdot(slabs, whole)
    return float(np.abs(slabs * turn / abs(turn) - whole).max())


def explain(reference: DrProbe, apart_by: dict, waves: dict, tried: dict[str, Difference], projecting: float) -> str:
    def ten(name: str) -> str:
        return short(tried[name].wave[10])

    def table(name: str, how: str = "ours", absorption: str = "Dr. Probe's") -> str:
        return short(waves[name, how, absorption].wave[10])

    usual = ("lobato", "kirkland", "peng")
    best = min(usual, key=lambda name: waves[name, "ours", "Dr. Probe's"].wave[10])
    plain, absorbed, scale = tried["lobato, no absorption"], tried["lobato"], np.abs(reference.waves[10] - 1).max()
    hard, soft = tried["waves of Dr. Probe"], tried["waves of Dr. Probe, soft aperture"]
    share = [f"{100 * one.image_rms / reference.image.std():.2g} %" for one in (plain, absorbed)]
    said = f"""
    Behind ten slices the wave differs from vacuum by up to {short(scale)} thousandths; Dr. Probe's image has an rms
    contrast of {short(reference.image.std())}. Without absorption lobato is off by {ten("lobato, no absorption")} in
    the wave and {short(plain.image)} in the image (rms {share[0]} of the contrast), with Dr. Probe's by {ten("lobato")}
    and {short(absorbed.image)} ({share[1]}); {best}, the best of abTEM's, by {table(best)} in the wave. So most of the
    difference is absorption. It is what thermal vibration takes from the mean wave, ½σ⟨(V - ⟨V⟩)²⟩: computed from
    lobato's own potential it does as well ({ten("lobato, thermal absorption")}). The rest is scattering factors: Dr.
    Probe's are Weickenmeier and Kohl's, from which lobato's potential differs by {percent(apart_by["lobato"])} %. With
    theirs {ten("weickenmeier-kohl")} is left, as from Dr. Probe's own potentials ({ten("potentials of Dr. Probe")}):
    that is its wavelength, 1.97 pm for {100 * energy2wavelength(ENERGY):.4f}, and its way of thickness · cos 1° from
    slice to slice. With both, {ten("weickenmeier-kohl, λ and way")} is left
    ({ten("weickenmeier-kohl, λ and way, thermal absorption")} with the absorption computed here, too), and
    {ten("potentials of Dr. Probe, λ and way")} from its own potentials: σ, the Debye-Waller factor, the signs, the band
    and the multislice are the same. Ions: the cell file names them, Dr. Probe computes neutral atoms; peng's ions are
    off by {ten("peng, ions")}, peng's atoms by {ten("peng, neutral")}. Grid: one four times as fine turns
    {ten("lobato")} into {ten("lobato, grid four times as fine")}; what 40 points lack, both programs lack. Slices:
    24 pm slabs of the three-dimensional potential differ from whole atoms in two slices a cell by {short(projecting)}.
    Mean potential: with the constant phase left in lobato is off by {short(absorbed.with_phase)} instead of
    {ten("lobato")}. Band edge: abTEM's soft one, its default, would bring
    {ten("potentials of Dr. Probe, soft band edge")}. abTEM's infinite projection divides by a sinc that lacks its π:
    with Weickenmeier and Kohl's factors it is off by {ten("weickenmeier-kohl, abTEM infinite")} where ours is by
    {ten("weickenmeier-kohl")}. Its finite projection samples what the others cut in Fourier space:
    {ten("lobato, abTEM finite")} on 40 points, {ten("lobato, abTEM finite, sampled four times as finely")} when it is
    sampled four times as finely and then cut. Image: from Dr. Probe's own wave ours is off by {short(hard.image)}, and
    by {short(soft.image)} if {100 * EDGE:.0f} % of the amplitude passes at 25.23 mrad: its aperture of 25 mrad has a
    soft edge, ours a hard one."""
    return "\n".join(textwrap.wrap(" ".join(said.split()), 118))


def main() -> None:
    where = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("SEGDEPTH_DRPROBE")
    if where is None or not (Path(where) / "img" / "STO_sl002.dat").is_file():
        sys.exit(__doc__)
    torch.set_num_threads(1)
    configure_abtem("cpu")
    found = versions()
    named = ", ".join(f"{name} {found[name]}" for name in ("python", "numpy", "abtem", "torch"))
    print(f"{platform.machine()}, one core; {named}\n")
    reference = read(Path(where))
    kinds = parametrizations(reference.atoms.info["u"])
    apart_by = potential_table(reference, kinds)
    print("\nWaves and the image of the first: largest and rms difference from Dr. Probe, thousandths of the vacuum.")
    waves = wave_table(reference, kinds)
    tried = experiments(reference, kinds)
    print()
    print(explain(reference, apart_by, waves, tried, cost_of_projecting(reference.atoms, kinds["lobato"])))


if __name__ == "__main__":
    main()
