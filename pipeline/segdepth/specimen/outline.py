"""The outline of a particle: facets on any side, seen edge-on, and how far below the nearest one a place lies.

An outline is a text in the plan: ``edge`` (one surface with the normal +y, ``specimen.surfaces``), or the facets'
kinds and the directions of their outward normals in the upright crystal, in degrees counter-clockwise from +x:
``{111}@54.7356 rough@201.3``. ``full@…`` is a plane facet beyond the field: no vacuum, but thickness may still change.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from segdepth.config import Specimen
from segdepth.crystals import Crystal
from segdepth.crystals.planes import edge_on_planes
from segdepth.specimen.corners import rounded
from segdepth.specimen.facets import normals_of
from segdepth.specimen.orientation import Orientation
from segdepth.specimen.random_fields import smooth_field
from segdepth.specimen.surfaces import stepped

LEAST_ANGLE = 25.0
"""Degrees between the normals of two facets of a particle, at least."""

SAMPLES = 96
"""Places along each side of the field at which shares of it are measured."""

LEAST_WEIGHT = 0.3
"""The vacuum is shared among facets by weights between this and 1."""

BEYOND_PM = 2000.0
"""A facet beyond the field is up to this far from it."""


def draw_outline(block: Specimen, crystal: Crystal, rng: np.random.Generator) -> str:
    """The outline of one structure; as many facets as ``facet_count`` says, or as there are directions for."""

    def draw(kind: str) -> float:
        normals = normals_of(kind, crystal)
        return float(rng.uniform(0, 360) if normals is None else rng.choice(normals))

    low, high = block.facet_count
    count, kind = int(rng.integers(low, high + 1)), str(rng.choice(block.facets))
    if count == 0:
        return f"full@{draw(kind):.4f}"
    if kind == "edge":
        return kind
    chosen = [(kind, draw(kind))]
    others = [each for each in block.facets if each != "edge"]
    for _ in range(200):
        if len(chosen) == count:
            break
        kind = str(rng.choice(others))
        azimuth = draw(kind)
        if all(abs((azimuth - other + 180) % 360 - 180) >= LEAST_ANGLE for _, other in chosen):
            chosen.append((kind, azimuth))
    return " ".join(f"{kind}@{azimuth:.4f}" for kind, azimuth in chosen)


def field_samples(block: Specimen, orientation: Orientation | None = None) -> np.ndarray:
    """Places (n, 2) that fill the field evenly, pm from its centre; where they are in the upright crystal, if an
    orientation is given."""
    along = block.field_pm * ((np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5)
    places = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    return places if orientation is None else places @ np.linalg.inv(orientation.matrix[:2, :2]).T


def cut_off(places_pm: np.ndarray, samples_pm: np.ndarray, azimuth_deg: float, share: float) -> np.ndarray:
    """Which places (n, 2) a straight line cuts off together with ``share`` of the samples, on the side of a normal."""
    normal = np.array([np.cos(np.radians(azimuth_deg)), np.sin(np.radians(azimuth_deg))])
    return places_pm @ normal > np.quantile(samples_pm @ normal, np.clip(1 - share, 0, 1))


def depth_below_facets(
    row: Mapping,
    block: Specimen,
    crystal: Crystal,
    places_pm: np.ndarray,
    orientation: Orientation,
    rng: np.random.Generator,
) -> np.ndarray:
    """Distance of places (n, 2) below the nearest facet, pm, negative in the vacuum.

    Places are those of the upright crystal, from the field's centre. Facets are moved along their normals until the
    vacuum's share of the field is ``vacuum_fraction``; each takes a random part of it. Rough facets follow a random
    line of the rms height ``outline_roughness_nm`` and a correlation length of ``terrace_nm``; the others are plane, or
    stepped by whole planes if the structure's surface is ``stepped``, with corners rounded by ``corner_radius_pm``.
    """
    facets = [facet.split("@") for facet in row["outline"].split()]
    weights = rng.uniform(LEAST_WEIGHT, 1, len(facets))
    everywhere = np.concatenate([places_pm, field_samples(block, orientation)])
    above = np.empty((len(facets), len(everywhere)))
    for number, (kind, azimuth) in enumerate(facets):
        angle = np.radians(float(azimuth))
        along = everywhere @ (-np.sin(angle), np.cos(angle))
        line = _line(kind, float(azimuth), along, row, block, crystal, rng)
        above[number] = everywhere @ (np.cos(angle), np.sin(angle)) - line
    samples = above[:, len(places_pm) :]
    if facets[0][0] == "full":
        levels = samples.max(axis=1) + rng.uniform(0, BEYOND_PM)
    else:
        levels = _levels(samples, weights / weights.sum(), row["vacuum_fraction"])
    return (levels[:, None] - above[:, : len(places_pm)]).min(axis=0)


def _line(
    kind: str,
    azimuth_deg: float,
    along_pm: np.ndarray,
    row: Mapping,
    block: Specimen,
    crystal: Crystal,
    rng: np.random.Generator,
) -> np.ndarray:
    """Height of a facet's line above its plane at places along it."""
    if kind == "rough":
        height, correlation = (1000 * rng.uniform(*r) for r in (block.outline_roughness_nm, block.terrace_nm))
        return height * smooth_field(along_pm[:, None], correlation, rng)
    if kind == "full" or row["surface"] != "stepped":
        return np.zeros_like(along_pm)
    spacing = next(p.spacing_pm for p in edge_on_planes(crystal, kind) if abs(p.azimuth_deg - azimuth_deg) < 1e-3)
    half = 1.5 * block.cell_pm  # terraces within a turned cell and what is built beyond it
    line = partial(stepped, width_pm=2 * half, block=block, row_pm=spacing, rng=rng)
    return rounded(line, along_pm + half, row.get("corner_radius_pm", 0.0))


def _levels(above: np.ndarray, weights: np.ndarray, vacuum: float) -> np.ndarray:
    """Level of each facet, above which there is vacuum at the samples: facet i alone cuts off the share t · weight_i,
    and t is found by bisection, so that all together cut off the share ``vacuum``."""
    ordered, low, high = np.sort(above, axis=1), 0.0, 1 / weights.max()
    last = ordered.shape[1] - 1

    def levels(scale: float) -> np.ndarray:
        ranks = last * np.clip(1 - scale * weights, 0, 1)
        return np.array([np.interp(rank, np.arange(last + 1), values) for rank, values in zip(ranks, ordered)])

    for _ in range(40):
        scale = (low + high) / 2
        share = (above > levels(scale)[:, None]).any(axis=0).mean()
        low, high = (scale, high) if share < vacuum else (low, scale)
    return levels(high)
