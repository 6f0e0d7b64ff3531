"""Small files in the formats of microscopes and cameras, by the formats' libraries, or from here where none writes."""

from __future__ import annotations

import bz2
import gzip
import json
import shutil
import struct
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import tifffile
import zarr


def signal(film: np.ndarray, pixel: float, unit: str, step_s: float | None = None, title: str = "") -> dict:
    """A film as RosettaSciIO's writers take it."""
    names = (["time"] if film.ndim == 3 else []) + ["y", "x"]
    scales = ([step_s or 1.0] if film.ndim == 3 else []) + [pixel, pixel]
    units = (["s" if step_s else ""] if film.ndim == 3 else []) + [unit, unit]
    axes = [
        {"name": n, "scale": s, "offset": 0.0, "units": u, "size": size, "index_in_array": i, "navigate": n == "time"}
        | {"_type": "UniformDataAxis"}
        for i, (n, s, u, size) in enumerate(zip(names, scales, units, film.shape))
    ]
    metadata = {
        "General": {"title": title},
        "Signal": {"signal_type": ""},
        "Acquisition_instrument": {"TEM": {"beam_energy": 300.0, "Camera": {"exposure": 0.25}}},
    }
    return {
        "data": film,
        "axes": axes,
        "metadata": metadata,
        "original_metadata": {},
        "attributes": {"_lazy": False},
        "package": "",
        "package_version": "",
        "learning_results": {},
        "models": {},
        "tmp_parameters": {},
        "package_info": {"package": "", "package_version": ""},
    }


def write_npy(path: Path, film: np.ndarray) -> None:
    np.save(path, film)


def write_npz(path: Path, film: np.ndarray) -> None:
    np.savez(path, film=film)


def write_packed_npz(path: Path, film: np.ndarray) -> None:
    np.savez_compressed(path, film=film)


def write_mrc(path: Path, film: np.ndarray, pixel_pm: float = 8.0) -> None:
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(film)
        file.set_image_stack() if film.ndim == 3 else None
        file.voxel_size = pixel_pm / 100


def packed_mrc(path: Path, film: np.ndarray) -> None:
    plain = path.with_name("plain.mrc")
    write_mrc(plain, film)
    pack = gzip.compress if path.suffix == ".gz" else bz2.compress
    path.write_bytes(pack(plain.read_bytes()))
    plain.unlink()


def nibbles(film: np.ndarray) -> bytes:
    """Counts up to 15 as MRC's mode 101: the first of a pair in the lower half of a byte, rows filled up."""
    even = np.pad(film, ((0, 0), (0, 0), (0, film.shape[2] % 2)))
    return (even[..., ::2] | even[..., 1::2] << 4).astype(np.uint8).tobytes()


