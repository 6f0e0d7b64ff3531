"""Log-likelihood ratio of the electrons under each column, column against vacuum.

SBD (Mohan et al., Deep Denoising for Scientific Discovery) §3.3, eq. 3.2: the likelihood of the counts under what is
seen there over that under vacuum, counts being independent and Poisson. There the rates come from a denoised image;
here from the frame itself: mean electrons in rings around the columns of the same element and about the same depth. A
column's own counts are left out of its rates, as else noise would speak for itself.

Columns of one element and depth are not all alike (tilt, strain, an uncertain depth). Their rates are spread about the
mean by a gamma distribution, whose width is what the frame shows beyond shot noise, so that counts of a column are
negative binomial (Cameron & Trivedi, Regression Analysis of Count Data, 2013, §3.3). Without it small differences would
be decisive where a column has thousands of electrons. Depths are mixed with the network's probabilities.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, xlogy

from segdepth.micrograph.columns.pooling import Owned

RINGS_PM = (30.0, 60.0)
"""Radii that divide a core into rings; a smaller core has fewer."""

NEXT_DEPTH = 0.1
"""Weight of the columns one atom thicker or thinner in the rates of a depth."""

BORROWED = 0.3
"""Columns of the element's mean that are added to those of each depth."""

VACUUM_COLUMNS = 0.5
"""Columns of vacuum that are added to those of each element."""

ANY_DEPTH = 0.1
"""Share of the network's probability that is spread evenly over all depths."""

ALIKE = 2.0
"""Columns without spread that are added to those from which it is estimated."""

LEAST_SPREAD, MOST_SPREAD = 0.003, 1.0
"""Of the rates of an element's columns of one depth, standard deviation over mean."""


def ring_sums(owned: Owned, electrons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Electrons and pixels (site, ring) of each site's own pixels; ``electrons`` (y, x) on the label grid."""
    rings = len(RINGS_PM) + 1
    square, cell = owned.x**2 + owned.y**2, owned.site * rings
    for radius in RINGS_PM:
        cell += square >= radius**2
    size = owned.sites * rings
    summed = np.bincount(cell, electrons.ravel()[owned.pixel], minlength=size)
    return summed.reshape(-1, rings), np.bincount(cell, minlength=size).reshape(-1, rings).astype(float)


def log_ratios(
    electrons: np.ndarray,
    pixels: np.ndarray,
    level: float,
    kind: np.ndarray,
    probabilities: np.ndarray,
    seen: np.ndarray,
) -> np.ndarray:
    """Natural logarithm of the likelihood of each site's electrons as a column over that as vacuum, (site,).

    Parameters
    ----------
    electrons, pixels : (site, ring), of ``ring_sums``.
    level : electrons per label pixel in vacuum.
    kind : number of each site's element.
    probabilities : (site, class) of the network.
    seen : (site,) bool, sites that the network calls columns; the rates come from these.
    """
    given = probabilities[:, 1:] / np.maximum(probabilities[:, 1:].sum(axis=1, keepdims=True), 1e-9)
    depths = given.shape[1]
    near = np.eye(depths) + NEXT_DEPTH * (np.eye(depths, k=1) + np.eye(depths, k=-1))
    ratios = np.zeros((len(kind), depths))
    for number in np.unique(kind):
        mine = kind == number
        ratios[mine] = _of_one_element(electrons[mine], pixels[mine], level, given[mine], seen[mine], near)
    mixed = (1 - ANY_DEPTH) * given + ANY_DEPTH / depths
    largest = ratios.max(axis=1)
    return largest + np.log((mixed * np.exp(ratios - largest[:, None])).sum(axis=1))


def _of_one_element(
    y: np.ndarray, n: np.ndarray, level: float, given: np.ndarray, seen: np.ndarray, near: np.ndarray
) -> np.ndarray:
    """Log ratios (site, depth) of the sites of one element."""
    count = seen.astype(float)[:, None]
    typical = np.median(n[n.sum(axis=1) > 0], axis=0) if n.any() else np.ones(n.shape[1])
    added = VACUUM_COLUMNS * typical
    mean = ((count * y).sum(axis=0) - count * y + added * level) / np.maximum(
        (count * n).sum(axis=0) - count * n + added, 1e-9
    )
    share = (count * given) @ near
    own = share[:, :, None]
    added = BORROWED * typical
    rate = ((share.T @ y) - own * y[:, None] + (added * mean)[:, None]) / np.maximum(
        (share.T @ n) - own * n[:, None] + added, 1e-9
    )
    expected = n[:, None] * np.maximum(rate, 1e-3 * level)
    middle = np.einsum("sdr,sd->sr", expected, given)
    beyond, square = count * ((y - middle) ** 2 - middle), count * middle**2
    added = ALIKE * square.mean(axis=0)
    spread = (beyond.sum(axis=0) - beyond + added * LEAST_SPREAD**2) / np.maximum(
        square.sum(axis=0) - square + added, 1e-9
    )
    shape = 1 / np.clip(spread, LEAST_SPREAD**2, MOST_SPREAD**2)
    vacuum = xlogy(y, n * level) - n * level
    constant = gammaln(y + shape) - gammaln(shape) - vacuum
    # y log(m / (a + m)) - a log(1 + m / a), summed over rings, of expected electrons m and the gamma's shape a
    relative = expected / shape[:, None]
    larger = np.log1p(relative)
    logarithm = np.log(np.maximum(relative, 1e-300)) - larger
    both = (y[:, None] * logarithm - shape[:, None] * larger).sum(axis=2)
    return constant.sum(axis=1, keepdims=True) + both
