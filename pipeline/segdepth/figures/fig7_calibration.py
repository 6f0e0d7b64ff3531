"""Figure 7: accuracy against confidence, and how many pixels have which confidence (SegDepth, Fig. 7)."""

from __future__ import annotations

from matplotlib.figure import Figure

from segdepth.evaluation.results import Evaluation
from segdepth.figures import style

SERIES = (
    ("all", "all pixels", "expected_calibration_error", style.NEUTRAL, "o"),
    ("columns", "pixels of atomic columns", "expected_calibration_error_columns", style.ELEMENT_COLOURS[0], "s"),
)
"""Population, its label, the metric of its error, colour, marker."""


@style.styled
def draw(evaluation: Evaluation) -> Figure:
    """Reliability curves of all pixels and of those of columns, and below them how many pixels each bin has."""
    table = evaluation.calibration
    fig = style.new_figure(5.4, 6.6, maps=False)
    upper, lower = fig.subplots(2, 1, sharex=True, height_ratios=(3, 1.1))
    upper.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1, label="perfect calibration")
    for population, label, metric, colour, marker in SERIES:
        curve = table[table["population"] == population]
        seen = curve[curve["pixels"] > 0]
        error = evaluation.value(metric)
        note = "" if error is None else f" (expected calibration error {error:.3f})"
        shown = {"color": colour, "linewidth": 1.4}
        upper.plot(seen["mean_confidence"], seen["accuracy"], marker=marker, markersize=4, label=label + note, **shown)
        edges = [*curve["confidence_low"], curve["confidence_high"].iloc[-1]]
        lower.stairs(curve["pixels"], edges, **shown)
    upper.set(xlim=(0, 1.01), ylim=(0, 1.01), ylabel="accuracy (share of pixels)")
    fig.legend(handles=upper.get_lines(), loc="outside lower center", frameon=False)
    lower.set(yscale="log", xlabel="confidence (probability of the estimated depth)", ylabel="pixels in bin")
    lower.set_ylim(bottom=0.8)
    fig.suptitle(style.evaluation_text(evaluation.facts))
    return fig
