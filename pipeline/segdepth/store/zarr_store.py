"""Zarr v3 stores through xarray: one chunk a structure, zstd, crc32c checksums, CF-style attributes."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import google_crc32c
import numpy as np
import xarray as xr
import zarr.codecs
from tqdm import tqdm
from zarr.core.sync import sync
from zarr.storage import LocalStore

from segdepth.errors import StoreError
from segdepth.store.manifest import LAYOUT, check_whole
from segdepth.store.remaking import remedy

LAYOUT_NAME = "segdepth_layout"
WAIT_S = 60.0
"""Longest wait for chunks that are still written after another one failed."""

CODECS = (zarr.codecs.ZstdCodec(level=3), zarr.codecs.Crc32cCodec())


def write_zarr(
    dataset: xr.Dataset,
    path: Path,
    *,
    leading: Sequence[str] = ("structure",),
    parameters: Mapping[str, Any],
    compute: bool = True,
) -> None:
    """Write a data set as a Zarr v3 store.

    Parameters
    ----------
    dataset : every variable carries ``units`` and ``long_name``; ``fill_value`` in its encoding is kept.
    leading : dimensions along which a chunk has length 1; the others are stored whole.
    parameters : the blocks that made the data, kept as a JSON attribute.
    compute : False leaves lazy variables empty, to be filled later.
    """
    for name, variable in dataset.variables.items():
        lacking = {"units", "long_name"} - set(variable.attrs)
        if lacking:
            raise ValueError(f"variable {name!r} lacks {sorted(lacking)}")
    dataset = dataset.assign_attrs(**{"parameters": json.dumps(parameters, sort_keys=True), LAYOUT_NAME: LAYOUT})
    encoding = {}
    for name, variable in dataset.variables.items():
        entry: dict[str, Any] = {"compressors": CODECS}
        if "fill_value" in variable.encoding:
            entry["fill_value"] = variable.encoding["fill_value"]
        if variable.ndim and variable.size and name in dataset.data_vars:
            entry["chunks"] = tuple(1 if dim in leading else size for dim, size in variable.sizes.items())
        encoding[name] = entry
    with dask.config.set(scheduler="synchronous"):
        try:
            dataset.to_zarr(path, mode="w-", zarr_format=3, consolidated=False, encoding=encoding, compute=compute)
        except BaseException:
            sync(_all_chunks_are_written())
            raise


async def _all_chunks_are_written() -> None:
    """Zarr raises the first chunk's error while others are still written, into a folder that is then removed.

    The wait ends: two writers that failed at once in one process would wait for each other.
    """
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others, timeout=WAIT_S)


def one_at_a_time(
    make: Callable[[int], np.ndarray], count: int, shape: tuple[int, ...], dtype: type, text: str
) -> da.Array:
    """A lazy array (count, *shape): entries are made one after another while ``write_zarr`` writes them, with a
    progress bar. Memory does not grow with ``count``."""
    bar = tqdm(total=count, desc=text, unit="structure", mininterval=0.5)

    def entry(position: int) -> np.ndarray:
        try:
            made = make(position).astype(dtype, copy=False)
        except BaseException:
            bar.close()  # so that the error has a line of its own
            raise
        bar.update()
        if bar.n == count:
            bar.close()
        return made[None]

    parts = [da.from_delayed(dask.delayed(entry)(i), (1, *shape), dtype) for i in range(count)]
    return da.concatenate(parts)


class _CheckedStore(LocalStore):
    """A folder of chunks; their checksums are compared here, so that an error names the chunk."""

    async def get(self, key: str, *given: Any, **options: Any) -> Any:
        read = await super().get(key, *given, **options)
        whole = not any(given[1:]) and options.get("byte_range") is None
        if read is not None and whole and ("/c/" in key or key.endswith("/c")):
            data = read.to_bytes()
            if google_crc32c.value(data[:-4]).to_bytes(4, "little") != data[-4:]:
                store = Path(self.root)
                raise StoreError(f"{store}: the chunk {key} is damaged; {remedy(store)}")
        return read


def open_zarr(path: str | Path, command: str | None = None, *, part: str | None = None) -> xr.Dataset:
    """Open a finished store lazily.

    Parameters
    ----------
    path : the artefact.
    command : that must have made it.
    part : name of the store inside the artefact, where that is a folder of several files.

    Raises
    ------
    StoreError
        It is missing, was not finished, or has another layout; later, when values are read: a chunk is damaged.
    """
    check_whole(path, command)
    path = Path(path) / part if part else Path(path)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*snakemake_timestamp.*")  # Snakemake marks its folders
            store = xr.open_zarr(_CheckedStore(path, read_only=True), consolidated=False, chunks=None)
    except StoreError:
        raise
    except Exception as failure:  # zarr and xarray raise many kinds; the reader needs one line
        raise StoreError(f"{path}: cannot be read as a Zarr store ({failure})") from failure
    layout = store.attrs.get(LAYOUT_NAME, 1)
    if layout != LAYOUT:
        store.close()
        raise StoreError(
            f"{path}: was made by another version of SegDepth (layout {layout}, this version reads {LAYOUT}); "
            f"{remedy(path)}"
        )
    return store
