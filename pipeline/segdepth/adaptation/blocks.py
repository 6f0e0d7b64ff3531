"""The blocks of an adaptation: what the film and its lens fit say and what nothing says, each value with its source."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from segdepth.adaptation.names import NAME
from segdepth.adaptation.ranges import Line, half_width, tilt_ranges, value_range, vector_range
from segdepth.adaptation.thickness import rise_of
from segdepth.config import NETWORK_STRIDE, PAPER_PIXEL_PM, CrystalBlock, Specimen, validate
from segdepth.config.imaging import DEFOCUS_MARGIN_NM
from segdepth.config.specimen import Facet
from segdepth.crystals import Crystal, load_crystal
from segdepth.crystals.reading import known_structures
from segdepth.errors import ConfigError
from segdepth.fitting.result import LensFit
from segdepth.networks.card import NetworkCard
from segdepth.specimen.checks import LABEL_REACH_PM, thickest_column
from segdepth.specimen.facets import normals_of

MOST_TILT_DEG = 4.0
DOSE_SHARE = 0.2
"""Half-width of the doses trained on, as a share of the film's."""

VACUUM_SHARE = 0.15
"""Half-width of the vacuum's share of a field about the film's."""

SHARD = 6
BATCH, CROP_PM = 8, 128 * 4 * PAPER_PIXEL_PM
EPOCHS, REPEATS = 8, 8
LEARNING_RATE, ORDINAL = 1e-3, 0.5
VALIDATION = 0.06
"""Share of the structures that the tuning is validated on."""

LONG = 70
"""Characters of a mapping that is written on one line, at most."""

ALONE = ("c3_um", "c5_mm", "focal_spread_nm", "convergence_mrad", "image_spread_pm", "contrast_factor", "background")
WITH_AZIMUTH = ("a1_nm", "b2_nm", "a2_nm")

DEFECTS = (
    Line("face_roughness_atoms", [0.0, 1.5], "not in the fit, as in the preset of the particles, like what follows"),
    Line("missing_probability", 0.06),
    Line("added_probability", 0.06),
    Line("missing_reach_nm", 0.8),
    Line("vacancy_fraction", [0.0, 0.08]),
    Line("vacancy_surface_enrichment", 3.0),
    Line("bend_mrad", [0.0, 5.0]),
    Line("rotation_deg", [-1.0, 1.0], "what the lattice search leaves, and more"),
    Line("strain_percent", [-0.5, 0.5]),
)


@dataclass(frozen=True)
class Budget:
    """How much is made: ``structures`` that are simulated and ``samples`` that the network is tuned on."""

    structures: int
    samples: int


def crystal_block(crystal: Mapping[str, Any], name: str = "crystal") -> CrystalBlock:
    """The block of a crystal whose structure comes with the package.

    Raises
    ------
    ConfigError
        None of the known structures is this crystal, so that its file is needed.
    """
    wanted = Crystal.from_dict(crystal)
    for structure in known_structures():
        given = {"structure": structure, "zone_axis": wanted.zone_axis, "x_axis": wanted.x_axis}
        try:
            plain = load_crystal(validate(CrystalBlock, given, "crystal"), name)
        except ConfigError:
            continue
        if plain.formula != wanted.formula or len(plain.columns) != len(wanted.columns):
            continue
        data = json.loads(json.dumps(given)) | {"debye_waller_pm": dict(wanted.debye_waller_pm) or None}
        scale = wanted.periods_pm[0] / plain.periods_pm[0]
        if abs(scale - 1) > 1e-9:
            data["lattice_pm"] = _lattice_pm(structure, scale)
        return validate(CrystalBlock, data, "crystal")
    raise ConfigError(
        f"lens fit: its crystal, {wanted.title}, is none of the structures that come with segdepth "
        f"({', '.join(known_structures())}); give its block with --crystal FILE:NAME"
    )


def _lattice_pm(structure: str, scale: float) -> float:
    from importlib.resources import files

    text = files("segdepth.crystals").joinpath("data", f"{structure}.json").read_text(encoding="utf-8")
    return round(json.loads(text)["lattice_pm"] * scale, 6)


def imaging_lines(fit: LensFit, pixel_pm: float) -> list[Line]:
    """The imaging block."""
    wide, said = half_width(fit, "defocus_nm")
    middle = float(fit.values["defocus_nm"])
    ends = [round(middle + sign * (wide - DEFOCUS_MARGIN_NM), 3) for sign in (-1, 1)]  # training goes beyond them
    lines = [Line("defocus_nm", ends, f"{said}; training goes {DEFOCUS_MARGIN_NM:g} beyond")]
    lines += [value_range(fit, name) for name in ALONE if name in fit.values]
    for name in WITH_AZIMUTH:
        lines += vector_range(fit, name) if name in fit.values else []
    return [*lines, Line("pixel_pm", pixel_pm, "the network's")]


def beam_lines(fit: LensFit) -> list[Line]:
    """The beams block."""
    return [
        Line("energy_kev", fit.energy_kev, "the fit's"),
        Line("diffuse_snapshots", 1),
        Line("debye_waller_scale", [0.9, 1.1], "not fitted, 10 % to either side"),
    ]


