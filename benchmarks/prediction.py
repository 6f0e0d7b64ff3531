"""Frames a second of `segdepth predict`, from file to tables, maps and page, and where the time goes.

.venv/bin/python benchmarks/prediction.py [--threads 2] [--films 512x1000 1024x100] [--folder FOLDER]

Films are of simulated frames (one wedge, 895 electrons per Å²; 512² of 6.3 pm a pixel, 1024² of 5.28), in MRC files.
Rates are of the command that users type: what a long film takes more than a short one, over the frames that it has
more. Shares are milliseconds of one frame on one core, each stage by itself in one process. Peak memory is that of the
command on the long film; the first result is that of a film of one frame, all files written, beside the time of
importing what it needs.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import torch

import segdepth
from segdepth.config import PAPER_PIXEL_PM, PredictionOptions
from segdepth.devices import shared_cores
from segdepth.micrograph.columns.film import FilmSites
from segdepth.micrograph.familiarity.features import features
from segdepth.micrograph.files import open_recording
from segdepth.micrograph.film import inspect_film
from segdepth.micrograph.network_maps import predict_images
from segdepth.micrograph.predict import crystal_of, film_facts, labels_valid, predict_film, serve
from segdepth.micrograph.preparation import Preparation
from segdepth.micrograph.results.maps import STORE, empty_maps
from segdepth.micrograph.results.writing import ResultWriter
from segdepth.store.zarr_store import write_zarr
from trust.specimens import build, draw_wedge

LAMBDA, SHORT, ROUNDS = 2.5, 8, 3
PIXELS_PM = {512: 6.3, 1024: PAPER_PIXEL_PM}
FIELD_PM = 6500.0
NEEDED = "import torch, pandas, xarray, zarr"
CAMERA_FRAMES_A_SECOND = 7.7
"""Of the paper's camera."""


def clean_image(crystal, side: int, pixel_pm: float) -> np.ndarray:
    """A wedge without noise, (y, x), vacuum = 1, on one side of the field's middle."""
    wedge = replace(draw_wedge(np.random.default_rng(7), 0.0, "top", (7.0, 9.0)), field_pm=(FIELD_PM, FIELD_PM))
    atoms, _ = build(wedge, crystal)
    image = segdepth.simulate(atoms, defocus_nm=7, pixel_pm=pixel_pm, device="cpu").values[0]
    top, left = ((n - side) // 2 for n in image.shape)
    return image[top : top + side, left : left + side]


def write_film(path: Path, image: np.ndarray, frames: int, pixel_pm: float) -> None:
    """An MRC film of uint16 counts with its pixel in the header."""
    rng, level = np.random.default_rng(0), LAMBDA * (pixel_pm / PAPER_PIXEL_PM) ** 2
    kinds = [rng.poisson(level * image).astype(np.uint16) for _ in range(8)]
    with mrcfile.new_mmap(path, (frames, *image.shape), mrc_mode=6, overwrite=True) as film:
        for number in range(frames):
            film.data[number] = kinds[number % len(kinds)]
        film.voxel_size = pixel_pm / 100


def command(film: Path, out: Path, threads: int) -> tuple[float, float]:
    """Seconds of `segdepth predict`, and its peak memory in MB."""
    call = [sys.executable, "-m", "segdepth", "predict", "--device", "cpu", "--out", str(out), str(film)]
    started = time.perf_counter()
    process = subprocess.Popen(
        call, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": str(threads)}
    )
    told = process.stderr.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(call)} failed: {told[-500:]}")
    return time.perf_counter() - started, used.ru_maxrss / 1024


