"""An explained frame as the writers of a prediction take it: layers, and refined counts beside the predicted ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from segdepth.errors import MicrographError
from segdepth.explanation.explain import ExplainedFrame, Explainer, lines_of
from segdepth.fitting.result import LensFit
from segdepth.micrograph.results.facts import NOT_EXPLAINED_STAMP, FilmFacts, FrameResult, Layer, LostFrame
from segdepth.micrograph.results.facts import lines_of as lost_lines
from segdepth.micrograph.results.page import REFINED
from segdepth.micrograph.results.tables import Rows, frame_rows

LAYERS = (
    Layer("depth_refined", "refined depth", "atoms"),
    Layer("expected", "expected", "vacuum = 1", "gray"),
    Layer("residual", "residual", "standard deviations", "RdBu_r", (-4.0, 4.0)),
)
"""Expected and residual are those of the refined columns."""

KEPT = ["column", "confidence", "depth_low", "depth_high", "at_least", "llr", "q_value", "reliable"]
"""What the prediction says of a column and the explanation does not."""

NOT_PREDICTED = {"confidence": 0.0, "depth_low": 0, "depth_high": 0, "at_least": False}


def all_explained(explainer: Explainer) -> tuple[list[ExplainedFrame], tuple[str, ...]]:
    """All frames that can be explained, and lines for the user: of what was found, lost frames, and the prediction.

    Raises
    ------
    MicrographError
        None can.
    """
    frames: list[ExplainedFrame] = []
    lost: list[LostFrame] = []
    for one in explainer.frames():
        lost.append(one) if isinstance(one, LostFrame) else frames.append(one)
    if not frames:
        reason = lost[0].reason if lost else "none has columns"
        raise MicrographError(f"predicted: no frame could be explained; {reason}")
    more = [*lost_lines((), [], lost), *explainer.maps.attrs.get("warnings", ())]
    return frames, lines_of(explainer.fit, [one.facts for one in frames], more)


def with_layers(facts: FilmFacts, fit: LensFit) -> FilmFacts:
    """What holds for the film, with the layers; stamped where this fit or that of the prediction is not explained."""
    explained = fit.explained and not any(line.startswith(NOT_EXPLAINED_STAMP) for line in facts.warnings)
    return replace(facts, layers=LAYERS, stamp="" if explained else NOT_EXPLAINED_STAMP)


def explained_result(result: FrameResult, frame: ExplainedFrame) -> FrameResult:
    """The predicted frame with the layers and the refined columns; sites that were not predicted have a depth of 0."""
    refined = frame.table.drop(columns="q_value").rename(columns={"confidence": "count_confidence"})
    table = refined.merge(result.table[KEPT], on="column", how="left")
    table = table.fillna(NOT_PREDICTED | {"reliable": result.reliable})
    table["chi2_pixel"] = table["chi2_refined"] / np.maximum(table["pixels"], 1)
    before, after = (frame.facts[name] / max(frame.facts["pixels"], 1) for name in ("chi2", "chi2_refined"))
    told = (
        ("χ² per pixel", f"{before:.3f} as predicted, {after:.3f} refined"),
        ("counts changed", f"{frame.facts['changed']} of {frame.facts['columns']}"),
        ("extra, missing", f"{frame.facts['extra']}, {frame.facts['missing']}"),
    )
    seen = np.where(np.isfinite(frame.counts), 1.0, np.nan)
    layers = {
        "depth_refined": frame.depth_refined,
        "expected": frame.expected_refined / frame.electrons * seen,
        "residual": frame.residual_refined,
    }
    return replace(result, table=table.astype(result.table[KEPT[1:]].dtypes), layers=layers, told=told)


def refined_rows(result: FrameResult, pixel_pm: float) -> Rows:
    """``tables.frame_rows`` and ``page.REFINED`` of an explained result. ``pixel_pm`` : of the file."""
    return frame_rows(result, pixel_pm) | {name: result.table[name].to_numpy() for name in REFINED}
