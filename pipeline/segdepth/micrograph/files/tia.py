"""TIA's ``.ser`` with the ``.emi`` beside it, through RosettaSciIO's description of their headers. RosettaSciIO itself
reads all frames of a ``.ser`` at once; here each is read from its place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from segdepth.errors import MicrographError
from segdepth.micrograph.files import metadata, raw
from segdepth.micrograph.files.recording import MAX_FRAMES, Closing, StoredImage, why_no_frames

SPECTRA = 16672
"""``DataTypeID`` of a series of spectra."""

LARGEST_HEADER = 2**20
LARGEST_EMI = 2**28


def _object(path: Path, number: int) -> Any:
    """What an ``.emi`` says of its ``number``-th ``.ser``, counted from 0; None where it says nothing."""
    from rsciio.tia._api import convert_xml_to_dict, get_xml_info_from_emi

    if not path.is_file() or path.stat().st_size > LARGEST_EMI:
        return None
    try:
        objects = get_xml_info_from_emi(path)
        return convert_xml_to_dict(objects[min(number, len(objects) - 1)]).ObjectInfo if objects else None
    except Exception:  # damaged: the .ser can be read without it
        return None


def _acquisition(said: Any) -> dict[str, float | None]:
    if said is None:
        return {}
    energy = said.get("ExperimentalConditions.MicroscopeConditions.AcceleratingVoltage")
    energy = energy or said.get("ExperimentalDescription.High tension_kV")
    exposure = said.get("AcquireInfo.IntegrationTime") or said.get("ExperimentalDescription.Integration time_s")
    exposure = exposure or said.get("AcquireInfo.DwellTimePath")
    return {"energy_kev": metadata.energy_kev(energy), "exposure_s": metadata.positive(exposure)}


def _unit(said: Any, header: np.ndarray) -> str:
    """Metres, or one over metres where the ``.emi`` says that a camera took diffraction."""
    from rsciio.tia._api import DTBox, _guess_units_from_mode

    return "m" if said is None else _guess_units_from_mode(DTBox({"ObjectInfo": said}, box_dots=True), header)


def _ser(path: Path, name: str, said: Any, closing: Closing) -> StoredImage:
    from rsciio.tia._api import get_data_dtype_list, get_header_dtype_list

    with path.open("rb") as stream:
        dtype = np.dtype(get_header_dtype_list(stream))
        if dtype.itemsize > min(LARGEST_HEADER, path.stat().st_size):
            raise MicrographError(f"{path}: is damaged: its header would have {dtype.itemsize} bytes")
        header = np.fromfile(stream, dtype, 1)
        if int(header["ByteOrder"][0]) != 0x4949 or int(header["SeriesID"][0]) != 0x0197:
            raise MicrographError(f"{path}: is no .ser file")
        if int(header["DataTypeID"][0]) == SPECTRA:
            return StoredImage(name, refusal="spectra, not images")
        count = int(header["ValidNumberElements"][0])
        if not 0 < count <= MAX_FRAMES:
            raise MicrographError(f"{path}: says that it holds {count} valid images")
        stream.seek(int(header["OffsetArrayOffset"][0]))
        starts = np.fromfile(stream, "<u4" if int(header["SeriesVersion"][0]) <= 528 else "<u8", count)
        if len(starts) < count:
            raise MicrographError(f"{path}: is cut off in its table of images")
        fields, (x, y) = get_data_dtype_list(stream, int(starts[0]), "image")
        if refusal := why_no_frames((y, x)):
            return StoredImage(name, refusal=refusal)
        stream.seek(int(starts[0]))
        before = np.dtype(fields[:-1])
        element = np.fromfile(stream, before, 1)[0]
    dtype = np.dtype(fields[-1][1][0])
    if dtype.kind == "c":
        return StoredImage(name, refusal="complex numbers (a Fourier transform), not counts")
    unit = _unit(said, header)
    pixel_pm, refusal, line = metadata.pixel(element["CalibrationDeltaY"], element["CalibrationDeltaX"], unit, unit)
    if refusal:
        return StoredImage(name, refusal=refusal)
    places = starts.astype(np.int64) + before.itemsize
    size, shape = raw.frame_bytes(dtype, (y, x)), (int(y), int(x))
    whole = int((places + size <= path.stat().st_size).sum())
    if whole == 0:
        raise MicrographError(f"{path}: is cut off: none of its {count} images is whole")
    warnings = (line,) if line else ()
    if whole < count:
        warnings += (f"the file is cut off: it promises {count} frames, {whole} are there; the others are lost",)
    frames = raw.frames_at(path, places, dtype, shape, closing)

    def read(index: int) -> np.ndarray:
        return frames(index)[::-1]  # TIA stores the lowest row first

    return StoredImage(
        name, (count, *shape), dtype, read, pixel_pm=pixel_pm, warnings=warnings, **_acquisition(said)
    )  # fmt: skip


def tia(path: Path, closing: Closing) -> list[StoredImage]:
    """The images of a ``.ser``, or of all ``.ser`` files of an ``.emi``."""
    if path.suffix.lower() == ".ser":
        match = re.fullmatch(r"(.*)_(\d+)", path.stem)
        emi = path.with_name(f"{match[1]}.emi") if match else path.with_suffix(".emi")
        return [_ser(path, path.stem, _object(emi, int(match[2]) - 1 if match else 0), closing)]
    stem = re.escape(path.stem)
    files = sorted(f for f in path.parent.iterdir() if re.fullmatch(rf"{stem}_\d+\.ser", f.name, re.IGNORECASE))
    if not files:
        raise MicrographError(f"{path}: holds no images; they lie in {path.stem}_1.ser, which is not beside it")
    numbers = [int(f.stem.rsplit("_", 1)[1]) for f in files]
    return [_ser(f, f.stem, _object(path, n - 1), closing) for n, f in zip(numbers, files)]
