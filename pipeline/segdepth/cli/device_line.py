"""What ``--device auto`` came to: one line on stderr, thus in a rule's log, with the device and why.

It is said when a command has ended well, so that a mistake is still one line; by a training before it begins.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from typing import Any

import typer

ONLY_WAVES = ("simulate-waves", "explain")
"""Commands that simulate waves (abTEM) and use PyTorch for nothing else."""

ALSO_WAVES = ("estimate-ideal-observer", "adapt")
LONG = ("train-model", "adapt")


def saying_its_device(command: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a command; if it has an option ``device`` and that is ``auto``, it says what it came to."""
    if "device" not in inspect.signature(function).parameters:
        return function

    @functools.wraps(function)
    def called(**options: Any) -> Any:
        says = (
            options.get("device") == "auto" and os.environ.get("LOCAL_RANK", "0") == "0"
        )  # a training's first process
        if says and command in LONG:
            typer.echo(device_line(command), err=True)
        result = function(**options)
        if says and command not in LONG:
            typer.echo(device_line(command), err=True)
        return result

    return called


def device_line(command: str) -> str:
    """``device: cpu (no CUDA GPU is visible)``, or such a pair for waves and for the rest."""
    if command in ONLY_WAVES:
        return "device: {} ({})".format(*_of_waves())
    if command in ALSO_WAVES:
        return "device: {} for waves ({}), {} for the rest ({})".format(*_of_waves(), *_of_torch())
    return "device: {} ({})".format(*_of_torch())


def _of_torch() -> tuple[str, str]:
    import torch

    from segdepth.devices import torch_device

    if torch_device("auto").type == "cuda":
        return "cuda", torch.cuda.get_device_name()
    return "cpu", "this PyTorch is a build without CUDA" if torch.version.cuda is None else "no CUDA GPU is visible"


def _of_waves() -> tuple[str, str]:
    from segdepth.simulation.exit_wave import abtem_device

    if abtem_device("auto") == "gpu":
        return "cuda", "CuPy sees a GPU"
    try:
        import cupy  # noqa: F401
    except ModuleNotFoundError:
        return "cpu", "CuPy is not installed"
    except Exception as failure:  # a library of CUDA that it does not find, say
        return "cpu", f"CuPy cannot be loaded: {str(failure).strip().splitlines()[0]}"
    return "cpu", "CuPy sees no CUDA GPU"
