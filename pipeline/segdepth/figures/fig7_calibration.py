"""Figure 7: accuracy against confidence, and how many pixels have which confidence (SegDepth, Fig. 7)."""

from __future__ import annotations

from pathlib import Path

from segdepth.evaluation.stored import read_metrics, read_table
from segdepth.figures import style

COMMAND = "plot-fig7"
SERIES = (
    ("all", "all pixels", "expected_calibration_error", "all", "o"),
    ("atomic columns", "pixels of atomic columns", "expected_calibration_error_columns", "Ce", "s"),
)


def plot(evaluation: Path, out: Path, code: str) -> None:
    """Draw the reliability curves of an evaluation to ``out`` (.png) and its .pdf."""
    facts, table = read_metrics(evaluation), read_table(evaluation, "calibration")
    with style.styled():
        fig = style.new_figure(5.4, 6.6, maps=False)
        upper, lower = fig.subplots(2, 1, sharex=True, height_ratios=(3, 1.1))
        upper.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1, label="perfect calibration")
        for population, label, key, colour, marker in SERIES:
            curve = table[table["population"] == population]
            seen = curve[curve["pixels"] > 0]
            error = "" if facts[key] is None else f" (expected calibration error {facts[key]:.3f})"
            shown = {"color": style.COLOURS[colour], "linewidth": 1.4}
            upper.plot(
                seen["mean_confidence"], seen["accuracy"], marker=marker, markersize=4, label=label + error, **shown
            )
            edges = [*curve["confidence_low"], curve["confidence_high"].iloc[-1]]
            lower.stairs(curve["pixels"], edges, **shown)
        upper.set(xlim=(0, 1.01), ylim=(0, 1.01), ylabel="accuracy (share of pixels)")
        fig.legend(handles=upper.get_lines(), loc="outside lower center", frameon=False)
        lower.set(yscale="log", xlabel="confidence (probability of the estimated depth)", ylabel="pixels in bin")
        lower.set_ylim(bottom=0.8)
        fig.suptitle(style.evaluation_text(facts))
        style.save(fig, out, command=COMMAND, code=code, inputs=[evaluation])
