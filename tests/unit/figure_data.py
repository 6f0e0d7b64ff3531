"""Made-up data for the tests of figures: small, of any crystal, in the form in which steps store them."""

from __future__ import annotations

import json
from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
import xarray as xr

from segdepth.config import ALL, ALL_ONLY, METRIC_NAMES, CrystalBlock, Specimen
from segdepth.crystals import Crystal, lattice_columns, load_crystal
from segdepth.crystals.elements import SYMBOLS
from segdepth.evaluation.calibration import POPULATIONS
from segdepth.evaluation.results import Evaluation, IdealObserver
from segdepth.micrograph.results.reading import Picture
from segdepth.specimen.plan import plan_table
from segdepth.specimen.wedge import build_wedge
from segdepth.steps.stored_evaluation import write_evaluation
from segdepth.store.manifest import write_artefact
from segdepth.store.zarr_store import write_zarr

PIXEL = 5411 / 256
SIDE = 64
CERIA = load_crystal(CrystalBlock(structure="CeO2", zone_axis=(1, 1, 0), x_axis=(0, 0, 1)), "ceria")
TITANATE_CIF = """data_SrTiO3
_cell_length_a 3.905
_cell_length_b 3.905
_cell_length_c 3.905
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Sr1 Sr 0 0 0
Ti1 Ti 0.5 0.5 0.5
O1 O 0.5 0.5 0
O2 O 0.5 0 0.5
O3 O 0 0.5 0.5
"""


def titanate(folder: Path) -> Crystal:
    """SrTiO3 along [001]: three kinds of column, that of Ti with O in between."""
    path = folder / "titanate.cif"
    path.write_text(TITANATE_CIF)
    return load_crystal(CrystalBlock(structure=str(path), zone_axis=(0, 0, 1), x_axis=(1, 0, 0)), "titanate")


def described(variables, coords=None, attrs=None) -> xr.Dataset:
    """A data set whose variables carry a unit and a name, as stores ask for."""

    def one(given):
        dims, values = given
        return dims, values, {"units": "1", "long_name": "made up"}

    return xr.Dataset(
        {name: one(given) for name, given in variables.items()},
        coords={name: one(given) for name, given in (coords or {}).items()},
        attrs=attrs or {},
    )


def wedge_depth(most: int) -> np.ndarray:
    """(y, x): vacuum at large y, up to ``most`` atoms at row 0, grains of 4 pixels with background in between."""
    y, x = np.indices((SIDE, SIDE))
    depth = np.clip((most * (48 - y) / 48).astype(int) + 1, 0, most)
    return np.where((y < 48) & (y % 4 > 0) & (x % 4 > 0), depth, 0).astype(np.uint8)


