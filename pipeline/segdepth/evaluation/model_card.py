"""MODEL_CARD.md of an exported network: its text is in ``model_card.template.md``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Any

import yaml

from segdepth.config import ALL, CALIBRATION_NAMES, METRIC_NAMES, VACUUM_NAMES, Imaging
from segdepth.crystals import Crystal
from segdepth.crystals.crystal import direction
from segdepth.evaluation.results import Evaluation
from segdepth.networks.card import NetworkCard
from segdepth.simulation.detector import electrons_per_square_angstrom

TEMPLATE = "model_card.template.md"
BY_ELEMENT = ("centre_accuracy", "columns_exact", "columns_within_one")
"""Metrics that are also given for each element."""

POPULATIONS = dict(zip(CALIBRATION_NAMES, ("all pixels", "pixels of columns")))

TRAINED_OVER = (
    ("specimen", "surfaces", "surfaces"),
    ("specimen", "bulk_atoms", "thickness in the bulk, periods along the beam"),
    ("specimen", "surface_atoms", "thickness at the surface, periods"),
    ("specimen", "decay_nm", "1/e length of the approach to the bulk, nm"),
    ("specimen", "balanced_counts", "each count has its share of the columns"),
    ("specimen", "count_shift_atoms", "each column's count is shifted by up to so many atoms"),
    ("specimen", "missing_probability", "chance that a column near the surface lacks an atom"),
    ("specimen", "vacancy_fraction", "vacancies, share of their element's sites"),
    ("specimen", "field_pm", "field of view, pm"),
    ("specimen", "rotation_deg", "in-plane rotation, degrees"),
    ("specimen", "strain_percent", "strain, %"),
    ("specimen", "tilt_deg", "tilt of the crystal off the zone axis, degrees"),
    ("beam", "energy_kev", "beam energy, keV"),
    ("beam", "parametrization", "scattering factors"),
    ("beam", "debye_waller_pm", "rms vibration of the atoms, pm"),
    ("beam", "debye_waller_scale", "factor on the Debye-Waller B"),
    ("beam", "frozen_phonons", "frozen-phonon snapshots"),
    ("beam", "diffuse_snapshots", "snapshots of the diffusely scattered electrons"),
    ("imaging", "c3_um", "C3, µm"),
    ("imaging", "c5_mm", "C5, mm"),
    ("imaging", "a1_nm", "A1, nm"),
    ("imaging", "b2_nm", "B2, nm"),
    ("imaging", "a2_nm", "A2, nm"),
    ("imaging", "focal_spread_nm", "focal spread, nm"),
    ("imaging", "convergence_mrad", "convergence, mrad"),
    ("imaging", "image_spread_pm", "image spread (rms), pm"),
    ("imaging", "image_spread_ratio", "image spread, short axis over long axis"),
    ("imaging", "drift_pm", "drift during the exposure, pm"),
    ("imaging", "contrast_factor", "share of electrons that keep detail"),
    ("imaging", "background", "uniform background, share of vacuum"),
    ("imaging", "mtf_nyquist", "camera's MTF at Nyquist"),
    ("imaging", "detection_efficiency", "share of electrons that is counted"),
)
"""Rows of the table of what was trained on: block, key, what it is."""


@dataclass(frozen=True)
class Origin:
    """The origin of a network, from its manifests.

    ``blocks`` has, for each data set, its blocks as plain data by kind (``dataset``, ``specimen``, ``imaging``,
    ``labels``, and ``beam`` where the waves are still there); ``structures`` how many were trained on; ``model`` is the
    model block, ``environment`` what is known of the training. ``commit`` is that of the code that trained.
    """

    name: str
    model: dict[str, Any]
    blocks: dict[str, dict[str, dict[str, Any]]]
    structures: dict[str, int]
    root_seed: int
    commit: str
    versions: dict[str, str]
    environment: dict[str, Any]

    def values(self, kind: str, key: str) -> list[Any]:
        """What the data sets' blocks have for a key, where they have it."""
        return [blocks[kind][key] for blocks in self.blocks.values() if blocks.get(kind, {}).get(key) is not None]


