"""Artefacts: whole or not there, with manifests and checksums."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import xarray as xr
import zarr

from segdepth.errors import StoreError
from segdepth.store import zarr_store
from segdepth.store.manifest import (
    LAYOUT,
    check_target,
    check_whole,
    content_hash,
    manifest_path,
    outline_hash,
    read_manifest,
    write_artefact,
)
from segdepth.store.zarr_store import open_zarr, write_zarr

FACTS = {"command": "test", "code": "0123", "parameters": {"a": 1}}


def dataset(value: float = 1.0, structures: int = 3) -> xr.Dataset:
    text = {"units": "1", "long_name": "something"}
    data = value * np.random.default_rng(0).normal(size=(structures, 16, 16)).astype(np.float32)
    return xr.Dataset(
        {"wave": (("structure", "y", "x"), data, text)},
        coords={"structure": ("structure", np.arange(structures), text)},
    )


def write(path, value: float = 1.0, **more):
    with write_artefact(path, **{**FACTS, **more}) as partial:
        write_zarr(dataset(value), partial, parameters={"a": 1})
    return path


def chunks(store):
    return sorted(p for p in (store / "wave" / "c").rglob("*") if p.is_file())


def nothing_left(folder) -> bool:
    return not list(folder.iterdir())


@pytest.mark.parametrize("below", ["lens.json", "folder/lens.json"])
def test_nothing_is_written_below_a_file(tmp_path, below):
    (tmp_path / "film.npy").write_bytes(b"")
    with pytest.raises(StoreError, match=r"film\.npy is a file; give another --out"):
        check_target(tmp_path / "film.npy" / below, "test")


def test_round_trip(tmp_path):
    store = write(tmp_path / "shard-000.zarr", seeds={"root_seed": 3})
    with open_zarr(store) as found:
        assert np.array_equal(found["wave"].values, dataset()["wave"].values)
        assert found["wave"].attrs["units"] == "1" and json.loads(found.attrs["parameters"]) == {"a": 1}
    assert len(chunks(store)) == 3  # one a structure
    manifest = read_manifest(store)
    assert manifest["content"] == content_hash(store) and manifest["seeds"] == {"root_seed": 3}
    assert {"artefact", "code", "command", "commit", "content", "inputs", "parameters", "versions"} <= set(manifest)
    assert manifest["versions"]["zarr"] and sorted(p.name for p in tmp_path.iterdir()) == [
        "shard-000.zarr",
        "shard-000.zarr.manifest.json",
        "shard-000.zarr.run.json",
    ]


def test_units_are_required(tmp_path):
    bare = dataset()
    del bare["wave"].attrs["units"]
    with pytest.raises(ValueError, match="units"):
        write_zarr(bare, tmp_path / "x.zarr", parameters={})


def test_exception_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), write_artefact(tmp_path / "x.zarr", **FACTS) as partial:
        write_zarr(dataset(), partial, parameters={})
        raise RuntimeError
    assert nothing_left(tmp_path)


def test_interrupt_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), write_artefact(tmp_path / "x.csv", **FACTS) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert nothing_left(tmp_path)


def test_two_writers_that_fail_at_once_do_not_wait_for_each_other(monkeypatch):
    monkeypatch.setattr(zarr_store, "WAIT_S", 0.1)

    async def both():
        first, second = (asyncio.ensure_future(zarr_store._all_chunks_are_written()) for _ in range(2))
        await asyncio.wait_for(asyncio.gather(first, second), timeout=60)

    asyncio.run(both())


def test_exception_keeps_what_was_there(tmp_path):
    store = write(tmp_path / "x.zarr")
    before = content_hash(store)
    with pytest.raises(RuntimeError), write_artefact(store, **FACTS) as partial:
        write_zarr(dataset(2), partial, parameters={})
        raise RuntimeError
    assert content_hash(store) == before == check_whole(store)["content"]


def test_writing_nothing_is_refused(tmp_path):
    with pytest.raises(StoreError, match="nothing was written"), write_artefact(tmp_path / "x.zarr", **FACTS):
        pass
    assert nothing_left(tmp_path)


def test_missing_input_is_refused(tmp_path):
    with pytest.raises(StoreError, match="gone.csv: does not exist"):
        write(tmp_path / "x.zarr", inputs=[tmp_path / "gone.csv"])
    assert nothing_left(tmp_path)


KILLED = """
import sys, time
from pathlib import Path
import numpy as np, xarray as xr
import segdepth.store.manifest as manifest
from segdepth.store.zarr_store import write_zarr
target, when = Path(sys.argv[1]), sys.argv[2]
def stop(*_, **__):
    print("ready", flush=True); time.sleep(60)
