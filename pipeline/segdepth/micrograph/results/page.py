"""``prediction.html``: one page that needs nothing else, neither a network nor other files.

Frames are written as they come, each into a block of its own: the micrograph as a JPEG, depth and confidence as PNG of
label pixels whose values the page colours (255: not valid), and the columns as arrays of a few bytes each. Layers are
maps of input pixels. Everything that is text goes through JSON, in which ``<``, ``>`` and ``&`` are escaped, and is
shown as text only.
"""

from __future__ import annotations

import base64
import html
import io
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segdepth.labels.column_depths import name_of_last
from segdepth.micrograph.results.facts import NOT_RELIABLE, FilmFacts, FrameResult, Layer
from segdepth.micrograph.results.file_grid import affine_matrices
from segdepth.micrograph.results.rounding import with_error
from segdepth.micrograph.results.tables import Rows

PAGE, TEMPLATE = "prediction.html", "page.template.html"
MOST_FRAMES = 100
SIDE_FILM, SIDE_FEW, FEW = 512, 1024, 10
"""Longest side of a frame's image in pixels: in a film, and where no more than ``FEW`` frames are shown."""

MAP_SIDE = 400
"""Label pixels of the longest side of the maps, at most; of larger ones every second, third, … pixel is shown."""

JPEG_QUALITY = 60
STEPS = 64
"""Of the confidence, and of layers."""

MARKS = "Colour: depth. Dot or ≥: at least so many. Red edge: not reliable."
MARKS_REFINED = (
    "Colour and number: refined count. Ring: the picture shows more (red) or fewer (blue) atoms than were predicted. "
    "Red edge: not reliable."
)

LAYOUT = (
    ("x", "u2"), ("y", "u2"), ("name", "u2"), ("llr", "i2"), ("q", "u2"), ("name_high", "u1"), ("element", "u1"),
    ("depth", "u1"), ("low", "u1"), ("high", "u1"), ("confidence", "u1"), ("flags", "u1"),
)  # fmt: skip
"""Arrays of the columns, one after the other; wider ones first, so that each is aligned."""

REFINED = ("count", "count_low", "count_high", "count_confidence", "chi2_pixel", "extra", "missing")
"""What the rows of columns have besides, where there are layers: counts refined by the picture, the ends of their 90 %
set and their probability, χ² per pixel, whether the picture shows more or fewer atoms than ``depth``."""

REFINED_LAYOUT = (
    ("chi2", "u2"), ("refined", "u1"), ("refined_low", "u1"), ("refined_high", "u1"), ("refined_confidence", "u1"),
)  # fmt: skip
"""Their arrays beside those of ``LAYOUT``, but for two bits of the flags."""