def model_card(
    origin: Origin, card: NetworkCard, evaluations: Sequence[Evaluation], *, largest_change: float, licence: str
) -> str:
    """The card as Markdown.

    Parameters
    ----------
    evaluations : of each data set that is reported.
    largest_change : by which half precision changed any probability of a noisy test image.
    """
    crystal, count = Crystal.from_dict(card.crystal), origin.environment.get("parameters")
    low, high = (electrons_per_square_angstrom(dose) for dose in card.doses)
    words = {
        "name": origin.name,
        "most_atoms": f"{card.most_atoms}{' and more' if card.more else ''}",
        "formula": crystal.formula,
        "axis": direction(crystal.zone_axis),
        "title": crystal.title,
        "lightest": crystal.elements[-1],
        "parameters": f"{count:,} parameters" if isinstance(count, int) else "a network",
        "architecture": _shown(origin.model["architecture"]),
        "flip": "Estimates are means over the frame and its mirror image (`flip_average`), at twice the time."
        if card.flip_average
        else "Each frame is estimated once (no `flip_average`).",
        "licence": licence,
        "input_pixel": f"{card.input_pixel_pm:.4g}",
        "label_pixel": f"{card.label_pixel_pm:.4g}",
        "defocus": union(_defocus_nm(origin)),
        "doses": union([list(card.doses)]),
        "electrons": union([[float(f"{low:.3g}"), float(f"{high:.3g}")]]),
        "spread": union(origin.values("imaging", "image_spread_pm")),
        "rotation": union(origin.values("specimen", "rotation_deg")),
        "tilts": union(_tilts(origin)),
        "datasets": ", ".join(f"`{name}` ({count})" for name, count in origin.structures.items()),
        "trained_over": _trained_over(origin),
        "recipe": _recipe(origin),
        "model": yaml.safe_dump({origin.name: origin.model}, default_flow_style=True, width=110).rstrip(),
        "environment": _environment(origin),
        "change": f"{largest_change:.2g}",
        "temperature": f"{card.temperature:g}",
        "measured": _measured(evaluations),
        "calibration": _calibration(evaluations),
    }
    return Template(files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")).substitute(words)


def union(values: Sequence[Any]) -> str:
    """What values of one key span: numbers and ranges from the lowest to the highest, words each once."""
    values = [value for value in values if value is not None]
    if not values:
        return "not recorded"
    if all(isinstance(value, Mapping) and "start" not in value for value in values):
        keys = dict.fromkeys(key for value in values for key in value)
        return ", ".join(f"{key} {union([value[key] for value in values if key in value])}" for key in keys)
    if all(_is_numbers(value) for value in values):
        ends = [end for value in values for end in _ends(value)]
        low, high = min(ends), max(ends)
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"
    words = [word for value in values for word in (value if isinstance(value, list | tuple) else [value])]
    return ", ".join(dict.fromkeys(map(_shown, words)))


def _is_numbers(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "start" in value
    parts = value if isinstance(value, list | tuple) else [value]
    return all(isinstance(part, int | float) and not isinstance(part, bool) for part in parts)


def _ends(value: Any) -> list[float]:
    """Lowest and highest of a number, a range, or a range with a step."""
    if isinstance(value, Mapping):
        return [value["start"], value["stop"]]
    return [min(value), max(value)] if isinstance(value, list | tuple) else [value, value]


def _defocus_nm(origin: Origin) -> list[tuple[float, float]]:
    """Lowest and highest C1 that was drawn from each data set."""
    continuous = origin.model["training"]["continuous_defocus"]
    found = []
    for blocks in origin.blocks.values():
        if "imaging" in blocks:
            imaging = Imaging.model_validate(blocks["imaging"])
            values = imaging.defocus_values_nm
            found.append(imaging.trained_defocus_nm if continuous else (min(values), max(values)))
    return found


def _tilts(origin: Origin) -> list[list[float]]:
    """Tilts of crystal and beam together that each data set has, degrees: lowest and highest.

    Crystals tilt in any direction, and so does the beam's random tilt. What is not recorded counts as upright.
    """
    found = []
    for blocks in origin.blocks.values():
        low, high = _ends(blocks.get("specimen", {}).get("tilt_deg", 0))
        beam = blocks.get("beam", {})
        fixed = math.degrees(math.hypot(*beam.get("tilt_mrad", (0, 0))) / 1000)
        drawn = [math.degrees(end / 1000) for end in _ends(beam.get("random_tilt_mrad", 0))]
        for least, most in ((fixed, fixed), tuple(drawn)):  # two directions add or cancel
            low, high = max(low - most, least - high, 0), high + most
        found.append([round(low, 3), round(high, 3)])
    return found


def _trained_over(origin: Origin) -> str:
    rows = [["", "over all data sets"], ["defocus C1, nm (positive: overfocus)", union(_defocus_nm(origin))]]
    rows.append(["tilt of crystal and beam, degrees", union(_tilts(origin))])
    for kind, key, what in TRAINED_OVER:
        if values := origin.values(kind, key):
            rows.append([what, union(values)])
    dose = origin.model["training"].get("dose_lambda")
    doses = [dose] if dose else origin.values("dataset", "dose_lambda")
    rows.append(["λ, electrons per 5.284 pm pixel in vacuum", union(doses)])
    lost = [name for name, blocks in origin.blocks.items() if not blocks.get("beam")]
    note = f"\n\nBeams of {', '.join(lost)} are not recorded: the waves were gone." if lost else ""
    return _table(rows) + note


def _recipe(origin: Origin) -> str:
    text = (
        f"`snakemake --cores all results/models/{origin.name}` at commit `{origin.commit}` "
        f"(segdepth {origin.versions.get('segdepth', 'unknown')}), with root_seed {origin.root_seed} and the data sets "
        "and their blocks of that commit's presets; `network.manifest.json` has all blocks."
    )
    start = origin.model.get("init_weights")
    began = (
        f" It began with the weights of `{start}`; the table above and the seconds below are of the training that "
        "followed."
    )
    return text + (began if start else "") + " The model's block:"


def _environment(origin: Origin) -> str:
    """Machine, seconds, best epoch and versions, on a line each."""
    facts, runs = origin.environment, origin.environment.get("runs") or [origin.environment]
    machines = "; ".join(
        ", ".join(f"{key} {run[key]}" for key in ("device", "processor", "threads") if key in run) for run in runs
    )
    seconds = facts.get("training_seconds")
    lines = [
        f"- Trained on: {machines}; precision {facts.get('precision', 'not recorded')}"
        + (f"; {seconds:g} s." if seconds is not None else "."),
        f"- Kept epoch: {_shown(facts.get('best', {}))}.",
        "- Versions: " + ", ".join(f"{name} {number}" for name, number in sorted(origin.versions.items())) + ".",
    ]
    return "\n".join(lines)


def _measured(evaluations: Sequence[Evaluation]) -> str:
    rows = [["", *(f"`{one.facts['dataset']}`" for one in evaluations)]]
    for key, what in (("structures", "structures"), ("images", "images"), ("dose_lambda", "λ")):
        rows.append([what, *(_shown(one.facts[key]) for one in evaluations)])
    elements = list(dict.fromkeys(element for one in evaluations for element in one.elements))
    for name in (*METRIC_NAMES, *VACUUM_NAMES):
        for element in (ALL, *(elements if name in BY_ELEMENT else ())):
            if any(one.value(name, element) is not None for one in evaluations):
                what = name.replace("_", " ") + ("" if element == ALL else f", {element}")
                rows.append([what, *(_with_interval(one, name, element) for one in evaluations)])
    return _table(rows)


def _calibration(evaluations: Sequence[Evaluation]) -> str:
    rows = [["expected calibration error", *(f"`{one.facts['dataset']}`" for one in evaluations)]]
    for name, what in POPULATIONS.items():
        rows.append([what, *(_with_interval(one, name, ALL) for one in evaluations)])
    return _table(rows)


def _with_interval(evaluation: Evaluation, name: str, element: str) -> str:
    value, interval = evaluation.value(name, element), evaluation.interval(name, element)
    ends = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    return "–" if value is None else f"{value:.3f}{ends}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{str(key).replace('_', ' ')} {_shown(item)}" for key, item in value.items())
    return f"{value:.4g}" if isinstance(value, float) else f"{value}"