text = {"units": "1", "long_name": "x"}
data = xr.Dataset({"wave": (("structure", "y", "x"), np.ones((3, 16, 16), np.float32), text)})
real = manifest.os.replace
at = {"before rename": target.name, "before manifest": target.name + ".manifest.json"}.get(when)
def replace(a, b):
    if Path(b) == target.with_name(at or "-"): stop()
    real(a, b)
manifest.os.replace = replace
with manifest.write_artefact(target, command="test", code="c", parameters={}) as partial:
    write_zarr(data, partial, parameters={})
    if when == "while writing":
        assert list(partial.joinpath("wave", "c").rglob("0")); stop()
"""


@pytest.mark.parametrize("when", ["while writing", "before rename", "before manifest"])
@pytest.mark.parametrize("existed", [False, True])
def test_killed_writer_leaves_nothing_that_passes_for_whole(tmp_path, when, existed):
    store = tmp_path / "shard-000.zarr"
    if existed:
        write(store, 5.0)
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(store), when], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline().strip() == "ready"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    if existed and when == "while writing":
        with open_zarr(store) as found:  # the old one is untouched
            assert np.array_equal(found["wave"].values, dataset(5.0)["wave"].values)
    else:
        for reader in (open_zarr, check_whole):
            with pytest.raises(StoreError) as told:
                reader(store)
            assert "\n" not in str(told.value) and "make it again" in str(told.value)
    assert [p for p in tmp_path.iterdir() if p.name.endswith(".partial")]
    write(store, 2.0)
    with open_zarr(store) as found:
        assert np.array_equal(found["wave"].values, dataset(2.0)["wave"].values)
    beside = [f"shard-000.zarr.{kind}.json" for kind in ("manifest", "run")]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["shard-000.zarr", *beside]


def test_living_writers_and_other_machines_are_left_alone(tmp_path):
    store = tmp_path / "x.zarr"
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        living = tmp_path / f".x.zarr.{socket.gethostname()}-{child.pid}.partial"
        elsewhere = tmp_path / ".x.zarr.another-machine-1.partial"
        neighbour = tmp_path / ".xx.zarr.another-machine-1.partial"
        for folder in (living, elsewhere, neighbour):
            folder.mkdir()
        write(store)
        assert living.exists() and elsewhere.exists() and neighbour.exists()
    finally:
        child.kill()
        child.wait()
    write(store)
    assert not living.exists() and elsewhere.exists()


def test_replaced_artefact(tmp_path):
    store = write(tmp_path / "x.zarr")
    first = read_manifest(store)["content"]
    write(store, 2.0)
    assert read_manifest(store)["content"] != first
    with open_zarr(store) as found:
        assert np.array_equal(found["wave"].values, dataset(2.0)["wave"].values)
    assert len(list(tmp_path.iterdir())) == 3


def test_file_replaces_folder_and_back(tmp_path):
    path = write(tmp_path / "x")
    with write_artefact(path, **FACTS) as partial:
        partial.write_text("a file now")
    assert path.read_text() == "a file now" and check_whole(path)
    write(path)
    assert path.is_dir() and check_whole(path)


def test_same_content_same_hash(tmp_path):
    assert content_hash(write(tmp_path / "a.zarr")) == content_hash(write(tmp_path / "b.zarr"))


def test_content_hash_sees_edits_names_and_not_snakemakes_stamp(tmp_path):
    store = write(tmp_path / "x.zarr")
    first = content_hash(store)
    (store / ".snakemake_timestamp").touch()
    assert content_hash(store) == first and check_whole(store)
    chunk = chunks(store)[0]
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    stamp = chunk.stat()
    chunk.write_bytes(data)
    os.utime(chunk, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert content_hash(store) != first
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    assert content_hash(store) == first
    chunk.rename(chunk.with_name("99"))
    assert content_hash(store) != first


def flip(path, place) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * len(data)) if isinstance(place, float) else place] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize("place", [0, -1, 0.3, 0.7])
def test_flipped_byte_is_found_where_it_is_read_and_told_in_one_line(tmp_path, place):
    store = write(tmp_path / "data" / "waves" / "x.zarr")
    flip(chunks(store)[1], place)
    with open_zarr(store) as found:
        assert np.array_equal(found["wave"][0].values, dataset()["wave"][0].values)
        for read in (lambda: found["wave"][1].values, lambda: found["wave"].values, lambda: found.load()):
            with pytest.raises(StoreError, match=r"the chunk wave/c/1/0/0 is damaged; make it again") as told:
                read()
            assert "\n" not in str(told.value) and f"{store}:" in str(told.value)
            assert str(told.value).endswith("--force -- data/waves/x.zarr")
    with xr.open_zarr(store, consolidated=False) as found:
        assert np.array_equal(found["wave"][0].values, dataset()["wave"][0].values)
        with pytest.raises(Exception, match="(?i)checksum"):
            found["wave"][1].values  # noqa: B018


def test_flipped_byte_of_a_coordinate_is_found_on_opening(tmp_path):
    store = write(tmp_path / "x.zarr")
    flip(next(p for p in (store / "structure" / "c").rglob("*") if p.is_file()), 0.5)
    with pytest.raises(StoreError, match="structure/c/0 is damaged"):
        open_zarr(store)


@pytest.mark.parametrize("name", ["zarr.json", "wave/zarr.json"])
def test_an_edited_header_is_found_on_opening(tmp_path, name):
    store = write(tmp_path / "x.zarr")
    text = (store / name).read_text()
    (store / name).write_text(text.replace("something", "sometimes") if "something" in text else text.replace("1", "2"))
    with pytest.raises(StoreError, match="edited or damaged"):
        open_zarr(store)


def test_a_reader_does_not_read_what_it_does_not_ask_for(tmp_path, monkeypatch):
    """A store of many chunks opens without its chunks being read."""
    store = write(tmp_path / "x.zarr")
    seen = []
    monkeypatch.setattr("segdepth.store.manifest.file_hash", lambda path: seen.append(path.name) or "")
    outline_hash(store)
    assert seen and set(seen) == {"zarr.json"}


def test_the_whole_of_a_file_is_checked_by_its_reader(tmp_path):
    path = tmp_path / "plan.csv"
    with write_artefact(path, **FACTS) as partial:
        partial.write_text("a,b\n1,2\n")
    path.write_text("a,b\n1,3\n")
    with pytest.raises(StoreError, match="edited or damaged"):
        check_whole(path)


def test_a_store_inside_an_artefact(tmp_path):
    with write_artefact(tmp_path / "prediction", **FACTS) as partial:
        partial.mkdir()
        write_zarr(dataset(), partial / "maps.zarr", parameters={})
    with open_zarr(tmp_path / "prediction", "test", part="maps.zarr") as found:
        assert np.array_equal(found["wave"].values, dataset()["wave"].values)
    chunks(tmp_path / "prediction" / "maps.zarr")[0].unlink()
    with pytest.raises(StoreError, match="prediction: was edited or damaged"):
        open_zarr(tmp_path / "prediction", part="maps.zarr")


@pytest.mark.parametrize("layout", [None, 1, LAYOUT + 1])
def test_a_manifest_of_another_version_is_told_in_one_line_that_says_what_to_run(tmp_path, layout):
    store = write(tmp_path / "data" / "waves" / "x.zarr")
    manifest = read_manifest(store)
    manifest.pop("layout" if layout else "outline")
    manifest.pop("layout", None)
    manifest_path(store).write_text(json.dumps(manifest | ({"layout": layout} if layout else {})))
    with pytest.raises(StoreError, match="made by another version of SegDepth") as told:
        check_whole(store)
    cores = os.cpu_count()
    assert str(told.value).endswith(f"make it again: snakemake --cores {cores} --force -- data/waves/x.zarr")
    assert f"layout {layout or 2}, this version reads {LAYOUT}" in str(told.value) and "\n" not in str(told.value)


def test_cut_chunk_is_found_on_opening(tmp_path):
    store = write(tmp_path / "x.zarr")
    chunk = chunks(store)[1]
    chunk.write_bytes(chunk.read_bytes()[:-7])
    with pytest.raises(StoreError, match="edited or damaged"):
        open_zarr(store)


def test_lost_chunk_is_found_on_opening(tmp_path):
    """Zarr itself reads a chunk that is not there as zeros."""
    store = write(tmp_path / "x.zarr")
    chunks(store)[1].unlink()
    with pytest.raises(StoreError, match="edited or damaged"):
        open_zarr(store)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda store: manifest_path(store).unlink(), "has no manifest: it was not finished"),
        (lambda store: manifest_path(store).write_text("{"), "cannot be read"),
        (lambda store: (store / "zarr.json").write_text("{"), "edited or damaged"),
        (lambda store: (store / "wave" / "zarr.json").write_text("no"), "edited or damaged"),
        (lambda store: (store / "zarr.json").unlink(), "edited or damaged"),
        (lambda store: manifest_path(store).write_text("[1]"), "lacks what a manifest has"),
    ],
)
def test_spoilt_stores_are_told_in_one_line(tmp_path, spoil, says):
    store = write(tmp_path / "x.zarr")
    spoil(store)
    with pytest.raises(StoreError, match=says) as told:
        open_zarr(store)
    assert "\n" not in str(told.value) and str(tmp_path) in str(told.value)


@pytest.mark.parametrize("layout", [None, 1, LAYOUT + 1])
def test_a_store_of_another_layout_is_told_in_one_line(tmp_path, layout):
    def another():
        with write_artefact(tmp_path / "x.zarr", **FACTS) as partial:
            write_zarr(dataset(), partial, parameters={})
            group = zarr.open_group(partial, mode="r+")
            assert group.attrs["segdepth_layout"] == LAYOUT
            if layout is None:
                del group.attrs["segdepth_layout"]
            else:
                group.attrs["segdepth_layout"] = layout
        return tmp_path / "x.zarr"

    says = rf"another version of SegDepth \(layout {layout or 1}, this version reads {LAYOUT}\); make it again"
    with pytest.raises(StoreError, match=says) as told:
        open_zarr(another())
    assert "\n" not in str(told.value) and str(tmp_path) in str(told.value)


def test_absent_store(tmp_path):
    with pytest.raises(StoreError, match="does not exist; make it again"):
        open_zarr(tmp_path / "x.zarr")


def test_manifest_is_younger_than_its_artefact(tmp_path):
    """Snakemake compares times: both outputs of a rule must be newer than its inputs."""
    before = time.time_ns() - 10_000_000
    store = write(tmp_path / "x.zarr")
    assert manifest_path(store).stat().st_mtime_ns >= before


def test_a_folder_of_someone_elses_is_not_overwritten(tmp_path):
    folder = tmp_path / "x.zarr"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match="not made here; remove it"):
        write(folder)
    assert (folder / "thesis.tex").read_text() == "years of work" and len(list(tmp_path.iterdir())) == 1


def test_another_commands_artefact_or_an_edited_one_is_not_replaced(tmp_path):
    store = write(tmp_path / "x.zarr")
    with pytest.raises(StoreError, match="was made by"), write_artefact(store, **(FACTS | {"command": "other"})):
        pass
    (store / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="edited"):
        write(store)
    assert (store / "notes.txt").read_text() == "mine"


def test_a_users_file_is_not_replaced(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("mine")
    with pytest.raises(StoreError, match="not made here"):
        write(path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("place", ["in.zarr", "in.zarr/out.zarr", "."])
def test_an_input_is_never_written_over_or_into(tmp_path, place):
    given = write(tmp_path / "in.zarr")
    before = content_hash(given)
    with pytest.raises(StoreError, match="which is read"):
        write(tmp_path / place, inputs=[given])
    assert content_hash(given) == before


@pytest.mark.parametrize("beside", [False, True])
def test_a_damaged_input_is_refused_before_anything_is_written(tmp_path, beside):
    """Its reader may know nothing of manifests: of micrographs, say."""
    path = tmp_path / "camera.npz"
    with write_artefact(path, **FACTS) as partial:
        partial.write_bytes(b"electrons")
    flip(manifest_path(path) if beside else path, 0.5)
    with (
        pytest.raises(StoreError, match="camera.npz.*damaged"),
        write_artefact(tmp_path / "out", **FACTS, inputs=[path]),
    ):
        raise AssertionError("written to")
    assert not (tmp_path / ".out.lock").exists()


def test_a_store_of_another_kind_is_refused(tmp_path):
    with pytest.raises(StoreError, match="what simulate-waves makes is needed"):
        open_zarr(write(tmp_path / "x.zarr"), "simulate-waves")
