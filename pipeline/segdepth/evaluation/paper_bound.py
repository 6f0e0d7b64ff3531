"""The ideal observer of single columns at the doses of Fig. 9, as rows of ``segdepth.evaluation.paper``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from segdepth.evaluation.limits import METRICS, at_doses
from segdepth.evaluation.metrics import bootstrap_intervals
from segdepth.evaluation.results import IdealObserver
from segdepth.seeds import hash64

ROW = "ideal observer of single columns"
NOTE = "all but this column's count is known; what neighbours tell can lift a network above it"


def bound_rows(observer: IdealObserver, doses: Sequence[float]) -> Iterator[dict[str, Any]]:
    """``row``, ``lambda``, ``metric``, ``element``, ``value``, ``low``, ``high``, ``structures``, ``images``, ``note``:
    means over columns of each element, with 95 % bootstrap intervals over structures.

    Parameters
    ----------
    observer : with its ``columns``.
    """
    facts = observer.facts
    table = at_doses(observer.columns, float(facts["dose_lambda"]), doses)
    structures = sorted(set(table["structure"]))
    images = len(structures) * table["defocus_nm"].nunique()
    rng = np.random.default_rng(hash64("bootstrap"))
    for (dose, element), mine in table.groupby(["dose_lambda", "element"], sort=False):
        each = mine.groupby("structure")
        number = each.size().reindex(structures, fill_value=0).to_numpy(float)
        parts = {name: (each[name].sum().reindex(structures, fill_value=0.0).to_numpy(), number) for name in METRICS}
        intervals = bootstrap_intervals(parts, rng)
        for name in METRICS:
            low, high = intervals[name] or (None, None)
            measured = {"value": float(mine[name].mean()), "low": low, "high": high}
            key = {"row": ROW, "lambda": float(dose), "metric": name, "element": element}
            yield key | measured | {"structures": len(structures), "images": images, "note": NOTE}