def escaped_json(value: Any) -> str:
    """JSON that can stand inside a ``<script>`` element."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def shown_frames(count: int, most: int = MOST_FRAMES) -> list[int]:
    """Places of the frames that the page shows: all, or ``most`` that are evenly spaced."""
    return sorted({round(p) for p in np.linspace(0, count - 1, min(count, most))})


def _address(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _map_png(values: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values, np.uint8)).save(stream, "PNG", compress_level=3)
    return _address("png", stream.getvalue())


def grey_image(image: np.ndarray, longest: int) -> tuple[np.ndarray, float, float]:
    """An image (y, x) as uint8, averaged over blocks so that no side exceeds ``longest``, and the intensities of black
    and white: all but the darkest and brightest thousandth. What is not finite is white."""
    block = -(-max(image.shape) // longest)
    if block > 1:
        rows, columns = (-(-side // block) for side in image.shape)
        padded = np.full((rows * block, columns * block), np.nan, np.float32)
        padded[: image.shape[0], : image.shape[1]] = image
        parts = padded.reshape(rows, block, columns, block)
        number = np.isfinite(parts).sum(axis=(1, 3))
        with np.errstate(invalid="ignore", divide="ignore"):
            image = np.nansum(parts, axis=(1, 3)) / number
    finite = image[np.isfinite(image)]
    low, high = np.quantile(finite[:: max(1, finite.size // 50_000)], [0.001, 0.999]) if finite.size else (0.0, 1.0)
    high = max(high, low + 1e-6)
    scaled = np.clip((image - low) * (255 / (high - low)) + 0.5, 0, 255)
    return np.where(np.isfinite(image), scaled, 255).astype(np.uint8), float(low), float(high)


def steps_of(values: np.ndarray, limits: tuple[float, float] | None) -> tuple[np.ndarray, tuple[float, float]]:
    """Values as uint8 from 0 to ``STEPS`` - 1 between the limits, 255 where they are not finite, and the limits;
    without any, all but the lowest and the highest thousandth are between them."""
    finite = values[np.isfinite(values)]
    low, high = limits or (np.quantile(finite, [0.001, 0.999]) if finite.size else (0.0, 1.0))
    scaled = np.clip((values - low) / max(high - low, 1e-6), 0, 1) * (STEPS - 1)
    return np.where(np.isfinite(values), np.round(scaled), 255).astype(np.uint8), (float(low), float(high))


class PageWriter:
    """Appends one frame after the other."""

    def __init__(self, folder: Path, facts: FilmFacts, name: str = PAGE) -> None:
        self._facts, self._names = facts, {}
        layout = (*LAYOUT, *REFINED_LAYOUT) if facts.layers else LAYOUT
        self._layout = sorted(layout, key=lambda one: -int(one[1][1]))
        self._shown = {place: k for k, place in enumerate(shown_frames(len(facts.frames)))}
        self._side = SIDE_FEW if len(self._shown) <= FEW else SIDE_FILM
        self._elements = {element: k for k, element in enumerate(facts.crystal.elements)}
        self._step, self._layer_step = (
            math.ceil(max(facts.transform.box_pm) / pixel / MAP_SIDE)
            for pixel in (facts.label_pixel_pm, facts.transform.grid_pixel_pm)
        )
        self._reliable, self._title = True, f"{Path(facts.source).name}: atoms behind each pixel"
        head, self._tail = Path(__file__).with_name(TEMPLATE).read_text(encoding="utf-8").split("<!--FRAMES-->")
        self._file = (folder / name).open("w", encoding="utf-8", errors="replace", newline="\n")
        self._file.write(head.replace("<!--TITLE-->", html.escape(self._title)))

    def _write(self, place: int, content: Mapping[str, Any]) -> None:
        name = f"frame-{self._shown[place]}"
        self._file.write(f'<script type="application/json" id="{name}">{escaped_json(content)}</script>\n')

    def _columns(self, rows: Rows) -> bytes:
        names = np.array([self._names.setdefault(name, len(self._names)) for name in rows["column"]], np.int64)
        llr, q = rows["llr"].astype(float), rows["q_value"].astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            small = np.where(q > 0, np.clip(np.round(-100 * np.log10(q)), 0, 65533), 65534)
            ratio = np.clip(np.round(10 * llr), -32767, 32767)
        found = {
            "x": np.round(rows["x_px"] / self._unit),
            "y": np.round(rows["y_px"] / self._unit),
            "name": names % 65536,
            "llr": np.where(np.isnan(llr), -32768, ratio),
            "q": np.where(np.isnan(q), 65535, small),
            "name_high": names // 65536,
            "element": [self._elements[element] for element in rows["element"]],
            "depth": rows["depth"],
            "low": rows["depth_low"],
            "high": rows["depth_high"],
            "confidence": np.round(255 * rows["confidence"]),
            "flags": rows["at_least"] + 2 * rows["reliable"],
        }
        if self._facts.layers:
            found |= {f"refined{end}": rows[f"count{end}"] for end in ("", "_low", "_high")}
            found["refined_confidence"] = np.round(255 * rows["count_confidence"])
            found["chi2"] = np.round(100 * rows["chi2_pixel"])
            found["flags"] = found["flags"] + 4 * rows["extra"] + 8 * rows["missing"]
        parts = [np.asarray(found[name], float).clip(-32768, 65535).astype(f"<{kind}") for name, kind in self._layout]
        return b"".join(part.tobytes() for part in parts)

    @property
    def _unit(self) -> float:
        """Pixels of the file in a unit of ``x`` and ``y``."""
        return max(self._facts.shape) / 65535

    def put(self, place: int, result: FrameResult, rows: Rows) -> None:
        """Append the frame at ``place``, if it is one of those that are shown. ``rows`` as
        ``tables.frame_rows`` gives them."""
        self._reliable &= result.reliable
        if place not in self._shown:
            return
        grey, low, high = grey_image(result.image, self._side)
        stream = io.BytesIO()
        Image.fromarray(grey).save(stream, "JPEG", quality=JPEG_QUALITY)
        step = self._step
        valid, depth, confidence = (m[::step, ::step] for m in (result.valid, result.depth, result.confidence))
        facts = self._frame_facts(result, rows)
        facts.append(("grey scale", f"{low:.2f} to {high:.2f} (vacuum = 1)"))
        facts += result.told
        content = {
            "number": result.number,
            "lost": None,
            "reliable": result.reliable and not self._facts.stamp,
            "facts": facts,
            "image": _address("jpeg", stream.getvalue()),
            "depth_map": _map_png(np.where(valid, depth, 255)),
            "confidence_map": _map_png(np.where(valid, np.round((STEPS - 1) * np.clip(confidence, 0, 1)), 255)),
            "layer_maps": self._layer_maps(result),
            "count": len(rows["frame"]),
            "columns": base64.b64encode(self._columns(rows)).decode("ascii"),
        }
        self._write(place, content)

    def _layer_maps(self, result: FrameResult) -> dict[str, dict[str, Any]]:
        """Each layer's PNG, and the values at the ends of its colours; depths are shown as they are."""
        found, step = {}, self._layer_step
        for layer in self._facts.layers:
            values = result.layers[layer.name][::step, ::step]
            if layer.colours is None:
                ends = 0.0, self._facts.classes - 1.0
                shown = np.where(np.isfinite(values), np.clip(np.nan_to_num(values), *ends), 255)
            else:
                shown, ends = steps_of(values, layer.limits)
            found[layer.name] = {"map": _map_png(shown), "ends": [f"{end:.3g}" for end in ends]}
        return found

    def _frame_facts(self, result: FrameResult, rows: Rows) -> list[tuple[str, str]]:
        number = Counter(rows["element"])
        facts = [
            ("dose", f"{result.dose_e_per_a2:.4g} e⁻/Å²"),
            ("vacuum", f"{result.vacuum_level:.4g} e⁻ a pixel"),
            ("columns", ", ".join(f"{number[element]} {element}" for element in self._elements)),
        ]
        if len(rows["frame"]):
            last = name_of_last(self._facts.classes, self._facts.more)
            what = f"perhaps {last}" if self._facts.more else "at least"
            facts.append((what, f"{100 * float(rows['at_least'].mean()):.0f} % of the columns"))
            facts.append(("mean confidence", f"{float(rows['confidence'].mean()):.2f}"))
        facts.append(
            (
                "known to network",
                {"in": "yes", "edge": "at the edge", "outside": "no", "unknown": "not measured"}[result.familiarity],
            )
        )
        return facts

    def lose(self, place: int, number: int, reason: str) -> None:
        """A frame without values."""
        if place in self._shown:
            self._write(place, {"number": number, "lost": reason, "reliable": True, "facts": []})

    def close(self, warnings: Sequence[str]) -> None:
        """Write what holds for the film, and finish the page. ``warnings`` : those of what does not hold
        (``NOT …``) are red."""
        self._file.write(self._tail.replace("<!--FILM-->", escaped_json(self._film(warnings)), 1))
        self._file.close()

    def _film(self, warnings: Sequence[str]) -> dict[str, Any]:
        facts, pixel, total = self._facts, self._facts.pixel_pm, len(self._facts.frames)
        signs = ", ".join(f"{sign} {element}" for sign, element in zip("○△□◇", facts.crystal.elements))
        return {
            "title": self._title,
            "warnings": list(warnings),
            "reliable": self._reliable and not facts.stamp,
            "stamp": facts.stamp or NOT_RELIABLE,
            "shape": list(facts.shape),
            "pixel_pm": pixel,
            "unit_px": self._unit,
            "nearest_px": facts.crystal.nearest_column_pm / pixel,
            "label_to_px": self._to_px(self._step * facts.label_pixel_pm),
            "layers": [self._layer(layer) for layer in facts.layers],
            "classes": facts.classes,
            "more": facts.more,
            "last_class": name_of_last(facts.classes, facts.more),
            "elements": list(self._elements),
            "names": list(self._names),
            "layout": self._layout,
            "shown": len(self._shown),
            "total": total,
            "first": int(facts.frames[0]),
            "last": int(facts.frames[-1]),
            "marks": f"{signs}. {MARKS_REFINED if facts.layers else MARKS}",
            "facts": self._film_facts(),
            **_palettes(facts.classes),
        }

    def _to_px(self, side_pm: float) -> list[float]:
        """The affine map of pixels of this side on the network's grid to the file's, as a canvas takes it."""
        (a, b, c), (d, e, f) = affine_matrices(self._facts.transform)[0]  # pm of the grid to pm of the file
        return [part / self._facts.pixel_pm for part in (a * side_pm, d * side_pm, b * side_pm, e * side_pm, c, f)]

    def _layer(self, layer: Layer) -> dict[str, Any]:
        """What holds for a layer of all frames."""
        return {
            "name": layer.name,
            "title": layer.title,
            "unit": layer.unit,
            "palette": None if layer.colours is None else _listed(layer.colours, STEPS),
            "to_px": self._to_px(self._layer_step * self._facts.transform.grid_pixel_pm),
        }

    def _film_facts(self) -> list[tuple[str, str]]:
        facts, turn = self._facts, self._facts.transform
        shown, total = len(self._shown), len(facts.frames)
        frames = f"{shown} of {total}, evenly spaced" if shown < total else f"{total}"
        rows = [
            ("file", facts.source),
            ("image", facts.image),
            ("frames shown", frames),
            ("pixel", _with_error(facts.pixel_pm, facts.pixel_error_pm, "pm", facts.pixel_from)),
            ("size", " × ".join(f"{side * facts.pixel_pm / 1000:.2f}" for side in facts.shape[::-1]) + " nm"),
            (
                "turned by",
                _with_error(turn.rotation_deg, facts.rotation_error_deg, "°", "mirrored" if turn.flip else ""),
            ),
            ("energy", f"{facts.energy_kev:g} keV" if facts.energy_kev else ""),
            ("exposure", f"{facts.exposure_s:g} s a frame" if facts.exposure_s else ""),
            ("dose from", facts.dose_from),
            ("crystal", facts.crystal.title),
            ("network", str(facts.network.get("name", ""))),
            ("false columns", f"{100 * facts.false_discovery:g} % aimed at" if facts.false_discovery else ""),
        ]
        return [row for row in rows if row[1]]


def _with_error(value: float, error: float | None, unit: str, note: str) -> str:
    gap = "" if unit == "°" else " "
    return f"{with_error(value, error)}{gap}{unit}" + (f" ({note})" if note else "")


def _palettes(classes: int) -> dict[str, list[list[int]]]:
    """Colours [red, green, blue, opacity] 0 … 255 of each depth, none for 0, and of the steps of confidence."""
    return {
        "depth_palette": [[228, 228, 228, 0], *_listed("viridis", classes - 1)],
        "confidence_palette": _listed("cividis", STEPS),
    }


def _listed(name: str, number: int) -> list[list[int]]:
    """Colours of a matplotlib map from end to end."""
    from matplotlib import colormaps

    return np.round(255 * colormaps[name](np.linspace(0, 1, number))).astype(int).tolist()