def mrc_bytes(film: np.ndarray, mode: int, order: str = "<", stamp: tuple[int, int] = (0, 0), **fields) -> bytes:
    """An MRC file of any mode and byte order. stamp : IMOD's stamp and flags."""
    header = np.zeros((), mrcfile.dtypes.HEADER_DTYPE.newbyteorder(order))
    header["nz"], header["ny"], header["nx"] = header["mz"], header["my"], header["mx"] = film.shape
    header["mode"], header["map"] = mode, b"MAP "
    header["machst"] = (0x44, 0x44, 0, 0) if order == "<" else (0x11, 0x11, 0, 0)
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    header["cella"] = tuple(0.08 * n for n in film.shape[::-1])
    for name, value in fields.items():
        header[name] = value
    raw = bytearray(header.tobytes())
    raw[152:160] = struct.pack(f"{order}2i", *stamp)
    kinds = {0: "i1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 12: "f2"}
    return bytes(raw) + (
        nibbles(film) if mode == 101 else film.astype(np.dtype(kinds[mode]).newbyteorder(order)).tobytes()
    )


def write_tif(path: Path, film: np.ndarray) -> None:
    tifffile.imwrite(
        path, film, photometric="minisblack", metadata=None, resolution=(1e10 / 8, 1e10 / 8), resolutionunit=3
    )


def write_shaped_tif(path: Path, film: np.ndarray) -> None:
    tifffile.imwrite(path, film)


def write_packed_tif(path: Path, film: np.ndarray) -> None:
    tifffile.imwrite(path, film, photometric="minisblack", compression="zlib", metadata=None)


def write_frame_by_frame_tif(path: Path, film: np.ndarray) -> None:
    with tifffile.TiffWriter(path) as writer:
        for frame in film:
            writer.write(frame, contiguous=False)


def write_imagej_tif(path: Path, film: np.ndarray, unit: str = "nm", per_pixel: float = 0.008) -> None:
    told = {"axes": "TYX", "unit": unit, "finterval": 0.5} if film.ndim == 3 else {"axes": "YX", "unit": unit}
    tifffile.imwrite(path, film, imagej=True, resolution=(1 / per_pixel, 1 / per_pixel), metadata=told)


def write_ome_tif(path: Path, film: np.ndarray, unit: str = "pm", side: float = 8.0) -> None:
    told = {"axes": "TYX" if film.ndim == 3 else "YX", "TimeIncrement": 0.5, "TimeIncrementUnit": "s"}
    told |= {f"PhysicalSize{axis}{key}": value for axis in "XY" for key, value in (("", side), ("Unit", unit))}
    tifffile.imwrite(path, film, ome=True, metadata=told, photometric="minisblack")


def write_hspy(path: Path, film: np.ndarray) -> None:
    from rsciio.hspy import file_writer

    file_writer(str(path), signal(film, 0.008, "nm", 0.5))


def write_zspy(path: Path, film: np.ndarray, zip_archive: bool = False) -> None:
    """HyperSpy's layout; RosettaSciIO's own writer needs Zarr 2."""
    told = signal(film, 0.008, "nm", 0.5)
    file = zarr.open_group(str(path), mode="w", zarr_format=2)
    file.attrs.update({"file_format": "ZSpy", "file_format_version": "3.3"})
    group = file.require_group("Experiments/__unnamed__")
    array = group.create_array(
        "data", shape=film.shape, chunks=(1,) * (film.ndim - 2) + film.shape[-2:], dtype=film.dtype
    )
    array[:] = film
    for number, axis in enumerate(told["axes"]):
        group.create_group(f"axis-{number}").attrs.update(axis)
    for name in ("metadata", "original_metadata"):
        put_tree(group.create_group(name), told[name])
    if zip_archive:
        packed = shutil.make_archive(str(path), "zip", path)
        shutil.rmtree(path)
        Path(packed).rename(path)


def put_tree(group, tree: dict) -> None:
    for name, value in tree.items():
        if isinstance(value, dict):
            put_tree(group.create_group(name), value)
        else:
            group.attrs[name] = value


def write_ncem_emd(path: Path, film: np.ndarray) -> None:
    from rsciio.emd import file_writer

    file_writer(str(path), signal(film, 0.008, "nm", 0.5, "film"))


def write_velox_emd(path: Path, film: np.ndarray, pixel_m: float = 8e-12) -> None:
    """A film of one camera in Velox' layout: (y, x, frame), metadata as JSON in columns of bytes."""
    told = {
        "BinaryResult": {
            "PixelSize": {"width": str(pixel_m), "height": str(pixel_m)},
            "Offset": {"x": "0", "y": "0"},
            "PixelUnitX": "m",
            "PixelUnitY": "m",
            "DetectorIndex": "0",
        },
        "Detectors": {"Detector-0": {"DetectorName": "Camera", "ExposureTime": "0.5"}},
        "Optics": {"AccelerationVoltage": "300000"},
        "Scan": {},
        "Core": {},
        "Instrument": {},
        "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1500000000"}},
        "Stage": {"AlphaTilt": "0", "BetaTilt": "0", "Position": {"x": "0", "y": "0", "z": "0"}},
    }
    film = film if film.ndim == 3 else film[None]
    text = np.frombuffer(json.dumps(told).encode().ljust(4000, b"\0"), np.uint8)
    with h5py.File(path, "w") as file:
        file["Version"] = np.array([json.dumps({"format": "Velox", "version": "1.0"}).encode()], dtype="S100")
        group = file.create_group("Data/Image/0123456789abcdef")
        group["Metadata"] = np.repeat(text[:, None], len(film), axis=1)
        group.create_dataset("Data", data=np.moveaxis(film, 0, 2), chunks=(*film.shape[1:], 1))


DM_TYPES = {"int16": (1, 2), "float32": (2, 6), "uint8": (6, 10), "int32": (7, 3), "uint16": (10, 4)}
"""DigitalMicrograph's code of an image's type, and of its numbers in a tag."""


