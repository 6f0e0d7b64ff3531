"""HyperSpy's ``.zspy``: a folder or a zip archive of Zarr arrays, through RosettaSciIO and Zarr."""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segdepth.errors import MicrographError
from segdepth.micrograph.files.hdf5 import MOST_BESIDE, MOST_CHUNKS, hyperspy_images
from segdepth.micrograph.files.recording import Closing, StoredImage

CODECS = frozenset(
    ("blosc", "zlib", "gzip", "zstd", "lz4", "lzma", "bz2", "shuffle", "bitshuffle", "delta", "fixedscaleoffset")
    + ("bitround", "quantize", "astype", "packbits", "crc32", "crc32c", "adler32", "fletcher32", "vlen-utf8")
    + ("vlen-bytes", "vlen-array", "json2", "msgpack2", "bytes", "endian", "transpose", "sharding_indexed", "null")
)
"""Codecs that only decode. Others are refused: one of them (pickle) runs code that a file brings along."""

DESCRIPTIONS = (".zarray", "zarr.json", ".zmetadata")
LARGEST_DESCRIPTION = 2**24


def _descriptions(path: Path) -> Iterator[tuple[str, bytes]]:
    """The store's descriptions of arrays, without following links."""
    if path.is_file():
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.filename.endswith(DESCRIPTIONS):
                    with archive.open(info) as stream:
                        yield info.filename, stream.read(LARGEST_DESCRIPTION + 1)
        return
    for folder, folders, names in os.walk(path):
        for name in (*folders, *names):
            if os.path.islink(os.path.join(folder, name)):
                raise MicrographError(f"{path}: {name} is a link; only the store itself is read")
        for name in names:
            if name.endswith(DESCRIPTIONS):
                with open(os.path.join(folder, name), "rb") as stream:
                    yield name, stream.read(LARGEST_DESCRIPTION + 1)


def _arrays(tree: Any) -> Iterator[dict[str, Any]]:
    """Arrays that a description is of; a consolidated one is of many."""
    if not isinstance(tree, dict):
        return
    if "shape" in tree:
        yield tree
    for value in (tree.get("metadata") or {}).values():
        yield from _arrays(value)
    yield from _arrays(tree.get("consolidated_metadata"))


def _codecs(tree: Any) -> Iterator[str]:
    """Names of the codecs anywhere in an array's description."""
    if isinstance(tree, dict):
        yield from (str(tree[key]).removeprefix("numcodecs.").lower() for key in ("id", "name") if key in tree)
        for value in tree.values():
            yield from _codecs(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from (str(v).lower() for v in [value] if isinstance(v, str))
            yield from _codecs(value)


def _check(path: Path) -> None:
    beside = 0
    for name, text in _descriptions(path):
        if len(text) > LARGEST_DESCRIPTION:
            raise MicrographError(f"{path}: {name} has more than {LARGEST_DESCRIPTION} bytes")
        for array in _arrays(json.loads(text)):
            parts = {key: array.get(key) for key in ("filters", "compressor", "codecs", "storage_transformers")}
            if unknown := sorted(set(_codecs(parts)) - CODECS):
                raise MicrographError(f"{path}: packed with {', '.join(unknown[:3])}, which is not read")
            shape = [int(n) for n in array["shape"] or []]
            grid = (array.get("chunk_grid") or {}).get("configuration", {}).get("chunk_shape")
            chunks = [max(1, int(n)) for n in array.get("chunks") or grid or shape]
            if math.prod(-(-n // c) for n, c in zip(shape, chunks)) > MOST_CHUNKS:
                raise MicrographError(f"{path}: an array has more than {MOST_CHUNKS} pieces")
            beside += 16 * math.prod(shape) if len(shape) == 1 else 0
        if beside > MOST_BESIDE:
            raise MicrographError(f"{path}: holds {beside} bytes beside its images; allowed are {MOST_BESIDE}")


def zspy(path: Path, closing: Closing) -> list[StoredImage]:
    """The signals of a HyperSpy store."""
    import zarr
    from rsciio.zspy._api import ZspyReader

    _check(path)
    store = closing.add(zarr.storage.ZipStore(path, mode="r")) if path.is_file() else str(path)
    file = zarr.open_group(store, mode="r")

    def taker(array: Any):
        return lambda where: array[where]

    return hyperspy_images(file, ZspyReader(file).read(lazy=True), taker)
