"""Entrance and exit face of a structure: thinned towards the vacuum, each rough by itself, and another thickness on one
side of a straight line."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from segdepth.config import Specimen
from segdepth.specimen.draws import GeometryDraws
from segdepth.specimen.faces import MOST_ROUGHNESS, faces
from segdepth.specimen.orientation import Orientation
from segdepth.specimen.outline import cut_off, field_samples
from segdepth.specimen.random_fields import smooth_field

ROUGH_FACES = ("entrance_roughness_atoms", "exit_roughness_atoms")


def faces_of(
    row: Mapping,
    block: Specimen,
    places_pm: np.ndarray,
    depth_pm: np.ndarray,
    orientation: Orientation,
    draws: GeometryDraws,
) -> tuple[np.ndarray, np.ndarray]:
    """Entrance and exit face at places (n, 2), in atoms from the bulk's entrance face; at least one atom apart.

    Parameters
    ----------
    places_pm : in the upright crystal, from the field's centre. depth_pm : below the nearest facet.
    """
    bulk, surface, share = row["bulk_atoms"], row["surface_atoms"], row["exit_fraction"]
    below, shifted = np.maximum(depth_pm, 0), 0.0
    if other := row.get("neighbour_atoms", 0):
        samples = field_samples(block, orientation)
        beside = cut_off(places_pm, samples, row["neighbour_deg"], row["neighbour_share"])
        bulk = np.where(beside, other, row["bulk_atoms"])
        surface = np.minimum(surface, bulk)
        shifted = (1 - share) * (row["bulk_atoms"] - bulk)
    decay = row["decay_pm"]
    entrance, exit_ = faces(below, bulk, surface, share, decay, row.get("exit_decay_pm", decay))
    entrance, exit_ = entrance + shifted, exit_ + shifted
    rough = [float(row.get(name, 0.0)) for name in ROUGH_FACES]
    if not any(rough):
        return entrance, exit_
    rng = draws.stream("face roughness")
    moves = [
        np.clip(rms * smooth_field(places_pm, row["face_correlation_pm"], rng), -MOST_ROUGHNESS, MOST_ROUGHNESS)
        for rms in rough
    ]
    entrance, exit_ = entrance + moves[0], exit_ + moves[1]
    middle, half = (entrance + exit_) / 2, np.maximum((exit_ - entrance) / 2, 0.5)
    return middle - half, middle + half


def most_atoms_along_beam(row: Mapping) -> float:
    """Periods between the outermost faces that a structure can have."""
    rough = any(row.get(name, 0.0) for name in ROUGH_FACES)
    return max(row["bulk_atoms"], row.get("neighbour_atoms", 0)) + 2 * MOST_ROUGHNESS * rough


def bent(positions: np.ndarray, pivot: np.ndarray, row: Mapping, block: Specimen) -> np.ndarray:
    """Positions (n, 3) of a bent crystal: atoms are moved by their height above the pivot times the local tilt, which
    changes by ``bend_mrad`` across the field along ``bend_deg`` and is 0 at its centre. Heights stay."""
    bend = row.get("bend_mrad", 0.0) / 1000
    if not bend:
        return positions
    direction = np.array([np.cos(np.radians(row["bend_deg"])), np.sin(np.radians(row["bend_deg"]))])
    tilt = bend * ((positions - pivot)[:, :2] @ direction) / block.field_pm
    moved = positions.copy()
    moved[:, :2] += ((positions - pivot)[:, 2] * np.tan(tilt))[:, None] * direction
    return moved


def bend_reach_pm(row: Mapping, block: Specimen, height_pm: float) -> float:
    """How far a bend moves an atom of the cell, at most."""
    return height_pm / 2 * np.tan(row.get("bend_mrad", 0.0) / 1000 * block.cell_pm / block.field_pm)
