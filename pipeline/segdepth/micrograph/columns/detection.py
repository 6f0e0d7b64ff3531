"""Which lattice sites hold a column: local false discovery rates, with a prior that the frame itself teaches.

Each site that the network calls a column is tested, with the log-likelihood ratio of its electrons against vacuum
(``segdepth.micrograph.columns.likelihood``). One threshold for all would lose columns that are about as bright as the
vacuum, though they stand in the middle of a crystal. So the probability that a site holds a column before its own
electrons count depends on what is known around it (false discovery rate regression: Scott, Kelly, Smith, Zhou & Kass,
J. Am. Stat. Assoc. 110 (2015) 459): its logit is linear in

- the share of the neighbouring sites tested that are confirmed: their mean posterior probability (mean field),
- the network's own evidence for the site: the logit of its probability for one atom or more.

The coefficients are fitted to all sites of the frame, also to those that the network calls vacuum, by expectation and
maximisation. Where electrons can tell (bright columns), they show how far neighbours and network are to be trusted;
this then holds for the others too. In noise nothing confirms the network and the prior falls to 0 everywhere. Where the
frame was found to be vacuum, since its noise is white there (``segdepth.micrograph.electrons.vacuum``), a column must
be proved by its own electrons.

A posterior probability p gives the local false discovery rate 1 - p (Efron, Large-Scale Inference, 2010, ch. 5). The
q-value of a site is the mean of 1 - p over it and all tested sites with larger p: the share of false columns that is
expected if these are taken for columns (Sun & Cai, J. Am. Stat. Assoc. 102 (2007) 901). Three rules are stricter:

- a site with p below ``LEAST_POSTERIOR`` has q = 1; else hundreds of sure columns would pay for some that are none;
- the rates of columns are learnt from the sites that the network chose, whose noise may look like columns, so that the
  log-likelihood gained over "no columns at all", summed over the sites, must reach ``LEAST_GAIN``; else all have q = 1;
- so must that of each group of neighbouring columns reach ``LEAST_GROUP_GAIN``; else the group has q = 1. At low doses
  columns that a network sees in the vacuum confirm each other, and their electrons say nothing against it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph
from scipy.special import expit, logit

LEAST_GAIN = 15.0
"""Of the whole frame, natural logarithm. Noise of 0.3 to 50 electrons a label pixel gave at most 8: in 240 fields of
2.7 nm, and in 5,760 of 5.4 nm in which a crystal was claimed. Crystals at 100 electrons per square angstrom gave more
than 100."""

LEAST_GROUP_GAIN = 10.0
"""Of a group of neighbouring columns: more than all columns together of a frame of noise ever gained. One column alone
in the vacuum then has at most 1 % of being none, if one of 200 sites tested holds one."""

LEAST_POSTERIOR = 0.7
"""Of a column; what is less probable is none, however many sure columns there are."""

EVIDENCE = 8.0
"""Largest logit of the network's probability that is believed: 1 in 3,000 false."""

CENTRE = np.array([-4.0, 4.0, 1.0])
"""Coefficients (constant, neighbours, network) without data; 1 takes the network's odds as they are."""

PRECISION = np.array([0.01, 0.01, 30.0])
"""Of the normal distributions around ``CENTRE``, inverse variances."""

FALSE_SITES = 0.25
"""Sites without a column, like the mean of the tested ones, that are added to the fit: none is certain a priori."""

UNKNOWN_NEIGHBOURS = 1.0
"""Unconfirmed neighbours added to those of each site."""

VACUUM_LOGIT = 10.0
"""By so much the logit of the prior is lower where the frame shows no lattice: as if a column there were one of 20,000.
A network continues a crystal into vacuum on a side where it has learnt none, as a whole lattice of sure columns, which
then confirm each other."""

ROUNDS, SETTLED = 30, 1e-3
"""Most rounds of the fit, and the largest change of a posterior probability with which it ends."""


@dataclass(frozen=True)
class Detection:
    """Of each site: ``posterior`` probability of a column and ``q_value`` (1 where not tested). ``gain`` : of the whole
    frame over "no columns at all", natural logarithm."""

    posterior: np.ndarray
    q_value: np.ndarray
    gain: float


