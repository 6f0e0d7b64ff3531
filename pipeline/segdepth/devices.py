"""``device: auto``: a GPU where there is one, else the CPU; and how many threads torch and NumPy use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from segdepth.errors import ConfigError

DEVICES = ("auto", "cpu", "cuda")


def torch_device(device: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` as a torch device.

    Raises
    ------
    ConfigError
        ``cuda`` is not available.
    """
    if device not in DEVICES:
        raise ConfigError(f"device: got {device!r}; allowed: {', '.join(DEVICES)}")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: got 'cuda', but no CUDA device is there; allowed here: auto, cpu")
    return torch.device(device)


def in_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether ``bfloat16``, ``float32`` or ``auto`` means bfloat16: on ``auto`` where the device multiplies it in
    hardware, which is faster than float32."""
    if precision != "auto":
        return precision == "bfloat16"
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # not public: absent means unknown
    return device.type == "cuda" or any(getattr(torch.cpu, check, bool)() for check in checks)


@contextmanager
def shared_cores() -> Iterator[None]:
    """Threads for a network beside which frames are read, prepared and written: one less for torch, and one for NumPy's
    matrix products. (With all cores the network waits for the one that it shares: a fifth to a third slower.)"""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before - 1))
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch's own loops, in this thread and in those that begin meanwhile; afterwards as many as before.

    The bits of a sum, a matrix product or a Fourier transform depend on the number of threads. (``set_num_threads``
    inside a worker thread would stay behind as the number of every thread that begins later.)
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
