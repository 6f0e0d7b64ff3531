"""Images a second: ImageFormer, abTEM's optics with the same focal steps, bare FFTs.

``python benchmarks/image_forming.py``, half a minute.

One core, the default field and margin, 17 focal steps. The wave is noise in the aperture: its content does not matter.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import abtem
import numpy as np
import torch
from abtem import distributions

from grid import processor
from segdepth.config import Imaging, Specimen
from segdepth.simulation.electron import stored_orders, wavelength_pm
from segdepth.simulation.exit_wave import configure_abtem
from segdepth.simulation.lens import draw_lens_values, image_former, lens_columns
from segdepth.simulation.optics import Lens, focal_quadrature
from segdepth.store.manifest import versions

BATCH = 8


def images_per_second(task: Callable[[], int], seconds: float = 4.0) -> float:
    task()
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        done += task()
    return done / (time.perf_counter() - start)


def main() -> None:
    torch.set_num_threads(1)
    configure_abtem("cpu")
    specimen, imaging = Specimen(), Imaging()
    cell, orders = specimen.cell_pm, stored_orders(specimen.cell_pm, 300, 40)
    rng = np.random.default_rng(0)
    wave = (rng.normal(size=(2 * orders + 1,) * 2) + 1j * rng.normal(size=(2 * orders + 1,) * 2)) / orders
    attrs = {
        "cell_pm": cell,
        "margin_pm": specimen.margin_pm,
        "wavelength_pm": wavelength_pm(300),
        "stored_angle_mrad": 40,
    }
    former = image_former(imaging, attrs, orders, "cpu")
    waves = torch.as_tensor(wave.astype(np.complex64)).expand(BATCH, -1, -1)
    lens = Lens.from_columns(lens_columns(draw_lens_values(imaging, np.linspace(1, 9, BATCH), rng)))

    def ours() -> int:
        former.form(waves, lens)
        return BATCH

    steps, weights = focal_quadrature(imaging.focal_samples)
    grid = former.grid
    spectrum = np.zeros((grid, grid), np.complex64)
    k = np.fft.fftfreq(2 * orders + 1, 1 / (2 * orders + 1)).astype(int)
    spectrum[np.ix_(k, k)] = wave
    exit_wave = np.fft.ifft2(spectrum) * grid**2
    packed = abtem.Waves(exit_wave.astype(np.complex64), energy=300e3, extent=(cell / 100,) * 2)

    def abtems() -> int:
        focus = distributions.from_values(50 + 40 * np.array(steps), np.array(weights), ensemble_mean=True)
        ctf = abtem.CTF(energy=300e3, C10=focus, C30=-9e4, C50=5e7, angular_spread=0.2, semiangle_cutoff=40, soft=False)
        packed.apply_ctf(ctf).intensity().reduce_ensemble().compute(progress_bar=False)
        return 1

    buffer = torch.zeros((1, grid, grid), dtype=torch.complex64)

    def bare() -> int:
        """The 2-D FFTs of one image, and nothing else."""
        for _ in steps:
            torch.fft.ifft2(buffer)
        torch.fft.fft2(buffer)
        return 1

    found = versions()
    print(f"{processor()}, one core; " + ", ".join(f"{n} {found[n]}" for n in ("python", "abtem", "torch")))
    print(f"cell {cell:g} pm, orders -{orders} … {orders}, grid {grid}², {len(steps)} focal steps\n")
    print("| what | images a second |\n|---|---|")
    print(f"| ImageFormer, batch of {BATCH} (vibration, box and pixels included) | {images_per_second(ours):.2f} |")
    print(f"| abTEM: CTF, ensemble mean (vibration and pixels not included) | {images_per_second(abtems):.2f} |")
    print(f"| bare FFTs: {len(steps)} of {grid}² and one back | {images_per_second(bare):.2f} |")


if __name__ == "__main__":
    main()