def importing() -> float:
    """Seconds to import what every prediction needs."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", NEEDED], check=True)
    return time.perf_counter() - started


def shares(film: Path, folder: Path) -> Iterator[tuple[str, float]]:
    """Milliseconds of each stage of one frame on one core; the stages of ``predict_film``, called one by one."""
    network, card = segdepth.load_network(device="cpu")
    options, crystal = PredictionOptions(), crystal_of(card)
    served, number = serve(network, options), 8
    with open_recording(film) as recording, shared_cores():
        known = inspect_film(recording, crystal, card.input_pixel_pm, options)
        raw = [recording.read_frame(i) for i in range(number)]
        yield "reading", timed(lambda i: recording.read_frame(i), number)
        electrons = [known.electrons_of(frame) for frame in raw]
        levels = [known.level_of(e, m.usable) for e, m in electrons]
        preparation = Preparation(known.transform, electrons[0][1].usable, whole=known.camera.whole)
        yield "masking and electrons", timed(lambda i: known.level_of(*_pair(known.electrons_of(raw[i]))), number)
        prepared = [preparation.frame(e, level, 0, m.usable) for (e, m), level in zip(electrons, levels)]
        yield "onto the network's grid", timed(lambda i: preparation.frame(electrons[i][0], levels[i], i), number)
        images = np.stack([p.image for p in prepared])
        step = min(4, max(1, 4 * 128 * 128 // images[0].size))
        yield "network", timed(lambda i: predict_images(served, card, images[:step]), 4) / step
        answers = predict_images(served, card, images)
        valid = labels_valid(prepared[0].valid, answers.shape[2:], card)
        sites = FilmSites.start(answers[:4], card.label_pixel_pm, crystal, card.labels, valid)
        level = prepared[0].electrons_per_pixel
        yield "columns", timed(lambda i: sites.columns(answers[i], prepared[i].counts, level, valid), number)
        yield (
            "familiarity",
            timed(lambda i: features(prepared[i].counts, level, answers[i], prepared[i].valid, crystal, card), number),
        )
        facts = film_facts(known, card, "bundled", options, None)
        results = [item for item, _ in zip(predict_film(served, card, known, options, None), range(number))]
        out = folder / "shares"
        out.mkdir()
        maps = empty_maps(facts, results[0].depth.shape)
        write_zarr(maps, out / STORE, leading=("frame",), parameters={}, compute=False)
        writer = ResultWriter(out, facts)
        yield "writing", timed(lambda i: writer.put(results[i]), number)


def _pair(found):
    return found[0], found[1].usable


def timed(run: Callable[[int], object], number: int) -> float:
    """Median milliseconds."""
    found = []
    for i in range(number):
        started = time.perf_counter()
        run(i)
        found.append(1000 * (time.perf_counter() - started))
    return statistics.median(found[1:] or found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--films", nargs="+", default=["512x1000", "1024x100"], help="SIDExFRAMES")
    parser.add_argument("--folder", type=Path, help="for films and results; by default a temporary one")
    given = parser.parse_args()
    print(
        f"{given.threads} threads, torch {torch.__version__}, {platform.machine()} "
        f"{torch.backends.cpu.get_cpu_capability()}\n"
    )
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        folder = Path(place)
        _, card = segdepth.load_network(device="cpu")
        tables, stages = [], {}
        for text in given.films:
            side, frames = map(int, text.split("x"))
            image = clean_image(crystal_of(card), side, PIXELS_PM[side])
            long, short, single = folder / "long.mrc", folder / "short.mrc", folder / "single.mrc"
            for path, number in ((long, frames), (short, SHORT), (single, 1)):
                write_film(path, image, number, PIXELS_PM[side])
            few, _ = command(short, folder / "out", given.threads)
            many, memory = command(long, folder / "out", given.threads)
            rate = (frames - SHORT) / (many - few)
            first = min(command(single, folder / "out", given.threads)[0] for _ in range(ROUNDS))
            base = min(importing() for _ in range(ROUNDS))
            size = sum(f.stat().st_size for f in (folder / "out").rglob("*") if f.is_file())
            tables.append((text, rate, rate / CAMERA_FRAMES_A_SECOND, first, first / base, memory, size / 1e6))
            torch.set_num_threads(1)
            stages[text] = dict(shares(short, folder))
            for path in (folder / "shares").rglob("*"):
                if path.is_file():
                    path.unlink()
            subprocess.run(["rm", "-rf", str(folder / "shares")], check=True)
    print(
        "| film | frames a second | times the camera | first result, s | over the imports | peak MB | MB of one frame |"
    )
    print("|---|---|---|---|---|---|---|")
    for text, rate, ratio, first, base, memory, size in tables:
        print(f"| {text} | {rate:.1f} | {ratio:.1f} | {first:.1f} | {base:.2f} | {memory:.0f} | {size:.2f} |")
    print("\n| stage, ms a frame on one core | " + " | ".join(stages) + " |\n|---|" + "---|" * len(stages))
    for stage in next(iter(stages.values())):
        print(f"| {stage} | " + " | ".join(f"{found[stage]:.1f}" for found in stages.values()) + " |")


if __name__ == "__main__":
    main()
