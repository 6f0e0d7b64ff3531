"""Differences between networks that were measured on the same structures, which are drawn for both alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from segdepth.evaluation.metrics import paired_interval
from segdepth.evaluation.results import Evaluation, chosen
from segdepth.seeds import hash64


def structure_sums(evaluation: Evaluation, metric: str, element: str) -> pd.DataFrame:
    """``specimen``, ``structure``, ``right``, ``total`` of a metric: one row a structure, none where the evaluation
    does not hold the metric's sums."""
    found = chosen(evaluation.by_structure, {"metric": metric, "element": element})
    return found.assign(specimen=evaluation.facts.get("specimen"))


def difference_interval(
    mine: Sequence[pd.DataFrame], other: Sequence[pd.DataFrame], dataset: str
) -> list[float] | None:
    """95 % bootstrap interval over structures of a difference: the mean ratio of some networks less that of others.

    Parameters
    ----------
    mine, other : of each network, its ``structure_sums``.
    dataset : name of the first ones' data set, a seed of the draws.

    None where the networks were not all measured on the same structures, or on fewer than two, or where a draw has
    nothing to count.
    """
    both = [*mine, *other]
    if len({tuple(zip(one["specimen"], one["structure"])) for one in both}) != 1:
        return None
    parts = [
        [tuple(one[name].to_numpy(float) for name in ("right", "total")) for one in nets] for nets in (mine, other)
    ]
    return paired_interval(*parts, np.random.default_rng((hash64("bootstrap"), hash64(dataset))))