def specimen_lines(
    fit: LensFit, crystal: Crystal, crystal_name: str, field_pm: float, vacuum: float | None, structures: int
) -> list[Line]:
    """The specimens block.

    Parameters
    ----------
    vacuum : share of the film's pixels that are vacuum; None where none is in it.
    """
    rise = rise_of(fit.bins)
    low, high = rise.bulk
    facets = [kind for kind in get_args(Facet) if normals_of(kind, crystal) != []]
    least, most = (min(max((vacuum or 0.3) + sign * VACUUM_SHARE, 0.05), 0.7) for sign in (-1, 1))
    shares = [round(least, 3), round(most, 3)]
    share = [value_range(fit, "exit_share")] if "exit_share" in fit.values else []
    lines = [
        Line("crystal", crystal_name),
        Line("structures", structures, "of what the minutes allow"),
        Line("shard_size", min(SHARD, structures)),
        Line("field_pm", field_pm, "the network's"),
        Line("bulk_atoms", [low, high], rise.told),
        Line("surface_atoms", list(rise.surface)),
        Line("thickest_atoms", high + 4),
        Line("decay_nm", list(rise.decay_nm), "from the rise of the bins"),
        Line("exit_decay_nm", list(rise.decay_nm)),
        *(replace(line, key="exit_fraction") for line in share),
        *tilt_ranges(fit, MOST_TILT_DEG),
        Line("tilt_by", "propagation"),
        Line("facets", facets, "every kind: the fit does not tell them"),
        Line("facet_count", [0, 0] if vacuum is None else [0, 2]),
        Line("vacuum_fraction", shares, "not known" if vacuum is None else f"the film's is {vacuum:.2g}"),
        *DEFECTS,
    ]
    block = validate(Specimen, {line.key: line.value for line in lines}, "specimens.adapted")
    return [*lines, Line("margin_pm", margin_pm(block, crystal), "wide enough for the tilt")]


def margin_pm(block: Specimen, crystal: Crystal) -> float:
    """The least margin, in steps of the paper's, that holds the block's tilt (``specimen.checks``)."""
    step, spacing = 32 * PAPER_PIXEL_PM, crystal.periods_pm[2] / max(c.per_period for c in crystal.columns)
    reach = thickest_column(block, crystal) * spacing / 2 * math.tan(math.radians(block.tilt_deg[1])) + LABEL_REACH_PM
    return max(block.margin_pm, step * math.ceil(reach / step))


def labels_of(card: NetworkCard, thickest: int) -> dict[str, Any]:
    """The labels block: the network's; with classes for every count where it has too few and none for more."""
    labels = {key: value for key, value in card.labels.items() if value is not None}
    if not card.more and thickest > card.most_atoms:
        labels["most_atoms"] = thickest
    return labels


def model_lines(card: NetworkCard, start: str, lambda_: float, budget: Budget, remark: str) -> list[Line]:
    """The models block. No sample is flipped and no mirror image averaged: those would have another lens."""
    field = round(card.field_pm / card.input_pixel_pm)
    crop = max(NETWORK_STRIDE, NETWORK_STRIDE * (min(round(CROP_PM / card.input_pixel_pm), field) // NETWORK_STRIDE))
    epoch = max(BATCH, budget.samples // EPOCHS // BATCH * BATCH)
    training = {
        "dose_lambda": [round((1 - DOSE_SHARE) * lambda_, 6), round((1 + DOSE_SHARE) * lambda_, 6)],
        "ordinal_weight": ORDINAL,
        "flip": False,
        "crop_pixels": crop,
        "batch_size": BATCH,
        "noise_repeats": REPEATS,
        "epoch_samples": epoch,
        "epochs": EPOCHS,
        "learning_rate": LEARNING_RATE,
        "gradient_clip": 1.0,
    }
    return [
        Line("datasets", [NAME]),
        Line("architecture", {"variant": card.variant, "base_channels": card.base_channels}, "the network's"),
        Line("init_weights", start),
        Line("flip_average", False, "a mirror image has another lens"),
        Line("remark", remark),
        Line("training", training, f"dose: the film's ± {100 * DOSE_SHARE:.0f} %; no flips: they have another lens"),
    ]


def lambda_of(dose_e_per_a2: float) -> float:
    """λ, electrons per pixel of the paper, of a dose."""
    return dose_e_per_a2 * (PAPER_PIXEL_PM / 100) ** 2


def splits(structures: int) -> dict[str, float]:
    """Shares of the structures: at least one validates."""
    share = VALIDATION if structures >= 24 else 0.25
    return {"test": 0.0, "validation": share, "train": round(1 - share, 6)}


def as_yaml(head: Sequence[str], sections: Mapping[str, Mapping[str, Sequence[Line]] | Any]) -> str:
    """A configuration as text: comments in ``head``, then each section with its blocks; a source becomes a comment
    behind its value."""
    lines = [f"# {line}" for line in head]
    for section, content in sections.items():
        lines.append("")
        if not isinstance(content, Mapping):
            lines.append(f"{section}: {_flow(content)}")
            continue
        lines.append(f"{section}:")
        for name, block in content.items():
            lines.append(f"  {name}:")
            for line in block:
                long = isinstance(line.value, Mapping) and len(_flow(line.value)) > LONG
                text = f"    {line.key}:" if long else f"    {line.key}: {_flow(line.value)}"
                lines.append(f"{text:<44}  # {line.source}" if line.source else text)
                lines += [f"      {key}: {_flow(value)}" for key, value in line.value.items()] if long else []
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    """Plain data on one line: JSON, which YAML reads."""
    return json.dumps(value, ensure_ascii=False)