def make_evaluation(crystal: Crystal = CERIA, classes: int = 11, **facts) -> Evaluation:
    rng = np.random.default_rng(0)
    elements = list(crystal.elements)
    of_element = [ALL, *elements]
    facts = {
        "model": "a_model", "dataset": "d", "specimen": "w", "crystal": crystal.title, "elements": elements,
        "classes": classes, "images": 12, "structures": 3, "columns": 99, "dose_lambda": 2.5,
        "electrons_per_square_angstrom": 895.33, "parameters": 1000, "base_channels": 2, "variant": "binned",
        "trained_lambda": [0.5, 2.5],
    } | facts  # fmt: skip
    keys = [(m, e) for m in METRIC_NAMES for e in of_element]
    keys += [(m, ALL) for m in dict.fromkeys((*ALL_ONLY, *POPULATIONS.values()))]
    metrics = pd.DataFrame(
        [(m, e, 0.8, 0.7, 0.9) for m, e in keys], columns=["metric", "element", "value", "low", "high"]
    )
    by_defocus = pd.concat([metrics.assign(defocus_nm=d, images=3) for d in (1.0, 3.0, 5.0, 9.0)], ignore_index=True)
    by_atoms = pd.DataFrame(
        [(e, n, 5, "columns_exact", 1 / n, 0.8 / n, 1.0 / n) for e in of_element for n in range(1, classes)],
        columns=["element", "atoms", "columns", "metric", "value", "low", "high"],
    )
    true, estimate = np.indices((classes, classes))
    pixels = np.where(true == 1, 0, 100 // (1 + (true - estimate) ** 2))  # no pixel has the true depth 1
    confusion = pd.concat(
        [
            pd.DataFrame({"element": e, "true": true.ravel(), "estimate": estimate.ravel(), "pixels": pixels.ravel()})
            for e in of_element
        ],
        ignore_index=True,
    )
    edges = np.linspace(0, 1, 21)
    curve = {"confidence_low": edges[:-1], "confidence_high": edges[1:], "number": np.arange(20) * 10}
    curve |= {"mean_confidence": edges[:-1] + 0.025, "accuracy": edges[:-1]}
    calibration = pd.concat([pd.DataFrame(curve).assign(population=p) for p in POPULATIONS], ignore_index=True)
    sums = pd.DataFrame({"structure": [1, 2, 4], "right": [16, 24, 40], "total": [20, 30, 50]})
    by_structure = pd.concat([sums.assign(metric=m, element=e) for m, e in keys if m in METRIC_NAMES])
    return Evaluation(
        facts, metrics, by_defocus, by_atoms, by_structure, confusion, calibration,
        pd.DataFrame({"structure": [1]}), _examples(crystal, classes, rng),
    )  # fmt: skip


def _examples(crystal: Crystal, classes: int, rng: np.random.Generator) -> xr.Dataset:
    depth = np.stack([np.roll(wedge_depth(classes - 1), i, axis=1) for i in range(9)])
    intensity = (1 + 0.03 * depth).astype(np.float32)
    label = ("example", "label_y", "label_x")
    variables = {
        "intensity": (("example", "y", "x"), intensity),
        "noisy": (("example", "y", "x"), (rng.poisson(40 * intensity) / 40).astype(np.float32)),
        "counts": (label, depth),
        "depth": (label, depth),
        "estimate": (label, depth),
        "weight": (label, np.where(depth > 0, 1, 0.2).astype(np.float32)),
        "confidence": (label, rng.random(depth.shape, np.float32)),
    }
    coords = {
        "structure": (("example",), np.repeat([1, 2, 4], 3)),
        "defocus_nm": (("example",), np.tile([1.0, 5.0, 9.0], 3)),
    }
    attrs = {
        "pixel_pm": PIXEL, "label_pixel_pm": PIXEL, "field_pm": SIDE * PIXEL, "dose_lambda": 2.5,
        "crystal": json.dumps(crystal.to_dict()), "labels": json.dumps({"most_atoms": classes - 1}),
    }  # fmt: skip
    return described(variables, coords, attrs)


def store_evaluation(out: Path, evaluation: Evaluation) -> Path:
    with write_artefact(out, command="evaluate-model", code="c", parameters={}) as partial:
        partial.mkdir()
        write_evaluation(evaluation, partial, {})
    return out


def make_observer(crystal: Crystal = CERIA, both: bool = True) -> IdealObserver:
    """The ideal observer; without ``both``, of a data set whose counts are not shifted."""
    of_element, value = [ALL, *crystal.elements], {"image": 0.5, "image_and_prior": 0.6 if both else np.nan}
    rows = [(e, k, "columns_exact", v) for e in of_element for k, v in value.items()]
    rows += [(e, "image", "binary_error", 0.1) for e in of_element]
    table = pd.DataFrame(rows, columns=["element", "kind", "metric", "value"])
    by_defocus = pd.concat([table.assign(defocus_nm=d) for d in (1.0, 9.0)], ignore_index=True)
    by_atoms = pd.concat([table.assign(atoms=n, columns=3) for n in range(2, 10)], ignore_index=True)
    facts = {"dataset": "d", "specimen": "w", "crystal": crystal.title, "elements": list(crystal.elements)}
    return IdealObserver(facts, table.assign(low=np.nan, high=np.nan), by_defocus, by_atoms)


def make_picture(crystal: Crystal = CERIA, frames: int = 1, classes: int = 11, more: bool = False) -> Picture:
    """A frame with a masked corner, and one column of each element's places on the lattice."""
    rng = np.random.default_rng(0)
    shape = (60, 90)
    valid = np.ones(shape, bool)
    valid[:8, :20] = False
    depth, confidence = rng.integers(0, classes, shape), rng.random(shape)
    places = lattice_columns(crystal, 1350, 900, (0, 0))
    columns = pd.DataFrame({"x_pm": places.x_pm, "y_pm": places.y_pm})
    columns["element"] = [SYMBOLS[number] for number in places.atomic_number]
    columns["depth"], columns["confidence"] = 1 + np.arange(len(columns)) % (classes - 1), 0.9
    columns["at_least"], columns["reliable"] = columns["depth"] == classes - 1, np.arange(len(columns)) % 5 > 0
    frame = {"frame": 3, "dose_e_per_a2": 412.3, "reliable": True}
    film = {
        "pixel_pm": 15.0, "pixel_error_pm": 0.02, "rotation_deg": -81.7, "rotation_error_deg": None, "flip": False,
        "classes": classes, "labels": {"most_atoms": classes - 1 - more, "more": more}, "crystal": crystal.to_dict(),
        "frames": [frame] * frames, "lost_frames": [], "source": "data/film.dm4", "network": {"name": "net"},
    }  # fmt: skip
    maps = (np.where(valid, values, np.nan) for values in (depth, confidence, rng.poisson(40, shape) / 40))
    return Picture(*maps, columns, film, frame)


def make_comparison(crystal: Crystal = CERIA):
    """Facts, table and pictures as ``compare-micrograph`` stores them."""
    rng = np.random.default_rng(0)
    quantities, defoci = (*crystal.elements, "darkest", "modulation", "mean"), (3.0, 5.0, 7.0)
    contrast = {name: 1.5 - 0.2 * i for i, name in enumerate(quantities)}
    peaks = {
        r.name: {
            "lattice_frequency_per_nm": [1000 * f for f in crystal.frequency(r.name)],
            "frequency_per_nm": [1001 * f for f in crystal.frequency(r.name)],
            "seen": i != 1, "deviation": 0.001, "scatter": None if i else 0.002, "noise": 0.001,
        }
        for i, r in enumerate(crystal.reflections)
    }  # fmt: skip
    side = {"lattice": {"peaks": peaks}, "contrast": contrast, "electrons_per_pixel": 4.1}
    facts = {
        "micrograph": side, "simulation": side | {"structure": 3, "defocus_nm": 5.0}, "structures": 2,
        "ranges": {f"deviation_{name}": {"shown_low": -0.004, "shown_high": 0.003} for name in peaks},
    }  # fmt: skip
    table = pd.DataFrame(
        [
            {"structure": s, "defocus_nm": d, **{n: v + 0.05 * s for n, v in contrast.items()}}
            for s in (0, 1)
            for d in defoci
        ]
    )
    variables, coords, frequencies = {}, {}, np.linspace(-8, 8, 65)
    rows, columns = (round(period / 10) for period in crystal.periods_pm[1::-1])
    for name in ("micrograph", "simulation"):
        variables |= {
            f"{name}_counts": ((f"{name}_y", f"{name}_x"), rng.random((80, 100))),
            f"{name}_smooth": ((f"{name}_y", f"{name}_x"), rng.random((80, 100))),
            f"{name}_spectrum": ((f"{name}_v", f"{name}_u"), rng.random((65, 65))),
            f"{name}_cell": (("cell_y", "cell_x"), 1 + rng.random((rows, columns))),
        }
        coords |= {f"{name}_{axis}": ((f"{name}_{axis}",), frequencies) for axis in "uv"}
    attrs = {"pixel_pm": 20.0, "crystal": json.dumps(crystal.to_dict())}
    return facts, table, described(variables, coords, attrs)


SPECIMEN = Specimen(
    crystal="c", structures=8, shard_size=6, field_pm=SIDE * PIXEL, margin_pm=20 * PIXEL, bulk_atoms=(2, 4),
    rotation_deg=(-8, 8), tilt_deg=(1, 2), strain_percent=(-2, 2), vacancy_fraction=(0, 0.1),
)  # fmt: skip


def build_shard(
    root: Path, crystal: Crystal = CERIA, number: int = 0, name: str = "w", root_seed: int = 0, block=SPECIMEN
):
    """Plan, atoms, depth and images of one shard, as the montage's arguments: atoms are built, the rest is made up."""
    folder = root / name
    paths = {"plan": folder / "plan.csv"}
    paths |= {kind: folder / f"{kind}-{number:03d}" for kind in ("atoms", "depth", "images", "waves")}
    plan = plan_table(block, crystal, name, root_seed)
    if not paths["plan"].exists():
        with write_artefact(
            paths["plan"], command="plan-specimens", code="c", parameters={"seed": root_seed}
        ) as partial:
            plan.to_csv(partial, index=False)
    rows = plan[plan["shard"] == number].to_dict("records")
    frames = [build_wedge(row, block, crystal, name, root_seed) for row in rows]
    with write_artefact(
        paths["atoms"], command="build-specimens", code="c", parameters={}, inputs=[paths["plan"]]
    ) as partial:
        ase.io.write(partial, frames, format="extxyz")
    waves = paths.pop("waves")
    with write_artefact(waves, command="simulate-waves", code="c", parameters={}, inputs=[paths["atoms"]]) as partial:
        partial.write_text("waves")
    indices, common = np.array([row["index"] for row in rows]), {"crystal": json.dumps(crystal.to_dict())}
    common |= {"field_pm": SIDE * PIXEL, "specimen": name, "root_seed": root_seed, "pixel_pm": PIXEL}
    depth = np.stack([np.roll(wedge_depth(4), i, axis=1) for i in range(len(rows))])
    of_structure = {"structure": (("structure",), indices)}
    maps = described({"depth": (("structure", "y", "x"), depth)}, of_structure)
    with write_artefact(
        paths["depth"], command="project-depth", code="c", parameters={}, inputs=[paths["atoms"]]
    ) as partial:
        write_zarr(maps.assign_attrs(common | {"labels": json.dumps({"most_atoms": 10})}), partial, parameters={})
    with write_artefact(paths["images"], command="form-images", code="c", parameters={}, inputs=[waves]) as partial:
        images = _images(depth, of_structure).assign_attrs(common)
        write_zarr(images, partial, leading=("structure", "defocus"), parameters={})
    return paths


def _images(depth: np.ndarray, of_structure) -> xr.Dataset:
    """Images at three defoci with lens values, some of which are the defaults of the imaging block."""
    rng, lead = np.random.default_rng(1), ("structure", "defocus")
    defoci = np.array([-2.0, 4.0, 10.0])
    shape = (len(depth), len(defoci))
    lens = {
        "defocus_nm": np.broadcast_to(defoci, shape).copy(),
        "c3_um": np.full(shape, -9.0),
        "c5_mm": np.full(shape, 5.0),
        "a1_nm": rng.uniform(1, 3, shape),
        "a1_azimuth_deg": rng.uniform(0, 360, shape),
        "b2_nm": rng.uniform(5, 40, shape),
        "b2_azimuth_deg": rng.uniform(0, 360, shape),
        "image_spread_pm": rng.uniform(21, 40, shape),
    }
    intensity = (1 + 0.02 * depth[:, None] * defoci[:, None, None]).astype(np.float32)
    coords = of_structure | {name: (lead, values) for name, values in lens.items()}
    return described({"intensity": ((*lead, "y", "x"), intensity)}, coords)
