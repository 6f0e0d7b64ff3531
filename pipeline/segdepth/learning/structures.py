"""Waves and labels of the structures that are trained on: read when they are drawn, kept while there is room."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy

import torch
import xarray as xr
from torch import Tensor

from segdepth.errors import StoreError
from segdepth.recently_used import RecentlyUsed
from segdepth.simulation.configurations import stored_weights

KEPT_BYTES = 500_000_000
"""What all caches of a training keep in memory together, enough for the structures of a pool; the rest is read again
when it is drawn, so that memory does not grow with the data."""

KEPT_GPU_SHARE = 0.1
"""Of a GPU's memory, for the same: a GPU trains faster than a disk gives."""

READERS = 8
"""Threads that fill a GPU's caches before the first step."""

MAPS = {"depth": "depth", "weight": "weight", "regions": "region"}
"""Maps of a structure, as they are called in a batch -> variable of the depth store."""

BYTES_A_LABEL = 6
"""Of a label pixel's maps: depth and regions one each, weight four."""


class StructureCache:
    """Waves and labels of some structures.

    Parameters
    ----------
    waves, depth : opened stores of waves and of depth maps, shard by shard in the same order; they must stay open while
        the cache is used.
    wanted : indices in the plan.
    device : whose memory keeps them; see ``share_memory``.

    Attributes
    ----------
    weights : of the waves' configurations, for ``ImageFormer.form``.

    Raises
    ------
    StoreError
        Waves and depth maps do not belong together, or a wanted structure is in none of the shards.
    """

    def __init__(
        self,
        waves: Sequence[xr.Dataset],
        depth: Sequence[xr.Dataset],
        wanted: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        if len(waves) != len(depth) or not waves:
            raise StoreError(f"got {len(waves)} shards of waves and {len(depth)} of depth; as many of each are needed")
        chosen = set(wanted)
        self.device = torch.device(device)
        self.indices: list[int] = []
        self._places: list[tuple[xr.Dataset, xr.Dataset, int, int]] = []
        self.wave_attrs, self.label_pixel_pm = waves[0].attrs, depth[0].attrs["pixel_pm"]
        self.orders, self.weights = waves[0].sizes["kx"] // 2, stored_weights(waves[0])
        for wave_store, depth_store in zip(waves, depth):
            row_of = {int(index): row for row, index in enumerate(depth_store["structure"].values)}
            for row, index in enumerate(int(index) for index in wave_store["structure"].values):
                if index not in chosen:
                    continue
                if index not in row_of:
                    raise StoreError(f"structure {index} has waves in a shard whose depth maps lack it")
                self.indices.append(index)
                self._places.append((wave_store, depth_store, row, row_of[index]))
        missing = sorted(chosen - set(self.indices))
        if missing:
            raise StoreError(f"structures {missing[:5]} are in none of the {len(waves)} shards; plan and stores differ")
        self.keep(kept_bytes(self.device))

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def bytes_each(self) -> int:
        """What one structure takes in memory."""
        if not self._places:
            return 0
        store, maps, *_ = self._places[0]
        return store["wave"][0].nbytes + BYTES_A_LABEL * maps["depth"][0].size

    def keep(self, most_bytes: int) -> None:
        """Let so much stay in memory from now on, one structure at least; what was kept is dropped."""
        self.kept_bytes = most_bytes
        self.most_kept = max(1, most_bytes // max(1, self.bytes_each))
        self.waves: RecentlyUsed[int, Tensor] = RecentlyUsed(self.most_kept)
        self.labels: RecentlyUsed[int, dict[str, Tensor]] = RecentlyUsed(self.most_kept)

    def read_ahead(self) -> None:
        """Read now, several at a time, what stays in memory."""
        with ThreadPoolExecutor(READERS) as pool:
            positions = range(min(len(self), self.most_kept))
            for _ in pool.map(lambda position: (self.wave(position), self.maps(position)), positions):
                pass

    def part(self, indices: Sequence[int]) -> StructureCache:
        """A cache of some of the structures, which keeps nothing yet; ``share_memory`` shares memory among parts."""
        some, chosen = copy(self), set(indices)
        kept = [(index, place) for index, place in zip(self.indices, self._places) if index in chosen]
        some.indices, some._places = [index for index, _ in kept], [place for _, place in kept]
        some.keep(0)
        return some

    def wave(self, position: int) -> Tensor:
        """(configuration, ky, kx) complex64 of the structure at a position of ``indices``."""
        return self.waves.get(position, self._read_wave)

    def maps(self, position: int) -> dict[str, Tensor]:
        """``depth`` uint8, ``weight`` float32 and ``regions`` uint8 of the structure at a position, each (y, x)."""
        return self.labels.get(position, self._read_maps)

    def _read_wave(self, position: int) -> Tensor:
        store, _, row, _ = self._places[position]
        return torch.as_tensor(store["wave"][row].values).to(self.device)

    def _read_maps(self, position: int) -> dict[str, Tensor]:
        _, store, _, row = self._places[position]
        return {name: torch.as_tensor(store[variable][row].values).to(self.device) for name, variable in MAPS.items()}


def kept_bytes(device: torch.device) -> int:
    """What all caches of a training together keep in a device's memory."""
    if device.type == "cpu":
        return KEPT_BYTES
    return int(KEPT_GPU_SHARE * torch.cuda.get_device_properties(device).total_memory)


def share_memory(caches: Sequence[StructureCache], device: torch.device) -> None:
    """Part the device's budget among caches, in proportion to what they hold: structures are drawn alike."""
    held = [cache.bytes_each * len(cache) for cache in caches]
    for cache, mine in zip(caches, held):
        cache.keep(kept_bytes(device) * mine // max(1, sum(held)))
