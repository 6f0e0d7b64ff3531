"""TIFF through tifffile: plain, ImageJ, OME, several series, and the pixels that cameras' programs write into tags."""

from __future__ import annotations

import math
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from segdepth.errors import MicrographError
from segdepth.micrograph.files import metadata, raw
from segdepth.micrograph.files.recording import (
    MAX_FRAME_PIXELS,
    MAX_FRAMES,
    Closing,
    FrameLost,
    StoredImage,
    why_no_counts,
    why_no_frames,
)

FINEST_PM, COARSEST_PM = 0.5, 1000.0
"""Resolution tags of a plain TIFF are used between these: dots per inch of a screen or a printer are far coarser."""

FRAME_AXES = "TZIQCS"
"""Axes that may count frames; C and S only where nothing says that they are colours."""

DEFLATE = (8, 32946)
"""Compressions whose size when unpacked is checked first."""

DEFLATES_TO = 1032
"""Bytes that deflate makes of one byte at most."""


def _tags(page: Any) -> dict[int, Any]:
    return {tag.code: tag.value for tag in page.tags}


def _resolution(tags: dict[int, Any]) -> tuple[float, float]:
    """Units of length a pixel (y, x) from the tags YResolution and XResolution."""
    y, x = tags.get(283, (0, 1)), tags.get(282, (0, 1))
    return tuple(metadata.positive(b) / metadata.positive(a) if metadata.positive(a) else 0.0 for a, b in (y, x))


def _imagej(tif: Any, tags: dict[int, Any], count: int) -> dict[str, Any]:
    said = tif.imagej_metadata or {}
    unit = said.get("unit", "")
    known = metadata.plain_unit(unit) not in ("", "pixel", "inch")
    found: dict[str, Any] = {"sides": (*_resolution(tags), unit, said.get("yunit", unit)) if known else None}
    step = metadata.seconds(said.get("finterval"), said.get("tunit", "s"))
    return found | {"times_s": metadata.times(count, step)}


