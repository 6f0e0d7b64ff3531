"""Files that are made to do harm: sizes that lie, bombs, links, pickles, endless lists, of every format."""

import gzip
import io
import json
import os
import pickle
import struct
import zipfile
import zlib

import h5py
import micrograph_files as write
import numpy as np
import tifffile

FILM = np.random.default_rng(5).poisson(40, (3, 5, 7)).astype(np.uint16)
MARK = "executed"


class Harm:
    def __reduce__(self):
        return os.mkdir, (MARK,)


def npy(shape, descr="<u2", data=b"") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue() + data


def npz(member: bytes, compression=zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("film.npy", member)
    return stream.getvalue()


def objects() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([[Harm()]], object), allow_pickle=True)
    return stream.getvalue()


def ifd(*tags: tuple[int, int, int, int], following: int = 0) -> bytes:
    return (
        struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *t) for t in tags) + struct.pack("<I", following)
    )


def tif(width=7, height=5, bits=16, samples=1, strip=200, size=70, compression=1, following=0, data=b"") -> bytes:
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits), (259, 3, 1, compression), (262, 3, 1, 1)]
    tags += [(273, 4, 1, strip), (277, 3, 1, samples), (278, 4, 1, height), (279, 4, 1, size)]
    return (b"II*\0" + struct.pack("<I", 8) + ifd(*tags, following=following)).ljust(200, b"\0") + data


def described(text: str) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, FILM[0], description=text, metadata=None, photometric="minisblack")
    return stream.getvalue()


def deflated(count: int) -> bytes:
    """Zeros, ``count`` times 16 MiB: one block of them is packed and repeated."""
    packer = zlib.compressobj(9)
    start = packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + block * count + packer.flush()


def tif_bomb() -> bytes:
    bomb = deflated(200)
    return tif(compression=8, size=len(bomb), data=bomb)


def dm(version=4, **change) -> bytes:
    image = write.dm_image(FILM, ("nm", "nm", "s"), (0.008, 0.008, 0.5))
    image["ImageData"] |= change
    return write.dm_bytes(version, image)


def dm_tags(version: int, body: bytes, count: int) -> bytes:
    word = ">q" if version == 4 else ">i"
    return (
        struct.pack(">i", version)
        + struct.pack(word, 99)
        + struct.pack(">i", 1)
        + b"\0\1"
        + struct.pack(word, count)
        + body
    )


def dm_value(version: int, *words: int) -> bytes:
    word = ">q" if version == 4 else ">i"
    size = struct.pack(word, 0) if version == 4 else b""
    return struct.pack(">bH", 21, 1) + b"x" + size + b"%%%%" + b"".join(struct.pack(word, w) for w in words)


def dm_deep(depth: int) -> bytes:
    return dm_tags(3, b"".join(struct.pack(">bH", 20, 0) + b"\0\1" + struct.pack(">i", 1) for _ in range(depth)), 1)


def mrc(**fields) -> bytes:
    return write.mrc_bytes(FILM, 6, **fields)


def mode_77() -> bytes:
    return mrc()[:12] + struct.pack("<i", 77) + mrc()[16:]


def ser(place: int = 0, value: bytes = b"", cut: int | None = None):
    def put(path):
        write.write_ser(path, FILM)
        raw = bytearray(path.read_bytes())
        raw[place : place + len(value)] = value
        path.write_bytes(raw[:cut])

    return put


def ser_element(place: int, value: bytes):
    """A change in the first image's own header."""

    def put(path):
        write.write_ser(path, FILM)
        raw = bytearray(path.read_bytes())
        first = struct.unpack_from("<Q", raw, struct.unpack_from("<Q", raw, 22)[0])[0]
        raw[first + place : first + place + len(value)] = value
        path.write_bytes(raw)

    return put


def velox(change):
    def put(path):
        write.write_velox_emd(path, FILM)
        with h5py.File(path, "r+") as file:
            change(file, file["Data/Image/0123456789abcdef"])

    return put


def replaced(name: str, make):
    def change(file, group):
        del group[name]
        make(group)

    return velox(change)


def hspy(make):
    """HyperSpy's layout with an array of its own."""

    def put(path):
        write.write_hspy(path, FILM)
        with h5py.File(path, "r+") as file:
            group = file["Experiments/__unnamed__"]
            del group["data"]
            make(group)

    return put


def virtual(group):
    layout = h5py.VirtualLayout((3, 5, 7), "u2")
    layout[:] = h5py.VirtualSource("other.h5", "data", (3, 5, 7))
    group.create_virtual_dataset("data", layout)


def chunk_bomb(group):
    data = group.create_dataset("data", (3, 5, 7), "u2", chunks=(1, 5, 7), compression="gzip")
    for number in range(3):
        data.id.write_direct_chunk((number, 0, 0), deflated(100))


