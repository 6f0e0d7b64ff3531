"""Figure 7: accuracy against confidence before and after temperature scaling, of pixels and of columns, and how many
have which confidence (SegDepth, Fig. 7)."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segdepth.evaluation.calibration import POPULATIONS
from segdepth.evaluation.results import Evaluation
from segdepth.figures import style

AFTER, BEFORE = {"linestyle": "-"}, {"linestyle": ":", "markerfacecolor": "white"}
PIXELS = (
    ("pixels_before", "all pixels, before temperature scaling", style.NEUTRAL, "o", BEFORE),
    ("pixels", "all pixels, after", style.NEUTRAL, "o", AFTER),
    ("pixels_of_columns", "pixels of columns, after", style.ELEMENT_COLOURS[0], "s", AFTER),
)
COLUMNS = (
    ("columns_before", "columns, before temperature scaling", style.ELEMENT_COLOURS[1], "D", BEFORE),
    ("columns", "columns, after", style.ELEMENT_COLOURS[1], "D", AFTER),
)
"""Population, its label, colour, marker and line."""

FEWEST = 30
"""A bin of fewer has no point: the standard error of its accuracy reaches more than 0.09."""


@style.styled
def draw(evaluation: Evaluation) -> Figure:
    """Reliability curves of pixels (left) and of columns (right), and below them how many each bin has.

    Raises
    ------
    StoreError
        An earlier version made the evaluation, and it lacks one of them.
    """
    fig = style.new_figure(9.6, 7.2, maps=False)
    axes = fig.subplots(2, 2, sharex=True, height_ratios=(3, 1.1))
    for series, what, (upper, lower) in zip((PIXELS, COLUMNS), ("pixels", "columns"), axes.T):
        _curves(evaluation, series, upper, lower)
        upper.set(xlim=(0, 1.01), ylim=(0, 1.01), ylabel=f"accuracy (share of {what})", title=what)
        lower.set(yscale="log", xlabel="confidence (probability of the estimated depth)", ylabel=f"{what} in bin")
        lower.set_ylim(bottom=0.8)
        lower.legend(handles=upper.get_lines(), loc="upper center", bbox_to_anchor=(0.5, -0.42), frameon=False)
    facts = evaluation.facts
    scaled = f", T = {facts['temperature']:.3g}" if "temperature" in facts else ""
    sample = f"images: {facts['images']}, structures: {facts['structures']}{scaled}"
    fig.suptitle(f"{style.evaluation_text(facts)}, {sample}")
    return fig


def _curves(evaluation: Evaluation, series: tuple, upper: Axes, lower: Axes) -> None:
    upper.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1, label="perfect calibration")
    for population, label, colour, marker, line in series:
        curve = evaluation.reliability(population)
        seen = curve[curve["number"] >= FEWEST]
        error = evaluation.value(POPULATIONS[population])
        note = "" if error is None else f" (expected calibration error {error:.3f})"
        shown = {"color": colour, "linewidth": 1.4}
        points = {"marker": marker, "markersize": 4, "label": label + note} | line
        upper.plot(seen["mean_confidence"], seen["accuracy"], **shown, **points)
        edges = [*curve["confidence_low"], curve["confidence_high"].iloc[-1]]
        lower.stairs(curve["number"], edges, linestyle=line["linestyle"], **shown)
