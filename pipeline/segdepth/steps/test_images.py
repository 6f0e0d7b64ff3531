"""The test images of a data set, from the stores of their shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import xarray as xr

from segdepth.evaluation.noisy_images import NoisyImages
from segdepth.store.zarr_store import open_zarr


@contextmanager
def opened_tests(images: Sequence[Path], depth: Sequence[Path], structures: Sequence[int]) -> Iterator[NoisyImages]:
    """Images of some structures; the stores are closed at the end.

    Parameters
    ----------
    images, depth : the shards' stores, in the same order.

    Raises
    ------
    StoreError
        A store is missing or damaged, or they do not belong together.
    """
    with ExitStack() as stack:
        yield NoisyImages(
            [stack.enter_context(_opened(path, "form-images")) for path in images],
            [stack.enter_context(_opened(path, "project-depth")) for path in depth],
            structures,
        )


def _opened(path: Path, command: str) -> xr.Dataset:
    store = open_zarr(path, command)
    store.encoding["source"] = str(path)  # for messages
    return store
