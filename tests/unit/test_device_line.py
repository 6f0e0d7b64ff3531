"""`--device auto` says in one line which device a command took, and why."""

from __future__ import annotations

import inspect
import sys
from types import SimpleNamespace

import pytest
import torch
import typer

from segdepth import cli
from segdepth.cli.app import _App, app
from segdepth.cli.device_line import ALSO_WAVES, LONG, ONLY_WAVES, device_line
from segdepth.errors import ConfigError

COMMANDS = {command.name: command.callback for command in app.registered_commands}


def cupy(devices: int) -> SimpleNamespace:
    return SimpleNamespace(cuda=SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=lambda: devices)))


@pytest.fixture
def machine(monkeypatch):
    """Pretend to be a machine: what PyTorch was built for, the name of its GPU, and the module CuPy."""

    def pretend(built: str | None, gpu: str | None, module) -> None:
        monkeypatch.setattr(torch.version, "cuda", built)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu is not None)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: gpu)
        monkeypatch.setitem(sys.modules, "cupy", module)

    return pretend


@pytest.mark.parametrize(
    ("built", "gpu", "module", "rest", "waves"),
    [
        (None, None, None, "cpu{} (this PyTorch is a build without CUDA)", "cpu{} (CuPy is not installed)"),
        ("12.8", None, None, "cpu{} (no CUDA GPU is visible)", "cpu{} (CuPy is not installed)"),
        ("12.8", None, cupy(0), "cpu{} (no CUDA GPU is visible)", "cpu{} (CuPy sees no CUDA GPU)"),
        ("12.8", "NVIDIA H100", None, "cuda{} (NVIDIA H100)", "cpu{} (CuPy is not installed)"),
        ("12.8", "NVIDIA H100", cupy(1), "cuda{} (NVIDIA H100)", "cuda{} (CuPy sees a GPU)"),
    ],
)
def test_the_line_names_device_and_reason(machine, built, gpu, module, rest, waves):
    machine(built, gpu, module)
    assert device_line("form-images") == device_line("train-model") == f"device: {rest.format('')}"
    assert device_line("simulate-waves") == f"device: {waves.format('')}"
    assert device_line("adapt") == f"device: {waves.format(' for waves')}, {rest.format(' for the rest')}"


def test_every_command_with_a_device_says_it_and_no_other():
    with_device = {name for name, call in COMMANDS.items() if "device" in inspect.signature(call).parameters}
    assert {*ONLY_WAVES, *ALSO_WAVES, *LONG, "predict", "form-images", "evaluate-model"} <= with_device
    assert {name for name, call in COMMANDS.items() if hasattr(call, "__wrapped__")} == with_device


@pytest.mark.parametrize("command", ["form-images", "train-model"])
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_it_is_said_once_and_not_before_a_mistake(machine, monkeypatch, capsys, command, device):
    machine("12.8", None, None)
    trial = _App()

    @trial.command(command)
    def step(device: str = "auto", fails: bool = False) -> None:
        typer.echo("works", err=True)
        if fails:
            raise ConfigError("wrong")

    monkeypatch.setattr(cli, "app", trial)

    def run(*arguments: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["segdepth", "--device", device, *arguments])
        with pytest.raises(SystemExit):
            cli.main()
        return capsys.readouterr().err.splitlines()

    line = ["device: cpu (no CUDA GPU is visible)"] if device == "auto" else []
    assert run() == ([*line, "works"] if command in LONG else ["works", *line])
    assert run("--fails") == [*(line if command in LONG else []), "works", "segdepth: error: wrong"]
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert run() == ["works"]
