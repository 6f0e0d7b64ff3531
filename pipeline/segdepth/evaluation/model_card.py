"""MODEL_CARD.md of a shipped network: facts in, text out. Opens no file and computes nothing but units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from segdepth.config import Imaging
from segdepth.evaluation.metrics import NAMES
from segdepth.networks.files import NetworkCard

BY_ELEMENT = ("centre_accuracy", "columns_exact", "columns_within_one")
"""Metrics that are told for Ce and O, too."""

ERRORS = {"all pixels": "expected_calibration_error", "pixels of columns": "expected_calibration_error_columns"}

TRAINED_OVER = (
    ("specimen", "surfaces", "surfaces"),
    ("specimen", "bulk_atoms", "layers of atoms in the bulk"),
    ("specimen", "surface_atoms", "atoms at the surface"),
    ("specimen", "decay_nm", "1/e length of the approach to the bulk, nm"),
    ("specimen", "balanced_counts", "each count has its share of the columns"),
    ("specimen", "count_shift_atoms", "each column's count is shifted by up to so many atoms"),
    ("specimen", "missing_probability", "chance that a column near the surface lacks an atom"),
    ("specimen", "field_pm", "field of view, pm"),
    ("specimen", "rotation_deg", "in-plane rotation, degrees"),
    ("specimen", "strain_percent", "strain, %"),
    ("specimen", "tilt_deg", "tilt of the crystal off [110], degrees"),
    ("specimen", "oxygen_vacancy_fraction", "oxygen vacancies, share of sites"),
    ("beam", "energy_kev", "beam energy, keV"),
    ("beam", "parametrization", "scattering factors"),
    ("beam", "tilt_mrad", "tilt of the beam, mrad"),
    ("beam", "debye_waller_pm", "rms vibration of the atoms, pm"),
    ("beam", "frozen_phonons", "frozen-phonon snapshots"),
    ("imaging", "defocus_nm", "defocus C1, nm (positive: overfocus)"),
    ("imaging", "c3_um", "C3, µm"),
    ("imaging", "c5_mm", "C5, mm"),
    ("imaging", "a1_nm", "A1, nm"),
    ("imaging", "b2_nm", "B2, nm"),
    ("imaging", "a2_nm", "A2, nm"),
    ("imaging", "focal_spread_nm", "focal spread, nm"),
    ("imaging", "convergence_mrad", "convergence, mrad"),
    ("imaging", "image_spread_pm", "image vibration (rms), pm"),
    ("imaging", "mtf_nyquist", "camera's MTF at Nyquist"),
    ("imaging", "detection_efficiency", "share of electrons that is counted"),
)
"""Rows of the table of what was learnt from: block, key, what it is."""


@dataclass(frozen=True)
class Origin:
    """What a network was made from, as its manifests tell.

    ``recipe`` is a configuration (its blocks as plain data) that trains the network anew; its ``beams`` lack those
    whose waves are not there any more. ``structures`` are those trained on, for each data set.
    """

    name: str
    recipe: dict[str, Any]
    structures: dict[str, int]
    commit: str
    versions: dict[str, str]
    environment: dict[str, Any]

    @property
    def datasets(self) -> dict[str, dict[str, Any]]:
        return self.recipe["datasets"]

    def block(self, dataset: str, kind: str) -> dict[str, Any]:
        """A data set's specimen, beam, imaging or labels block; empty where it is not known."""
        section = kind if kind in ("imaging", "labels") else f"{kind}s"
        return self.recipe[section].get(self.datasets[dataset][kind], {})

    @property
    def model(self) -> dict[str, Any]:
        """The model block."""
        return self.recipe["models"][self.name]


def model_card(
    origin: Origin,
    card: NetworkCard,
    evaluations: Sequence[Mapping[str, Any]],
    *,
    largest_change: float,
    licence: str,
) -> str:
    """The card as Markdown.

    Parameters
    ----------
    evaluations : the ``metrics.json`` of each data set that is reported.
    largest_change : by which half precision changed any probability of a noisy test image.
    """
    parts = [
        _title(origin, card, licence),
        _use(origin, card),
        _data(origin, card),
        _training(origin),
        _measured(evaluations, largest_change),
        _calibration(evaluations, card),
    ]
    return "\n\n".join(parts) + "\n"


