"""HDF5 files: Velox' and NCEM's ``.emd``, HyperSpy's ``.hspy``. RosettaSciIO reads the metadata, h5py the frames.

Links and storage outside the file are refused before anything is read.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from segdepth.errors import MicrographError
from segdepth.micrograph.files import metadata
from segdepth.micrograph.files.recording import Closing, FrameLost, StoredImage
from segdepth.micrograph.files.signals import LARGEST_CHUNK, acquisition, signal_image

CACHE_BYTES = 2**26
"""Unpacked pieces that h5py keeps of one array: enough for a piece that holds several frames."""

MOST_OBJECTS, MOST_CHUNKS, MOST_BESIDE = 10**5, 10**7, 2**27
"""Groups and arrays of a file, pieces of an array, bytes beside the images (metadata are read as a whole)."""


def _check_dataset(path: Path, name: str, dataset: Any) -> int:
    """Refuse an array that lies in other files or has too many pieces; its bytes where it is not an image's."""
    plan = dataset.id.get_create_plist()
    if dataset.external or dataset.is_virtual or plan.get_external_count():
        raise MicrographError(f"{path}: {name} lies in another file; only the file itself is read")
    if dataset.chunks:
        pieces = math.prod(-(-int(n) // int(c)) for n, c in zip(dataset.shape, dataset.chunks))
        if pieces > MOST_CHUNKS:
            raise MicrographError(f"{path}: {name} has {pieces} pieces; allowed are {MOST_CHUNKS}")
    size = math.prod(int(n) for n in dataset.shape or ()) * dataset.dtype.itemsize
    return 0 if os.path.basename(name).lower().startswith("data") else size


def _checked(path: Path, file: Any) -> list[tuple[str, Any]]:
    """All arrays of a file, after its links are found to stay in it.

    Raises
    ------
    MicrographError
        A link or an array leads to another file, or there is too much in it.
    """
    import h5py

    found, beside, seen = [], 0, set()
    groups = [("", file)]
    objects = 0
    while groups:
        prefix, group = groups.pop()
        for name in group:
            objects += 1
            if objects > MOST_OBJECTS:
                raise MicrographError(f"{path}: holds more than {MOST_OBJECTS} groups and arrays")
            full = f"{prefix}/{name}"
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise MicrographError(f"{path}: {full} is a link to another file; only the file itself is read")
            if isinstance(link, h5py.SoftLink):
                continue  # what it names in this file is visited by its own name
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                groups.append((full, item))
            elif isinstance(item, h5py.Dataset):
                found.append((full, item))
                beside += _check_dataset(path, full, item)
                if beside > MOST_BESIDE:
                    raise MicrographError(f"{path}: holds {beside} bytes beside its images; allowed are {MOST_BESIDE}")
    return found


def _open(path: Path, closing: Closing) -> tuple[Any, list[tuple[str, Any]]]:
    import h5py

    file = closing.add(h5py.File(path, "r", rdcc_nbytes=CACHE_BYTES, rdcc_nslots=10007))
    return file, _checked(path, file)


def _taker(dataset: Any):
    """Values of an array; a piece that is stored with more bytes than it can need is not unpacked."""
    most = LARGEST_CHUNK if not dataset.chunks else 2 * math.prod(dataset.chunks) * dataset.dtype.itemsize + 4096

    def take(where: tuple) -> np.ndarray:
        if dataset.chunks:
            first = tuple(0 if isinstance(w, slice) else int(w) // c * c for w, c in zip(where, dataset.chunks))
            if dataset.id.get_chunk_info_by_coord(first).size > most:
                raise FrameLost("a packed piece is larger than what it holds")
        return dataset[where]

    return take


def _of_signal(dataset: Any, signal: dict[str, Any], order: tuple[int, ...], name: str, said: dict, diffraction=False):
    """An image of RosettaSciIO's signal whose axes are ``order`` of the array's."""
    axes: list[Any] = [None] * dataset.ndim
    for place, axis in zip(order, signal["axes"]):
        axes[place] = axis
    taker = _taker(dataset)
    return signal_image(name, dataset.shape, dataset.dtype, axes, dataset.chunks, taker, said, diffraction)


def _velox(path: Path, file: Any) -> list[StoredImage]:
    from rsciio.emd._emd_velox import FeiEMDReader

    stored = list(file["Data/Image"]) if "Data/Image" in file else []
    if not stored:
        raise MicrographError(f"{path}: holds spectra, not images")
    reader = FeiEMDReader(lazy=True, select_type="images")
    reader.read_file(file)
    images = []
    for number, (key, signal) in enumerate(zip(stored, reader.dictionaries)):
        dataset, told = file["Data/Image"][key]["Data"], signal["original_metadata"]
        name = str(signal["metadata"]["General"].get("title") or "") or f"image {number}"
        detectors = told.get("Detectors") or {}
        detector = detectors.get(f"Detector-{(told.get('BinaryResult') or {}).get('DetectorIndex', '')}") or {}
        exposure = detector.get("ExposureTime") or (told.get("Scan") or {}).get("FrameTime")
        energy = (told.get("Optics") or {}).get("AccelerationVoltage")
        said = {"exposure_s": metadata.positive(exposure), "energy_kev": metadata.energy_kev(energy)}
        axes = [axis | {"size": int(axis["size"])} for axis in signal["axes"]]
        order = (2, 0, 1) if len(axes) == 3 else (0, 1)
        if len(axes) == 2:
            axes.append({"size": dataset.shape[2], "navigate": True})
            order = (0, 1, 2)
        images.append(_of_signal(dataset, {"axes": axes}, order, name, said))
    return images


def _ncem_order(dataset: Any, file: Any) -> tuple[int, ...]:
    """Axes of RosettaSciIO's signal as places of the array: reversed, but where the dimensions are counted from 0."""
    forward = "dim0" in dataset.parent or os.path.basename(dataset.name) == "datacube"
    return tuple(range(dataset.ndim)) if forward else tuple(range(dataset.ndim))[::-1]


def _ncem(path: Path, file: Any, datasets: list[tuple[str, Any]]) -> list[StoredImage]:
    from rsciio.emd._emd_ncem import EMD_NCEM

    names = ("data", "datacube", "counted_datacube", "realslice", "diffractionslice")
    fitting = [
        (name, d) for name, d in datasets
        if os.path.basename(name).startswith(names) and d.parent.attrs.get("emd_group_type", False)
    ]  # fmt: skip
    images = []
    for name, dataset in fitting:
        said = dict(file["microscope"].attrs) if "microscope" in file else {}
        energy = next((said[k] for k in ("voltage", "beam_energy", "accelerating_voltage") if k in said), 0)
        reader = EMD_NCEM()
        reader.read_file(file, lazy=True, dataset_path=[name.lstrip("/")], stack_group=False)
        [signal] = reader.dictionaries
        title = os.path.basename(os.path.dirname(name)) or name
        order, told = _ncem_order(dataset, file), {"exposure_s": None, "energy_kev": metadata.energy_kev(energy)}
        diffraction = os.path.basename(name).startswith("diffraction")
        frames = [axis | {"navigate": True} if _is_time(axis) else axis for axis in signal["axes"]]
        images.append(_of_signal(dataset, {"axes": frames}, order, title, told, diffraction))
    return images


def _is_time(axis: dict[str, Any]) -> bool:
    return metadata.plain_unit(axis.get("units")) in metadata.SECONDS


def emd(path: Path, closing: Closing) -> list[StoredImage]:
    """The images of an ``.emd`` file of Velox or of NCEM."""
    file, datasets = _open(path, closing)
    return _velox(path, file) if "Version" in file and "Data" in file else _ncem(path, file, datasets)


def hspy(path: Path, closing: Closing) -> list[StoredImage]:
    """The signals of a HyperSpy file."""
    from rsciio.hspy._api import HyperspyReader

    file, _ = _open(path, closing)
    return hyperspy_images(file, HyperspyReader(file).read(lazy=True), _taker)


def hyperspy_images(file: Any, signals: list[dict[str, Any]], taker: Any) -> list[StoredImage]:
    """The signals of HyperSpy's layout, in HDF5 or Zarr; ``taker`` makes a function that reads of an array."""
    held = (file["Experiments"][name] for name in file["Experiments"])
    groups = [group for group in held if hasattr(group, "keys") and "data" in group]
    images = []
    for number, (group, signal) in enumerate(zip(groups, signals)):
        told, array = signal["metadata"], group["data"]
        name = str(told.get("General", {}).get("title") or "") or f"signal {number}"
        kind = str(told.get("Signal", {}).get("signal_type") or "")
        images.append(
            signal_image(
                name,
                array.shape,
                array.dtype,
                signal["axes"],
                array.chunks,
                taker(array),
                acquisition(told),
                "diffraction" in kind,
            )  # fmt: skip
        )
    return images
