"""What simulating costs, as ratios: multislice, image forming, storage, and a data set of the paper's size.

``python benchmarks/simulation.py`` (one core, two minutes; GPU rows where there is one).

Floors: a multislice needs two FFTs a slice, an image one FFT a focal mode and one back. The rivals are what abTEM
does when asked plainly: its own potential at 2048² in slices of 48 pm, and its CTF at the paper's 1024² with the
same focal average.
"""

from __future__ import annotations

import multiprocessing
import platform
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import abtem
import numpy as np
import torch
from abtem import distributions
from abtem.core.fft import CachedFFTWConvolution
from ase import Atoms

from segdepth.config import Beam, Imaging, Specimen, load_config
from segdepth.crystals import load_crystal
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.convergence.cases import plain_beam
from segdepth.simulation.convergence.waves import abtems_wave
from segdepth.simulation.electron import wavelength_pm
from segdepth.simulation.exit_wave import abtem_device, configure_abtem, exit_wave
from segdepth.simulation.focal import focal_modes, focal_steps
from segdepth.simulation.grid import grid_points
from segdepth.simulation.lens_values import draw_lens_values, image_former, lens_fields
from segdepth.simulation.potential import SlicedPotential
from segdepth.simulation.scattering import parametrization
from segdepth.specimen.plan import plan_row
from segdepth.specimen.wedge import build_wedge
from segdepth.store.run_record import versions

CONFIG = load_config(Path(__file__).parents[1] / "config.yaml")
CRYSTAL = load_crystal(*reversed(next(iter(CONFIG.crystals.items()))))
SPECIMEN = Specimen(crystal=CRYSTAL.name)
BEAM = Beam(debye_waller_pm=dict(CRYSTAL.debye_waller_pm))
IMAGING = Imaging()
PAPER_STRUCTURES, PAPER_DEFOCI, CORES = 1333, 9, 2
BATCH = 8


def structures(count: int) -> list[Atoms]:
    """Wedges of the default block; their bulks are spread from 3 to 10 layers."""
    rows = (plan_row(SPECIMEN, CRYSTAL, "benchmark", index, 0) for index in range(count))
    return [build_wedge(row, SPECIMEN, CRYSTAL, "benchmark", 0) for row in rows]


def thickest(atoms: list[Atoms]) -> Atoms:
    return max(atoms, key=lambda each: each.cell[2, 2])


def median_seconds(task: Callable[[], object], seconds: float = 4.0) -> float:
    """Median over runs for about so long, after one run that makes plans and caches."""
    task()
    taken, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < 3:
        start = time.perf_counter()
        task()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def wave_attrs() -> dict:
    return {
        "cell_pm": SPECIMEN.cell_pm,
        "margin_pm": SPECIMEN.margin_pm,
        "wavelength_pm": wavelength_pm(BEAM.energy_kev),
        "stored_angle_mrad": BEAM.stored_angle_mrad,
    }


def lens(count: int, device: str = "cpu") -> Lens:
    values = draw_lens_values(IMAGING, np.linspace(1, 9, count), np.random.default_rng(0))
    return Lens.from_values(lens_fields(values), device)


def bare_multislice(points: int, slices: int) -> Callable[[], object]:
    """Two FFTs a slice, planned as abTEM plans them, and the product in between."""
    convolve = CachedFFTWConvolution()
    kernel, wave = np.ones((points, points), np.complex64), np.ones((1, points, points), np.complex64)

    def task() -> None:
        for _ in range(slices):
            convolve(wave, kernel, overwrite_x=True)

    return task


def abtem_image(wave: np.ndarray, points: int, steps: list[float], weights: list[float]) -> Callable[[], object]:
    """abTEM's CTF on a packed wave with a focal average, image spread and pixels not included."""
    orders = wave.shape[-1] // 2
    k = np.r_[0 : orders + 1, -orders:0]
    spectrum = np.zeros((points, points), np.complex64)
    spectrum[np.ix_(k, k)] = wave
    side = SPECIMEN.cell_pm / 100
    packed = abtem.Waves((np.fft.ifft2(spectrum) * points**2).astype(np.complex64), energy=300e3, extent=(side, side))
    focus = distributions.from_values(50 + 40 * np.array(steps), np.array(weights), ensemble_mean=True)
    angles = {"angular_spread": 0.2, "semiangle_cutoff": IMAGING.aperture_mrad, "soft": False}
    ctf = abtem.CTF(energy=300e3, C10=focus, C30=-9e4, C50=5e7, **angles)
    return lambda: packed.apply_ctf(ctf).intensity().reduce_ensemble().compute(progress_bar=False)


def bare_image(grid: int, transforms: int) -> Callable[[], object]:
    buffer = torch.zeros((1, grid, grid), dtype=torch.complex64)

    def task() -> None:
        for _ in range(transforms):
            torch.fft.ifft2(buffer)
        torch.fft.fft2(buffer)

    return task