def _ome(tif: Any, number: int, count: int) -> dict[str, Any]:
    """What OME's XML says of an image: sides (default µm), time between frames, exposure."""
    import tifffile

    images = tifffile.xml2dict(tif.ome_metadata or "").get("OME", {}).get("Image", [])
    images = images if isinstance(images, list) else [images]
    pixels = images[number].get("Pixels", {}) if number < len(images) else {}
    found: dict[str, Any] = {"name": str(images[number].get("Name", ""))} if number < len(images) else {}
    if "PhysicalSizeX" in pixels:
        y, x = pixels.get("PhysicalSizeY", pixels["PhysicalSizeX"]), pixels["PhysicalSizeX"]
        units = (pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "YX")
        found["sides"] = (y, x, *units)
    step = metadata.seconds(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"))
    found["times_s"] = metadata.times(count, step)
    planes = pixels.get("Plane", [])
    plane = planes[0] if isinstance(planes, list) and planes else planes
    if isinstance(plane, dict):
        unit = plane.get("ExposureTimeUnit", "s")
        found["exposure_s"] = metadata.seconds(plane.get("ExposureTime"), unit)
    return found


def _plain(page: Any, tags: dict[int, Any]) -> dict[str, Any]:
    """Sides from the tags of DigitalMicrograph (65003…), Olympus (33560), TVIPS (37706) and of resolution."""
    if 65009 in tags and 65010 in tags:
        return {"sides": (tags[65010], tags[65009], tags.get(65004, ""), tags.get(65003, ""))}
    own = next((tags[code] for code in (33560, 33471) if isinstance(tags.get(code), dict)), {})
    if "pixelsizex" in own and "pixelsizey" in own:
        return {"sides": (own["pixelsizey"], own["pixelsizex"], "m", "m")}
    camera = tags.get(37706)
    if isinstance(camera, dict) and metadata.positive(camera.get("PixelSizeX")):
        said = {"sides": (camera.get("PixelSizeY"), camera["PixelSizeX"], "nm", "nm")}
        return said | {
            "exposure_s": metadata.seconds(camera.get("ExposureTime"), "ms"),
            "energy_kev": metadata.energy_kev(camera.get("TemHighTension") or camera.get("HighTension")),
        }
    unit = {2: 2.54e10, 3: 1e10}.get(int(tags.get(296, 2) or 2), 0.0)
    sides = [side * unit for side in _resolution(tags)]
    sensible = all(FINEST_PM <= side < COARSEST_PM for side in sides)
    return {"sides": (*sides, "pm", "pm")} if sensible else {}


def _described(tif: Any, series: Any, number: int, count: int) -> dict[str, Any]:
    """Fields of ``StoredImage`` from the file's metadata. Damaged metadata are as none."""
    page = series.keyframe
    try:
        tags = _tags(page)
        if series.kind == "ome":
            found = _ome(tif, number, count)
        elif tif.is_imagej:
            found = _imagej(tif, tags, count)
        else:
            found = _plain(page, tags)
        pixel_pm, refusal, line = metadata.pixel(*sides) if (sides := found.pop("sides", None)) else (None, "", "")
    except Exception:
        return {"warnings": ("the file's metadata are damaged and not used",)}
    return found | {"pixel_pm": pixel_pm, "refusal": refusal, "warnings": (line,) if line else ()}


def _refusal(series: Any) -> tuple[str, tuple[str, ...]]:
    """Why a series is no film, and a line where planes that are marked as colours are taken for frames."""
    page, axes, shape = series.keyframe, series.axes, tuple(int(n) for n in series.shape)
    long = [(a, n) for a, n in zip(axes, shape) if n > 1 or a in "YX"]
    colours = f"colours (axes {axes}, shape {shape}), not counts"
    line: tuple[str, ...] = ()
    if int(page.photometric) in (3, 6) or axes.endswith("S") and dict(long).get("S", 1) > 1:
        return colours, ()
    if wrong := why_no_counts(np.dtype(series.dtype)):
        return wrong, ()
    before = "".join(a for a, _ in long if a not in "YX")
    if not axes.replace("S", "").endswith("YX") and not axes.endswith("YX"):
        return f"data with the axes {axes}, not an image", ()
    if before == "C" and series.kind in ("ome", "imagej"):
        return colours, ()
    if len(before) > 1 or before.strip(FRAME_AXES):
        return f"an array of {len(before) + 2} axes {before}YX {shape}; allowed: (y, x) or a film (frame, y, x)", ()
    if before == "S" and not page.is_shaped:
        line = ("planes that the file marks as colours are taken for frames",)
    return why_no_frames(tuple(n for _, n in long)), line


def _check_bomb(tif: Any, page: Any, size: int) -> None:
    """Refuse a deflated piece that unpacks to more than ``size`` bytes, before memory is taken for it."""
    if int(page.compression) not in DEFLATE:
        return
    for offset, length in zip(page.dataoffsets, page.databytecounts):
        if length * DEFLATES_TO <= 2**26:
            continue
        tif.filehandle.seek(offset)
        unpacker = zlib.decompressobj()
        unpacker.decompress(tif.filehandle.read(length), size)
        if not unpacker.eof and unpacker.decompress(unpacker.unconsumed_tail, 1):
            raise FrameLost(f"a packed piece unpacks to more than {size} bytes")


def _by_page(tif: Any, pages: list[Any], per_page: int, shape: tuple[int, int]):
    """Frames that are decoded page by page; a page may hold several."""
    lock = threading.Lock()

    def read(index: int) -> np.ndarray:
        page = pages[index // per_page]
        if page is None:
            raise FrameLost("it is not in the file")
        if any(o + n > tif.filehandle.size for o, n in zip(page.dataoffsets, page.databytecounts)):
            raise FrameLost("the file ends before it is complete")
        key = page.keyframe
        if len(page.dataoffsets) < math.prod(key.chunked):
            raise FrameLost("pieces of it are missing")
        size = per_page * math.prod(shape) * np.dtype(key.dtype).itemsize + 2**16
        with lock:
            _check_bomb(tif, page, size)
            pixels = page.asarray(maxworkers=1)
        return pixels.reshape(per_page, *shape)[index % per_page]

    return read


def _film(path: Path, tif: Any, series: Any, pages: list[Any], count: int, shape, closing: Closing):
    """Reader of a film's frames: by place where they lie uncompressed, else page by page; and lines for the user."""
    key = series.keyframe
    dtype = np.dtype(series.dtype).newbyteorder(tif.byteorder)
    size = raw.frame_bytes(dtype, shape)
    if not key.is_contiguous or not key.is_final or np.dtype(series.dtype) != key.dtype:
        if count % len(pages) or count // len(pages) > max(4, MAX_FRAME_PIXELS // math.prod(shape)):
            raise MicrographError(f"{path}: {len(pages)} pages do not hold {count} frames")
        return _by_page(tif, pages, count // len(pages), shape), ()
    if len(pages) == count:
        starts = np.array([p.dataoffsets[0] if p is not None and p.dataoffsets else -1 for p in pages], np.int64)
    elif series.dataoffset is not None or len(pages) == 1:
        starts = np.int64(series.dataoffset or key.dataoffsets[0]) + size * np.arange(count, dtype=np.int64)
    else:
        return _by_page(tif, pages, max(1, count // len(pages)), shape), ()
    whole = int(((starts >= 0) & (starts + size <= tif.filehandle.size)).sum())
    if whole == 0:
        raise MicrographError(
            f"{path}: is cut off: its {tif.filehandle.size} bytes hold no whole frame of {size} bytes"
        )
    lost = (f"the file is cut off: it promises {count} frames, {whole} are there; the others are lost",)
    return raw.frames_at(path, starts, dtype, shape, closing), lost if whole < count else ()


def _promised(tif: Any) -> int:
    """Frames that ImageJ's description promises behind the only page; tifffile takes one where the file is cut off."""
    said = tif.imagej_metadata or {} if tif.is_imagej else {}
    return min(int(said.get("images", 1)), MAX_FRAMES) if int(said.get("channels", 1)) == 1 else 1


def _joined(all_series: list[Any]) -> list[list[Any]]:
    """Series; single frames of one size and type that were written one by one are one film."""
    groups: list[list[Any]] = []
    for series in all_series:
        alone = series.axes == "YX" and series.kind in ("shaped", "generic", "uniform")
        last = groups[-1][-1] if groups else None
        same = last is not None and (last.axes, last.shape, last.dtype) == ("YX", series.shape, series.dtype)
        if alone and same and last.kind == series.kind and last.keyframe.compression == series.keyframe.compression:
            groups[-1].append(series)
        else:
            groups.append([series])
    return groups


def _check_pages(path: Path, tif: Any) -> None:
    """Refuse pages that follow each other in a circle, which tifffile would follow for ever."""
    layout, file = tif.tiff, tif.filehandle
    file.seek(8 if layout.is_bigtiff else 4)
    seen: set[int] = set()
    while len(place := file.read(layout.offsetsize)) == layout.offsetsize:
        (offset,) = struct.unpack(layout.offsetformat, place)
        if offset == 0 or offset >= file.size:
            return
        if offset in seen or len(seen) > MAX_FRAMES:
            raise MicrographError(f"{path}: is damaged: its pages follow each other without an end")
        seen.add(offset)
        file.seek(offset)
        count = file.read(layout.tagnosize)
        if len(count) < layout.tagnosize:
            return
        file.seek(offset + layout.tagnosize + struct.unpack(layout.tagnoformat, count)[0] * layout.tagsize)


def tiff(path: Path, closing: Closing) -> list[StoredImage]:
    """The series of a TIFF file. Colours are marked as such; the pages of a film are read one at a time."""
    import tifffile

    tif = closing.add(tifffile.TiffFile(path, _multifile=False))
    _check_pages(path, tif)
    images = []
    for number, group in enumerate(_joined(list(tif.series))):
        series = group[0]
        name = series.name or f"series {number}"
        refusal, lines = _refusal(series)
        if refusal:
            images.append(StoredImage(name, refusal=refusal))
            continue
        shape = (int(series.shape[series.axes.index("Y")]), int(series.shape[series.axes.index("X")]))
        count = len(group) if len(group) > 1 else math.prod(int(n) for n in series.shape) // math.prod(shape)
        pages = [one.keyframe for one in group] if len(group) > 1 else list(series.pages)
        count = max(count, _promised(tif)) if len(pages) == len(tif.series) == 1 else count
        found = _described(tif, series, number, count)
        lines += found.pop("warnings")
        name = found.pop("name", "") or name
        if found.get("refusal"):
            images.append(StoredImage(name, refusal=found["refusal"]))
            continue
        read, more = _film(path, tif, series, pages, count, shape, closing)
        dtype = np.dtype(series.dtype)
        images.append(StoredImage(name, (count, *shape), dtype, read, warnings=lines + more, **found))
    return images