def _title(origin: Origin, card: NetworkCard, licence: str) -> str:
    parameters = origin.environment.get("parameters")
    size = f"{parameters:,} parameters" if isinstance(parameters, int) else "a network"
    looks = (
        "It is mirrored: estimates are means over the frame and its mirror image, at twice the time."
        if card.flip_average
        else "It is not mirrored: it looks at each frame once."
    )
    return (
        f"# `{origin.name}`, the network that comes with SegDepth\n\n"
        f"Tells how many atoms, 0 to {card.classes - 1}, lie behind each pixel of a noisy micrograph of CeO₂ along "
        f"[110], and how sure it is: {size} ({_shown(origin.model['architecture'])}), convolution weights in "
        f"float16. {looks} `weights.safetensors` and `network.json` are all that it takes.\n\n"
        f"Licence: {licence}."
    )


def _use(origin: Origin, card: NetworkCard) -> str:
    def over(kind: str, key: str) -> str:
        return _span([origin.block(name, kind).get(key) for name in origin.datasets])

    pixels = f"{card.input_pixel_pm:.4g} pm"
    return (
        "## Intended use and limits\n\n"
        "`segdepth predict FRAME --pixel-pm PIXEL --out FOLDER` uses it where no `--model` is given; in `config.yaml` "
        "it is the model `shipped`.\n\n"
        "- CeO₂ along [110] only. It answers for any picture, and what it says of another crystal, another zone axis "
        "or of contamination means nothing.\n"
        f"- It reads a pixel of {pixels}, onto which `segdepth predict` re-bins electrons, and answers on "
        f"{card.label_pixel_pm:.4g} pm.\n"
        f"- It was trained at a defocus C1 of {_span(_defocus_nm(origin))} nm, {_span([list(card.doses)])} counted "
        f"electrons per 5411/1024 pm pixel (λ), {over('imaging', 'image_spread_pm')} pm of vibration, rotations of "
        f"{over('specimen', 'rotation_deg')}° and tilts of {_span(_tilts(origin))}° off [110], the beam's included; "
        "outside of these ranges nothing is known of it.\n"
        "- It has seen simulated images only. What the simulation leaves out (inelastic scattering, amorphous layers, "
        "beam damage, moving atoms; see the README) it does not know.\n"
        "- Oxygen counts follow mostly from the neighbouring columns: an oxygen column that differs from what its "
        "neighbours suggest is often missed.\n"
        "- Its confidence is calibrated on simulated images only; on a real micrograph it may be too high."
    )


def _defocus_nm(origin: Origin) -> list[tuple[float, float] | None]:
    """Lowest and highest C1 that was drawn from each data set."""
    found: list[tuple[float, float] | None] = []
    for name in origin.datasets:
        if not (block := origin.block(name, "imaging")):
            found.append(None)
            continue
        imaging = Imaging.model_validate(block)
        fresh = origin.model["training"]["fresh_optics"]
        values = imaging.defocus_values_nm
        found.append(imaging.trained_defocus_nm if fresh else (min(values), max(values)))
    return found


def _tilts(origin: Origin) -> list[list[float]]:
    """Tilts of crystal and beam together that each data set has, degrees: lowest and highest.

    Crystals tilt in any direction, the beam in one. What is not recorded counts as upright.
    """
    found = []
    for name in origin.datasets:
        low, high = _ends(origin.block(name, "specimen").get("tilt_deg", 0))
        beam = math.degrees(math.hypot(*origin.block(name, "beam").get("tilt_mrad", (0, 0))) / 1000)
        found.append([round(max(low - beam, beam - high, 0), 3), round(beam + high, 3)])
    return found


def _data(origin: Origin, card: NetworkCard) -> str:
    names = list(origin.datasets)
    rows = [["", *(f"`{name}`" for name in names)]]
    rows.append(["structures trained on", *(f"{origin.structures[name]}" for name in names)])
    for kind in ("specimen", "beam", "imaging", "labels"):
        rows.append([kind, *(f"`{origin.datasets[name][kind]}`" for name in names)])
    for kind, key, what in TRAINED_OVER:
        values = [origin.block(name, kind).get(key) for name in names]
        if key == "defocus_nm":
            values = _defocus_nm(origin)
        if key == "tilt_mrad":  # a direction, not the ends of a range
            values = [value if value is None else dict(zip("xy", value)) for value in values]
        if any(value is not None for value in values):
            rows.append([what, *map(_shown, values)])
    dose = origin.model["training"].get("dose_lambda")
    doses = [dose or origin.datasets[name].get("dose_lambda") for name in names]
    rows.append(["λ, electrons per 5411/1024 pm pixel in vacuum", *map(_shown, doses)])
    lost = sorted({origin.datasets[name]["beam"] for name in names} - set(origin.recipe["beams"]))
    note = f"\n\nThe values of beam {', '.join(lost)} are not recorded: the waves were gone." if lost else ""
    return (
        "## What it learned from\n\nSimulated images of atomic models, formed anew during training with a lens, a dose "
        f"and noise of their own. Two numbers are the ends of a range.\n\n{_table(rows)}{note}"
    )