def row(label: str, value: float, unit: str, ratio: str = "") -> None:
    print(f"| {label} | {value:.4g} {unit} | {ratio} |", flush=True)


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def multislice_rows(atoms: list[Atoms]) -> float:
    thick = thickest(atoms)
    points = grid_points(SPECIMEN.cell_pm, BEAM.pixel_pm)
    slices = len(SlicedPotential(thick, points, BEAM.slice_pm / 100, parametrization(BEAM)))
    print(f"\nMultislice: {len(thick)} atoms, {slices} slices of a plane each, {points}² points\n")
    print("| what | seconds | ratio |\n|---|---|---|")
    ours = median_seconds(lambda: exit_wave(thick, BEAM))
    floor = median_seconds(bare_multislice(points, slices))
    start = time.perf_counter()
    abtems_wave(thick, plain_beam(BEAM, SPECIMEN.cell_pm, 2048, 48), "infinite")
    plain = time.perf_counter() - start
    row("a structure of ten layers, potential and absorption included", ours, "s")
    row("two FFTs a slice, nothing else", floor, "s", f"ours is {ours / floor:.1f} times that")
    row("abTEM's own potential, 2160², 48 pm slices", plain, "s", f"{plain / ours:.0f} times ours")
    mean = statistics.mean(median_seconds(lambda each=each: exit_wave(each, BEAM), 0.3) for each in atoms)
    row("mean over bulks of 3 to 10 layers", mean, "s")
    return mean


def image_rows() -> tuple[float, int]:
    atoms = thickest(structures(24))
    wave = exit_wave(atoms, BEAM)
    orders = wave.shape[-1] // 2
    waves = torch.as_tensor(wave).expand(BATCH, -1, -1)
    former = image_former(IMAGING, wave_attrs(), orders, "cpu")
    steps = 17
    stepped = image_former(IMAGING.model_copy(update={"focal_steps": steps}), wave_attrs(), orders, "cpu")
    values = lens(BATCH)
    spread, convergence = (float(v[0]) for v in (values.focal_spread_pm, values.convergence_rad))
    modes = len(focal_modes(spread, convergence, IMAGING.aperture_mrad / 1000, wavelength_pm(BEAM.energy_kev)))
    each = median_seconds(lambda: former.form(waves, values)) / BATCH
    each_stepped = median_seconds(lambda: stepped.form(waves, values)) / BATCH
    grid = max(former.grid)  # the cell is a square
    floor = median_seconds(bare_image(grid, modes))
    print(f"\nAn image from a stored wave, orders up to {orders}, |ψ|² on {grid}²\n")
    print("| what | ms an image | ratio |\n|---|---|---|")
    row(f"{modes} focal modes, image spread and pixels included", 1000 * each, "ms", f"{1 / each:.0f} images a second")
    row(
        f"{steps} focal steps, otherwise the same",
        1000 * each_stepped,
        "ms",
        f"{each_stepped / each:.1f} times the modes",
    )
    text = f"{modes} full FFTs of {grid}² and one back"
    row(text, 1000 * floor, "ms", f"the modes are {each / floor:.2f} times that")
    for points, text in (
        (1024, "1024² as in the paper"),
        (1280, "1280², the paper's sampling in our cell"),
        (grid, f"our {grid}²"),
    ):
        theirs = median_seconds(abtem_image(wave, points, *focal_steps(steps)))
        ratio = f"{theirs / each:.0f} times the modes, {theirs / each_stepped:.0f} times our {steps} steps"
        row(f"abTEM's CTF, {steps} focal values, {text}", 1000 * theirs, "ms", ratio)
    return each, wave.nbytes


def gpu_rows(atoms: list[Atoms]) -> None:
    if not torch.cuda.is_available():
        print("\nNo GPU here.")
        return
    print(f"\n{torch.cuda.get_device_name()}\n\n| what | | |\n|---|---|---|")
    thick = thickest(atoms)
    wave = exit_wave(thick, BEAM)
    waves = torch.as_tensor(wave).expand(256, -1, -1)
    former, values = image_former(IMAGING, wave_attrs(), wave.shape[-1] // 2, "cuda"), lens(256, "cuda")

    def images() -> None:
        former.form(waves, values)
        torch.cuda.synchronize()

    row("images a second, batches of 256", 256 / median_seconds(images), "/s")
    try:
        configure_abtem(abtem_device("cuda"))
    except ValueError as failure:
        print(f"| multislice | | {failure} |")
        return
    row("a structure", median_seconds(lambda: exit_wave(thick, BEAM)), "s")
    configure_abtem("cpu")


def a_fine_structure() -> None:
    """In a process of its own, whose memory is then known."""
    torch.set_num_threads(1)
    configure_abtem("cpu")
    for each in structures(24)[-3:]:
        exit_wave(each, BEAM.model_copy(update={"pixel_pm": SPECIMEN.cell_pm / 1024}))


def main() -> None:
    torch.set_num_threads(1)
    configure_abtem("cpu")
    found = versions()
    print(f"{processor()}, one core; " + ", ".join(f"{n} {found[n]}" for n in ("python", "numpy", "abtem", "torch")))
    atoms = structures(24)
    each_wave = multislice_rows(atoms)
    each_image, stored = image_rows()
    print("\nStorage and a whole data set\n\n| what | | |\n|---|---|---|")
    image = 4 * 2048**2
    row("an exit wave, any lens", stored / 1e6, "MB", f"1/{image / stored:.0f} of a 2048² float32 image")
    images = PAPER_STRUCTURES * PAPER_DEFOCI
    waves_s, images_s = PAPER_STRUCTURES * each_wave / CORES, images * each_image / CORES
    row(f"multislice of {PAPER_STRUCTURES} structures, {CORES} cores", waves_s / 60, "min", "computed from the above")
    row(f"{images} images from stored waves, {CORES} cores", images_s / 60, "min", "computed from the above")
    row("their exit waves", PAPER_STRUCTURES * stored / 1e9, "GB")
    job = multiprocessing.get_context("spawn").Process(target=a_fine_structure)
    job.start()
    job.join()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    row("peak memory of a job of one structure after another at 1024²", peak / 1e6, "GB", "one slice is held at a time")
    gpu_rows(atoms)


if __name__ == "__main__":
    main()
