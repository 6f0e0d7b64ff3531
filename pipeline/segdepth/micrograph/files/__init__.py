"""Files of cameras and their users: frames one at a time, and what the files say about them.

RosettaSciIO, mrcfile, tifffile, h5py and NumPy know the formats. Nothing in a file is executed, no other file that it
names is opened, and sizes are checked before memory is taken.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from segdepth.config.micrograph import MICROGRAPH_SUFFIXES
from segdepth.errors import MicrographError
from segdepth.micrograph.files.recording import (
    Closing,
    FrameLost,
    Recording,
    StoredImage,
    chosen,
    first_line,
    guarded,
    recording_of,
)

__all__ = ["FrameLost", "Recording", "open_recording", "recording_of"]

READERS = {
    "numpy_files.npy": (".npy",),
    "numpy_files.npz": (".npz",),
    "tiff.tiff": (".tif", ".tiff"),
    "digital_micrograph.dm": (".dm3", ".dm4"),
    "mrc.mrc": tuple(s + z for s in (".mrc", ".mrcs", ".map", ".rec", ".st") for z in ("", ".gz", ".bz2")),
    "tia.tia": (".ser", ".emi"),
    "hdf5.emd": (".emd",),
    "hdf5.hspy": (".hspy",),
    "zspy.zspy": (".zspy",),
    "streams.mib": (".mib",),
    "streams.tvips": (".tvips",),
}
"""Module and function that read a file, by the end of its name."""


def _reader(path: Path) -> tuple[str, Callable[[Path, Closing], list[StoredImage]]]:
    """The end of a file's name, and what reads such files; the library is imported only now."""
    for reader, suffixes in READERS.items():
        for suffix in suffixes:
            if path.name.lower().endswith(suffix):
                module, function = reader.split(".")
                return suffix, getattr(import_module(f"{__name__}.{module}"), function)
    kind, allowed = path.suffix.lower() or "(none)", ", ".join(MICROGRAPH_SUFFIXES)
    raise MicrographError(f"{path}: files of kind {kind} are not read; allowed: {allowed}")


def _silence() -> None:
    """Turn the libraries' logs off: what matters is told in one line."""
    for name in ("tifffile", "rsciio", "mrcfile", "h5py", "zarr"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _some_frame(recording: Recording) -> None:
    """Read the first frame, or one further on.

    Raises
    ------
    FrameLost
        None of them can be read.
    """
    for index in dict.fromkeys((0, recording.count // 2, recording.count - 1)):
        try:
            recording.read_frame(index)
            return
        except FrameLost as failure:
            lost = failure
    raise lost


def open_recording(path: str | Path, image: str | None = None) -> Recording:
    """Open a micrograph or a film; its frames are read one at a time.

    Parameters
    ----------
    path : a file that ends in one of ``MICROGRAPH_SUFFIXES``.
    image : name, or number counted from 0, of one of several images or arrays in the file. By default the largest stack
        of real-space images, which a line of ``warnings`` names.

    Raises
    ------
    MicrographError
        The file is missing, damaged or too large, holds no counts in real space (colours, complex numbers, spectra,
        diffraction), or pixels that are not square; or the image is not in it.
    """
    path = Path(path)
    suffix, reader = _reader(path)
    if not path.exists():
        raise MicrographError(f"{path}: does not exist")
    if not path.is_file() and not (suffix == ".zspy" and path.is_dir()):
        raise MicrographError(f"{path}: is not a file")
    if path.stat().st_size == 0:
        raise MicrographError(f"{path}: is empty")
    _silence()
    closing = Closing()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            images = reader(path, closing)
            found, lines = chosen(path, images, image)
            count, *sides = (int(n) for n in found.shape)
            shape = (sides[0], sides[1])
            recording = Recording(
                source=str(path),
                shape=shape,
                count=count,
                dtype=found.dtype.newbyteorder("="),
                read_frame=guarded(found.read, str(path), count, shape),
                image=found.name if len(images) > 1 else "",
                pixel_pm=found.pixel_pm,
                exposure_s=found.exposure_s,
                energy_kev=found.energy_kev,
                times_s=found.times_s,
                warnings=lines + found.warnings,
                close=closing.close,
            )
            _some_frame(recording)
            return recording
    except FrameLost as failure:
        closing.close()
        raise MicrographError(
            f"{path}: no frame of it can be read ({str(failure).partition(' is lost: ')[2]})"
        ) from failure
    except MicrographError:
        closing.close()
        raise
    except Exception as failure:  # damaged files raise many kinds in the libraries
        closing.close()
        raise MicrographError(f"{path}: cannot be read as {suffix} ({first_line(failure)})") from failure