class DmWriter:
    """DigitalMicrograph's tags, little-endian numbers. version : 3 or 4."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.word = ">q" if version == 4 else ">i"

    def _w(self, value: int) -> bytes:
        return struct.pack(self.word, value)

    def group(self, tags: dict) -> bytes:
        body = b"".join(self.tag(name, value) for name, value in tags.items())
        return b"\0\1" + self._w(len(tags)) + body

    def tag(self, name: str, value) -> bytes:
        text = ("" if name.startswith("#") else name).encode("latin-1")
        head = struct.pack(">bH", 20 if isinstance(value, dict) else 21, len(text)) + text
        body = self.group(value) if isinstance(value, dict) else self.value(value)
        return head + (self._w(len(body)) if self.version == 4 else b"") + body

    def value(self, value) -> bytes:
        if isinstance(value, np.ndarray):
            code = DM_TYPES[value.dtype.name][1]
            return b"%%%%" + b"".join(map(self._w, (3, 20, code, value.size))) + value.tobytes()
        if isinstance(value, str):
            data = value.encode("utf-16-le")
            return b"%%%%" + b"".join(map(self._w, (3, 20, 4, len(value)))) + data
        if isinstance(value, float):
            return b"%%%%" + b"".join(map(self._w, (1, 7))) + struct.pack("<d", value)
        return b"%%%%" + b"".join(map(self._w, (1, 5))) + struct.pack("<I", value)


def dm_image(film: np.ndarray, units: tuple[str, ...], scales: tuple[float, ...], name: str = "film") -> dict:
    """Tags of one image; units and scales of x, y, frame."""
    calibrations = {f"#{i}": {"Origin": 0.0, "Scale": s, "Units": u} for i, (s, u) in enumerate(zip(scales, units))}
    return {
        "ImageData": {
            "Calibrations": {
                "Brightness": {"Origin": 0.0, "Scale": 1.0, "Units": ""},
                "Dimension": calibrations,
            },
            "Data": film.ravel(),
            "DataType": DM_TYPES[film.dtype.name][0],
            "Dimensions": {f"#{i}": n for i, n in enumerate(film.shape[::-1])},
            "PixelDepth": film.dtype.itemsize,
        },
        "ImageTags": {"DataBar": {"Exposure Time (s)": 0.25}, "Microscope Info": {"Voltage": 300000.0}},
        "Name": name,
    }


def dm_bytes(version: int, *images: dict) -> bytes:
    writer = DmWriter(version)
    body = writer.group({"ImageList": {f"#{i}": image for i, image in enumerate(images)}})
    size = struct.pack(">q" if version == 4 else ">i", len(body))
    return struct.pack(">i", version) + size + struct.pack(">i", 1) + body + bytes(8)


def write_dm(path: Path, film: np.ndarray) -> None:
    units, scales = ("nm", "nm", "s")[: film.ndim], (0.008, 0.008, 0.5)[: film.ndim]
    path.write_bytes(dm_bytes(int(path.suffix[-1]), dm_image(film, units, scales)))


SER_TYPES = {"uint8": 1, "uint16": 2, "int32": 6, "float32": 7}


def write_ser(path: Path, film: np.ndarray, pixel_m: float = 8e-12) -> None:
    """A series of images as TIA writes it, lowest row first."""
    film = film if film.ndim == 3 else film[None]
    count, height, width = film.shape
    dimension = struct.pack("<IddII", count, 0.0, 1.0, 0, 6) + b"Number" + struct.pack("<I", 0)
    head = struct.pack("<HHHIIII", 0x4949, 0x0197, 0x0220, 16674, 16722, count, count)
    table = len(head) + 8 + 4 + len(dimension)
    first = table + 16 * count
    element = struct.pack("<ddIddIHII", 0, pixel_m, 0, 0, pixel_m, 0, SER_TYPES[film.dtype.name], width, height)
    size = len(element) + film[0].nbytes + 8
    places = b"".join(struct.pack("<Q", first + i * size) for i in range(count))
    ends = b"".join(struct.pack("<Q", first + (i + 1) * size - 8) for i in range(count))
    data = b"".join(element + frame[::-1].tobytes() + struct.pack("<HHI", 16722, 0, 1500000000) for frame in film)
    path.write_bytes(head + struct.pack("<QI", table, 1) + dimension + places + ends + data)


def write_mib(path: Path, film: np.ndarray) -> None:
    """A Merlin camera's film, lowest row first, big-endian."""
    film = film if film.ndim == 3 else film[None]
    kind = {"uint8": "U08", "uint16": "U16", "uint32": "U32"}[film.dtype.name]
    records = []
    for number, frame in enumerate(film):
        parts = ["MQ1", f"{number + 1:06d}", "00384", "01", f"{frame.shape[1]:04d}", f"{frame.shape[0]:04d}", kind]
        parts += ["   1x1", "01", f"2026-01-01T00:00:{number % 60:02d}.000000000Z", "250000000ns", "12"]
        text = ",".join(parts[:9] + ["0"] * 8)
        text = ",".join([text, *parts[9:], ""])
        records.append(text.encode().ljust(384, b"\0") + frame[::-1].astype(frame.dtype.newbyteorder(">")).tobytes())
    path.write_bytes(b"".join(records))


def write_tvips(path: Path, film: np.ndarray) -> None:
    from rsciio.tvips import file_writer

    told = signal(film if film.ndim == 3 else film[None], 1.0, "nm", 0.5)
    told["metadata"]["Acquisition_instrument"]["TEM"]["beam_energy"] = 300
    told["metadata"]["General"]["date"], told["metadata"]["General"]["time"] = "2026-01-01", "00:00:00"
    file_writer(str(path), told)