def detect(
    llr: np.ndarray,
    present: np.ndarray,
    neighbours: np.ndarray,
    used: np.ndarray,
    tested: np.ndarray,
    vacuum: np.ndarray | None = None,
) -> Detection:
    """Test the sites of a frame.

    Parameters
    ----------
    llr : log-likelihood ratio of each site.
    present : the network's probability of one atom or more, of each.
    neighbours : rows (site, neighbour) of the sites around each; -1 where there is none.
    used : (site,) bool, sites with electrons. tested : (site,) bool, those the network calls columns.
    vacuum : (site,) bool, sites where the frame itself shows no lattice.
    """
    if not tested.any():
        return Detection(np.zeros(len(llr)), np.ones(len(llr)), 0.0)
    there = (neighbours >= 0) & tested[neighbours]
    # a last entry of 0 stands for all neighbours that do not count
    rows, number = np.where(there, neighbours, len(llr)).T.copy(), there.sum(axis=1) + UNKNOWN_NEIGHBOURS
    limit = expit(EVIDENCE)
    design = np.ones((3, len(llr)))
    design[2] = logit(np.clip(present, 1 - limit, limit))
    against = 0.0 if vacuum is None else VACUUM_LOGIT * vacuum
    posterior, coefficients = np.append(np.where(used, present, 0.0), 0.0), CENTRE
    for _ in range(ROUNDS):
        design[1] = posterior[rows].sum(axis=0) / number
        coefficients = _improved(coefficients, design, posterior[:-1], used, design[:, tested].mean(axis=1))
        prior = coefficients @ design - against
        new = used * expit(prior + llr)
        change = np.abs(new - posterior[:-1]).max()
        posterior[:-1] = new
        if change < SETTLED:
            break
    # log(1 - w + w exp(llr)) with w = expit(prior)
    gains = used * (np.logaddexp(0, prior + llr) - np.logaddexp(0, prior))
    gain = float(gains.sum())
    columns = tested & (posterior[:-1] >= LEAST_POSTERIOR) & (gain >= LEAST_GAIN)
    columns &= _in_proved_groups(columns, neighbours, gains)
    return Detection(posterior[:-1], _q_values(posterior[:-1], columns), gain)


def _improved(
    coefficients: np.ndarray, design: np.ndarray, posterior: np.ndarray, used: np.ndarray, typical: np.ndarray
) -> np.ndarray:
    """Coefficients after a Newton step of the logistic regression of the posterior on the design (3, site), with
    ``FALSE_SITES`` of the ``typical`` design (3,); neighbours and network count in favour or not at all."""
    fitted = expit(coefficients @ design)
    # curvature bounded from below, so that steps stay short where all is certain
    curvature = used * np.maximum(fitted * (1 - fitted), 0.004)
    false = FALSE_SITES * float(expit(coefficients @ typical))
    slope = design @ (used * (posterior - fitted)) - false * typical - PRECISION * (coefficients - CENTRE)
    matrix = (design * curvature) @ design.T + np.diag(PRECISION) + 0.25 * FALSE_SITES * np.outer(typical, typical)
    coefficients = coefficients + np.linalg.solve(matrix, slope)
    coefficients[1:] = np.maximum(coefficients[1:], 0)
    return coefficients


def _in_proved_groups(columns: np.ndarray, neighbours: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Whether each site belongs to a group of neighbouring columns that gains ``LEAST_GROUP_GAIN`` together."""
    site, place = np.nonzero((neighbours >= 0) & columns[neighbours] & columns[:, None])
    links = sparse.coo_array((np.ones(len(site)), (site, neighbours[site, place])), shape=2 * columns.shape)
    group = csgraph.connected_components(links, directed=False)[1]
    return np.bincount(group, columns * gains)[group] >= LEAST_GROUP_GAIN


def _q_values(posterior: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Running mean of the sorted local false discovery rates of columns; 1 for all other sites."""
    q, rows = np.ones(len(posterior)), np.flatnonzero(columns)
    rows = rows[np.argsort(-posterior[rows], kind="stable")]
    q[rows] = np.cumsum(1 - posterior[rows]) / np.arange(1, len(rows) + 1)
    return q