def _training(origin: Origin) -> str:
    rows = [["", ""]]
    for key, value in sorted(origin.environment.items()):
        told = {f"{key}: {name}": item for name, item in value.items()} if isinstance(value, Mapping) else {key: value}
        rows += [[name.replace("_", " "), _shown(item)] for name, item in told.items()]
    versions = ", ".join(f"{name} {number}" for name, number in sorted(origin.versions.items()))
    recipe = yaml.safe_dump(origin.recipe, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)
    start = origin.model.get("start")
    began = (
        f". It began with the weights of `{start}`, which had learned before from what its own card tells; the table "
        "above and the seconds below are of the training that followed."
        if start
        else ":"
    )
    return (
        f"## How it was trained\n\n`snakemake --cores all results/models/{origin.name}` at commit `{origin.commit}` "
        f"(segdepth {origin.versions.get('segdepth', 'unknown')}), with this in `config.yaml`{began}\n\n"
        f"```yaml\n{recipe}```\n\n{_table(rows)}\n\nVersions: {versions}."
    )


def _measured(evaluations: Sequence[Mapping[str, Any]], largest_change: float) -> str:
    rows = [["", *(f"`{facts['dataset']}`" for facts in evaluations)]]
    for key, what in (("structures", "structures"), ("images", "images"), ("dose_lambda", "λ")):
        rows.append([what, *(_shown(facts[key]) for facts in evaluations)])
    names = [name + end for name in NAMES for end in (("", "_Ce", "_O") if name in BY_ELEMENT else ("",))]
    for name in names:
        if any(facts.get(name) is not None for facts in evaluations):
            rows.append([name.replace("_", " "), *(_with_interval(facts, name) for facts in evaluations)])
    return (
        "## How well it does\n\nOn structures that it has not seen, each at every defocus of its data set; in brackets "
        "95 % bootstrap intervals over structures. Measured with float32 weights, computed in float32; weights in "
        f"float16 change the probabilities of a noisy test image by {largest_change:.2g} at most, and `segdepth "
        "predict` computes in bfloat16 where that is fast (mostly below 0.01 of a probability; `--precision float32` "
        "does not). (Evaluate the model `shipped` to measure these very "
        f"weights.)\n\n{_table(rows)}"
    )


def _calibration(evaluations: Sequence[Mapping[str, Any]], card: NetworkCard) -> str:
    rows = [["expected calibration error", *(f"`{facts['dataset']}`" for facts in evaluations)]]
    for what, key in ERRORS.items():
        rows.append([what, *(_with_interval(facts, key) for facts in evaluations)])
    return (
        f"## Calibration\n\nThe logits were divided by a temperature of {card.temperature:g}, fitted on simulated "
        f"validation structures; the weights hold it already.\n\n{_table(rows)}"
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def _with_interval(facts: Mapping[str, Any], name: str) -> str:
    value, interval = facts.get(name), facts.get(f"{name}_interval")
    ends = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval and None not in interval else ""
    return "–" if value is None else f"{value:.3f}{ends}"


def _ends(value: Any) -> list[float]:
    """Lowest and highest of a number, a range, or a range with a step."""
    if isinstance(value, Mapping):
        return [value["start"], value["stop"]]
    return [min(value), max(value)] if isinstance(value, list | tuple) else [value, value]


def _span(values: Sequence[Any]) -> str:
    """What several numbers or ranges cover."""
    known = [end for value in values if value is not None for end in _ends(value)]
    if not known:
        return "unknown"
    low, high = min(known), max(known)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        if "start" in value:
            return f"{value['start']:g} to {value['stop']:g}"
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        numbers = len(value) == 2 and all(isinstance(item, int | float) for item in value)
        return _span([value]) if numbers else ", ".join(map(_shown, value))
    return f"{value:.4g}" if isinstance(value, float) else f"{value}"
