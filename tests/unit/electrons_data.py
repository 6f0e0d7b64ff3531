"""Frames of a camera that counts, for the tests of ``micrograph/electrons``."""

import numpy as np

PIXEL_PM = 6.3
SHAPE = (400, 520)


def lattice(shape=SHAPE, pixel_pm=PIXEL_PM, contrast=0.4, edge=0.35):
    """Mean electrons (y, x), vacuum 1 over the share ``edge`` at the left, crossed waves beyond it."""
    y, x = (np.indices(shape) + 0.5) * pixel_pm
    waves = contrast * np.cos(2 * np.pi * x / 382.6) * np.cos(2 * np.pi * y / 541.1)
    waves += 0.5 * contrast * np.cos(2 * np.pi * x / 191.3)
    return np.where(x < edge * shape[1] * pixel_pm, 1.0, 0.9 * (1 + waves))


def counts(level, seed=0, **options):
    return np.random.default_rng(seed).poisson(level * lattice(**options)).astype(np.float32)