def zspy(change):
    def put(path):
        write.write_zspy(path, FILM)
        place = path / "Experiments/__unnamed__/data"
        told = json.loads((place / ".zarray").read_text())
        change(place, told)
        (place / ".zarray").write_text(json.dumps(told))
        (path / ".zmetadata").unlink(missing_ok=True)

    return put


def pickled_zarr(place, told):
    told |= {"dtype": "|O", "filters": [{"id": "pickle", "protocol": 4}], "compressor": None}
    for chunk in place.glob("[0-9]*"):
        chunk.write_bytes(pickle.dumps(Harm()))


def linked_zarr(place, told):
    (place / "0.0.0").unlink(missing_ok=True)
    (place / "0.0.0").symlink_to("/etc/hostname")


def broken_json(path):
    write.write_zspy(path, FILM)
    (path / "Experiments/__unnamed__/data/.zarray").write_text("{")


def mib(head: str):
    return head.encode().ljust(384, b"\0") + bytes(70)


def tvips(**change):
    def put(path):
        from rsciio.tvips._api import TVIPS_RECORDER_GENERAL_HEADER

        write.write_tvips(path, FILM)
        raw = bytearray(path.read_bytes())
        header = np.frombuffer(raw, np.dtype(TVIPS_RECORDER_GENERAL_HEADER), 1)
        for name, value in change.items():
            header[name] = value
        path.write_bytes(raw)

    return put


