"""A full disk is told in one line with the path, whatever library wrote, and loses nothing that was whole."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from tqdm import tqdm

import segdepth.cli as cli
from segdepth.errors import StoreError
from segdepth.store import full_disk as module
from segdepth.store.full_disk import full_disk
from segdepth.store.manifest import check_whole, write_artefact
from segdepth.store.zarr_store import write_zarr

TARGET = Path("nowhere/a.zarr")
FACTS = {"command": "t", "code": "c", "parameters": {}}
TEXT = os.strerror(errno.ENOSPC)


def caused(failure: Exception, cause: Exception) -> Exception:
    failure.__cause__ = cause
    return failure


@pytest.mark.parametrize(
    "failure",
    [
        OSError(errno.ENOSPC, TEXT),
        OSError(errno.ENOSPC, TEXT, "/tmp/.a.zarr.host-1.partial/a.zarr/c/0"),
        caused(RuntimeError("writer failed"), OSError(errno.ENOSPC, TEXT)),
        ExceptionGroup("tasks", [ValueError("a"), OSError(errno.ENOSPC, TEXT)]),
        ValueError("Error while serializing: I/O error: No space left on device (os error 28)"),  # safetensors
        OSError(f"Can't write data (errno = 28, error message = '{TEXT}')"),  # HDF5
    ],
)
def test_the_error_of_a_full_disk_is_recognised(failure):
    found = full_disk(failure, TARGET)
    assert (found.errno, found.filename) == (errno.ENOSPC, str(TARGET))


def test_a_quota_is_one_too():
    assert full_disk(OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), TARGET).errno == errno.EDQUOT


@pytest.mark.parametrize("failure", [ValueError("x"), OSError(errno.EACCES, "denied"), StoreError(f"a: {TEXT}")])
def test_other_errors_are_not(failure):
    assert full_disk(failure, TARGET) is None


def test_a_circle_of_causes_ends():
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert full_disk(first, TARGET) is None


def test_an_exception_without_words_counts_if_the_disk_has_no_room(monkeypatch, tmp_path):
    """PyTorch says `unexpected pos 576 vs 534`, tifffile `262144 requested and 65452 written`."""
    failure = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534")
    assert full_disk(failure, tmp_path / "a") is None
    monkeypatch.setattr(module.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 0}))
    assert full_disk(failure, tmp_path / "not" / "there").errno == errno.ENOSPC
    assert full_disk(KeyboardInterrupt(), tmp_path) is None


def test_what_a_command_writes_besides_its_artefact_is_named(monkeypatch, tmp_path, capsys):
    """A checkpoint of a training, say."""
    monkeypatch.setattr(cli, "app", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.ENOSPC, TEXT)))
    monkeypatch.setattr(cli, "has_no_room", lambda place: place.name == "points")
    monkeypatch.setattr(sys, "argv", ["segdepth", "train-model", "--out", "net", "--checkpoints", "points"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2 and capsys.readouterr().err == f"segdepth: error: points: {TEXT}\n"


@pytest.mark.parametrize(("full", "named"), [("points", "points"), ("nowhere", "/tmp/moved")])
def test_a_file_that_cannot_be_moved_to_a_full_disk_is_not_blamed(monkeypatch, capsys, full, named):
    """Checkpoints are written to the folder of temporary files first."""
    failure = OSError(errno.ENOSPC, TEXT, "/tmp/moved")
    monkeypatch.setattr(cli, "app", lambda *_, **__: (_ for _ in ()).throw(failure))
    monkeypatch.setattr(cli, "has_no_room", lambda place: place.name == full)
    monkeypatch.setattr(sys, "argv", ["segdepth", "train-model", "--out", "net", "--checkpoints", "points"])
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err == f"segdepth: error: {named}: {TEXT}\n"


def test_the_line_does_not_begin_behind_a_progress_bar(monkeypatch, capsys):
    def command(*_, **__):
        bar = tqdm(total=2)
        bar.update()
        raise OSError(errno.ENOSPC, TEXT, f"a.zarr{bar.n}")

    monkeypatch.setattr(cli, "app", command)
    monkeypatch.setattr(sys, "argv", ["segdepth", "simulate-waves"])
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err.splitlines()[-1] == f"segdepth: error: a.zarr1: {TEXT}"


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _zarr(path: Path, data: np.ndarray) -> None:
    text = {"units": "1", "long_name": "x"}
    write_zarr(xr.Dataset({"w": (("structure", "y", "x"), data, text)}), path, parameters={})


def _safetensors(path: Path, data: np.ndarray) -> None:
    from safetensors.numpy import save_file

    save_file({"w": data}, str(path))


def _torch(path: Path, data: np.ndarray) -> None:
    import torch

    torch.save({"w": torch.as_tensor(data)}, path)


def _tiff(path: Path, data: np.ndarray) -> None:
    import tifffile

    tifffile.imwrite(path, data)


def _npz(path: Path, data: np.ndarray) -> None:
    with path.open("wb") as stream:
        np.savez(stream, data)


@pytest.mark.parametrize("write", [_zarr, _safetensors, _torch, _tiff, _npz])
def test_writers_on_a_disk_that_fills_up(small_disk, write):
    target = small_disk / "a.data"
    data = np.random.default_rng(0).normal(size=(4, 64, 65)).astype(np.float32)
    with write_artefact(target, **FACTS) as partial:
        write(partial, data[:1, :16])
    with pytest.raises(OSError) as told, write_artefact(target, **FACTS) as partial:
        write(partial, np.concatenate([data] * 9))
    assert (told.value.errno, told.value.filename) == (errno.ENOSPC, str(target))
    assert check_whole(target) and len(list(small_disk.iterdir())) == 3  # the earlier one is whole, and nothing else is