LAUGHS = '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij")
)
HOSTILE = {
    "empty.npy": b"",
    "noise.npy": b"what is this",
    "large.npy": npy((100000, 100000)),
    "long.npy": npy((10**12, 5, 7)),
    "negative.npy": npy((-3, 5, 7), data=bytes(300)),
    "objects.npy": objects(),
    "text.npy": npy((2, 2), "<U9", bytes(999)),
    "records.npy": npy((2, 2), [("R", "u1"), ("G", "u1")], bytes(99)),
    "code.npy": b"\x93NUMPY\1\0\x76\0"
    + f"{{'descr':'<u2','shape':__import__('os').mkdir('{MARK}')}}".ljust(117).encode()
    + b"\n",
    "header.npy": b"\x93NUMPY\2\0" + struct.pack("<I", 2**32 - 1) + b"{",
    "header_only.npy": npy((3, 5, 7)),
    "first_cut.npy": npy((3, 5, 7), data=bytes(69)),
    "four.npy": npy((2, 2, 2, 2), data=bytes(99)),
    "objects.npz": npz(objects()),
    "large.npz": npz(npy((100000, 100000))),
    "long.npz": npz(npy((900000, 5000, 70), data=bytes(2**20))),
    "bomb.npz": npz(npy((8000, 8000, 8000), "<f8", bytes(2**24))),
    "cut.npz": npz(npy((3, 5, 7), data=bytes(210)))[:-100],
    "empty.npz": npz(b""),
    "noise.npz": b"PK\3\4" + bytes(99),
    "empty.tif": b"",
    "noise.tif": b"II*\0\xff\xff\xff\xff",
    "header.tif": tif()[:30],
    "cut.tif": tif(data=bytes(30)),
    "large.tif": tif(100000, 100000, data=bytes(70)),
    "beyond.tif": tif(strip=2**31, data=bytes(70)),
    "samples.tif": tif(samples=65535, data=bytes(70)),
    "bits.tif": tif(bits=60000, data=bytes(70)),
    "unknown_packing.tif": tif(compression=34712, data=bytes(70)),
    "bomb.tif": tif_bomb(),
    "tags.tif": b"II*\0" + struct.pack("<IH", 8, 65535) + bytes(99),
    "imagej.tif": described("ImageJ=1.5\nimages=1000000000\nslices=1000000000\nunit=nm\n").replace(
        b"\1\0\1\0\0\0\5", b"\1\0\1\0\0\0\6"
    )[:150],
    "empty.dm3": b"",
    "noise.dm4": b"what is this",
    "count.dm3": dm_tags(3, bytes(99), 2**31 - 1),
    "count.dm4": dm_tags(4, bytes(99), 2**62),
    "structs.dm4": dm_tags(4, dm_value(4, 4, 20, 15, 0, 0, 2**60) + bytes(99), 1),
    "string.dm3": dm_tags(3, dm_value(3, 2, 18, 2**31 - 1) + bytes(99), 1),
    "array.dm4": dm_tags(4, dm_value(4, 3, 20, 4, 2**61) + bytes(99), 1),
    "deep.dm3": dm_deep(20000),
    "large.dm4": dm(Dimensions={"#0": 100000, "#1": 100000}),
    "long.dm3": dm(3, Dimensions={"#0": 7, "#1": 5, "#2": 2**31}),
    "type.dm4": dm(DataType=99),
    "no_data.dm4": dm(Data=3),
    "cut.dm4": dm()[: dm().index(FILM.tobytes()) + 30],
    "empty.mrc": b"",
    "noise.mrc": b"what is this" * 200,
    "header.mrc": mrc()[:1000],
    "header_only.mrc": mrc()[:1024],
    "first_cut.mrc": mrc()[: 1024 + 69],
    "negative.mrc": mrc(nx=-7),
    "large.mrc": mrc(nx=100000, ny=100000),
    "long.mrc": mrc(nz=2**31 - 1),
    "mode.mrc": mode_77(),
    "extension.mrc": mrc(nsymbt=2**31 - 1),
    "negative_extension.mrc": mrc(nsymbt=-2000),
    "bomb.mrc.gz": gzip.compress(mrc(nx=8000, ny=8000, nz=8000)[:1024] + bytes(2**24)),
    "extension_bomb.mrc.gz": gzip.compress(mrc(nsymbt=2**31 - 1)[:1024] + bytes(2**28)),
    "cut.mrc.gz": gzip.compress(mrc())[:80],
    "noise.mrc.bz2": b"BZh9" + bytes(200),
    "empty.ser": b"",
    "noise.ser": bytes(range(256)) * 4,
    "count.ser": ser(18, b"\xff" * 4),
    "dimensions.ser": ser(30, b"\xff\xff\xff\x7f"),
    "text.ser": ser(58, b"\xff" * 4),
    "table.ser": ser(22, b"\xff" * 7),
    "large.ser": ser_element(42, struct.pack("<II", 100000, 100000)),
    "type.ser": ser_element(40, struct.pack("<H", 99)),
    "cut.ser": ser(cut=150),
    "alone.emi": b"<ObjectInfo></ObjectInfo>",
    "empty.emd": b"",
    "noise.emd": b"\x89HDF\r\n\x1a\n" + bytes(300),
    "link.emd": replaced("Data", lambda g: g.__setitem__("Data", h5py.ExternalLink("/etc/hostname", "/x"))),
    "soft.emd": replaced("Data", lambda g: g.__setitem__("Data", h5py.SoftLink("/Data/Image/0123456789abcdef/Data"))),
    "storage.emd": replaced(
        "Data", lambda g: g.create_dataset("Data", (5, 7, 3), "u2", external=[("/etc/hostname", 0, 210)])
    ),
    "large.emd": replaced("Data", lambda g: g.create_dataset("Data", (100000, 100000, 3), "u2", chunks=(100, 100, 1))),
    "chunk.emd": replaced(
        "Data", lambda g: g.create_dataset("Data", (5, 7, 3), "u2", maxshape=(None,) * 3, chunks=(30000, 30000, 1))
    ),
    "metadata.emd": replaced("Metadata", lambda g: g.create_dataset("Metadata", (10**11, 3), "u1", chunks=(10**6, 1))),
    "json.emd": replaced("Metadata", lambda g: g.__setitem__("Metadata", np.full((99, 3), 34, np.uint8))),
    "virtual.hspy": hspy(virtual),
    "link.hspy": hspy(lambda g: g.__setitem__("data", h5py.ExternalLink("other.hspy", "/x"))),
    "bomb.hspy": hspy(chunk_bomb),
    "large.hspy": hspy(lambda g: g.create_dataset("data", (3, 100000, 100000), "u2", chunks=(1, 100, 100))),
    "pieces.hspy": hspy(lambda g: g.create_dataset("data", (10**6, 5000, 7000), "u2", chunks=(1, 5, 7))),
    "text.hspy": hspy(lambda g: g.create_dataset("data", data=[["a", "b"]] * 2, dtype=h5py.string_dtype())),
    "group.hspy": hspy(lambda g: g.create_group("data")),
    "pickle.zspy": zspy(pickled_zarr),
    "link.zspy": zspy(linked_zarr),
    "large.zspy": zspy(lambda place, told: told.update(shape=[3, 100000, 100000], chunks=[1, 100, 100])),
    "pieces.zspy": zspy(lambda place, told: told.update(shape=[10**9, 5000, 7000])),
    "chunk.zspy": zspy(lambda place, told: told.update(chunks=[1, 10**5, 10**5])),
    "json.zspy": broken_json,
    "empty.zspy": lambda path: path.mkdir(),
    "noise.mib": b"\xff" * 999,
    "raw.mib": mib("MQ1,000001,00384,01,0007,0005,R64,   1x1,01,2026,1ns,12,"),
    "large.mib": mib("MQ1,000001,00384,01,99999,99999,U16,   1x1,01,2026,1ns,12,"),
    "cut.mib": mib("MQ1,000001,00384,01,0007,0005,U16,   1x1,01,2026,1ns,12,")[:400],
    "empty_000.tvips": b"",
    "bits_000.tvips": tvips(bitsperpixel=12),
    "large_000.tvips": tvips(dimx=100000, dimy=100000),
    "version_000.tvips": tvips(version=7),
    "header_000.tvips": tvips(size=2**32 - 1),
    "frame_000.tvips": tvips(frameheaderbytes=2**32 - 1),
}
"""A file's bytes, or what writes it."""
