"""The command line: errors in one line, faults with their traceback, and no heavy imports before they are needed."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from segdepth import cli
from segdepth.cli import project
from segdepth.cli.app import GROUPS, STEPS, app
from segdepth.errors import ConfigError, MicrographError, SegDepthError, StoreError, TrainingError
from segdepth.store.manifest import manifest_path, write_artefact
from segdepth.store.run_record import run_path
from segdepth.store.zarr_store import write_zarr

HEAVY = (
    "torch",
    "tqdm",
    "rich.progress",
    "scipy",
    "matplotlib",
    "lightning",
    "xarray",
    "pandas",
    "ase",
    "abtem",
    "zarr",
)
ENTRY = re.compile(r"fig\d_\w+: |OUT/\S+ {2}")
"""A line of a list."""


def run(monkeypatch, capsys, *arguments: str, fail: Exception | None = None) -> tuple[int, str]:
    """Exit status and stderr of `segdepth check-config`, or of other arguments; ``fail`` is raised inside."""
    if fail is not None:

        def broken(*_):
            raise fail

        monkeypatch.setattr(project, "load_config", broken)
    monkeypatch.setattr(sys, "argv", ["segdepth", *(arguments or ("check-config",))])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize("kind", [SegDepthError, ConfigError, StoreError, MicrographError, TrainingError])
def test_errors_of_our_own_are_one_line(monkeypatch, capsys, kind):
    assert run(monkeypatch, capsys, fail=kind("what is\n wrong")) == (2, "segdepth: error: what is wrong\n")


@pytest.mark.parametrize("arguments", [("--debug", "check-config"), ("check-config", "--debug")])
def test_debug_shows_the_traceback(monkeypatch, capsys, caplog, arguments):
    code, told = run(monkeypatch, capsys, *arguments, fail=StoreError("gone"))
    assert code == 2 and told.endswith("segdepth: error: gone\n")
    assert "Traceback" in caplog.text and "StoreError" in caplog.text


def test_debug_behind_the_dashes_is_a_file(monkeypatch, capsys):
    code, told = run(monkeypatch, capsys, "trace", "--", "--debug")
    assert code == 2 and told == "segdepth: error: --debug: does not exist\n"


@pytest.mark.parametrize(("module", "extra"), [("ase.io", "simulate"), ("lightning", "train"), ("torch", None)])
def test_a_package_of_an_extra_that_is_missing_is_one_line(monkeypatch, capsys, module, extra):
    code, told = run(monkeypatch, capsys, fail=ModuleNotFoundError(f"No module named {module!r}", name=module))
    line = f"segdepth: error: {module} is not installed: pip install 'segdepth[{extra}]'\n"
    assert (code, told == line) == ((2, True) if extra else (1, False))


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.ENOSPC])
def test_a_file_of_the_users_is_one_line(monkeypatch, capsys, number):
    failure = OSError(number, os.strerror(number), "movie.tif")
    code, told = run(monkeypatch, capsys, fail=failure)
    assert (code, told) == (2, f"segdepth: error: movie.tif: {os.strerror(number)}\n")


@pytest.mark.parametrize(
    "failure",
    [
        OSError(errno.EBADF, "Bad file descriptor", "movie.tif"),
        OSError(errno.ENOENT, "No such file or directory"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", cli.__file__ + ".txt"),
        OSError("no number"),
        ValueError("wrong"),
        KeyError("x"),
    ],
)
def test_our_own_faults_are_logged_with_their_traceback(monkeypatch, capsys, caplog, failure):
    code, told = run(monkeypatch, capsys, fail=failure)
    assert code == 1 and "segdepth: error" not in told
    assert "Traceback" in caplog.text and type(failure).__name__ in caplog.text


def test_a_full_disk_says_where(tmp_path):
    with (
        pytest.raises(OSError, match="shard.zarr") as told,
        write_artefact(tmp_path / "shard.zarr", command="t", code="c", parameters={}),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert told.value.filename == str(tmp_path / "shard.zarr") and not list(tmp_path.iterdir())


def test_a_wrong_option_is_one_line(monkeypatch, capsys):
    code, told = run(monkeypatch, capsys, "trace")
    assert code == 2 and told.count("\n") == 1 and told.startswith("segdepth: error: ") and "--help" in told


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"], ["check-config"]])
def test_help_imports_nothing_heavy(arguments, tmp_path):
    """In a process of its own, as a user starts it."""
    (tmp_path / "config.yaml").write_text("{}")
    code = (
        "import sys, json; sys.argv = ['segdepth', *sys.argv[1:]]\nfrom segdepth.cli import main\n"
        "try: main()\nfinally: sys.stderr.write(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=tmp_path)
    imported = set(json.loads(done.stderr.splitlines()[-1]))
    assert "typer" in imported and not imported & set(HEAVY)


def test_headings_of_the_help_are_of_commands_that_exist():
    named = [name for names in GROUPS.values() for name in names]
    assert len(set(named)) == len(named) and set(named) <= {command.name for command in app.registered_commands}
    headings = {command.name: command.rich_help_panel for command in app.registered_commands}
    assert headings["predict"] == "Your own micrograph" and headings["simulate-waves"] == STEPS


@pytest.mark.parametrize("command", [command.name for command in app.registered_commands])
def test_help_fills_its_lines(command, monkeypatch, capsys):
    """No line of a paragraph ends early."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["segdepth", command, "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    lines = [line.strip() for line in capsys.readouterr().out.split("╭")[0].splitlines()]
    assert all(len(line) <= 80 for line in lines)
    for line, after in pairwise(line for line in lines if not line.startswith("Usage:")):
        room = 78 - len(line)
        assert not line or not after or len(after.split()[0]) + 1 > room or ENTRY.match(after), (line, after)


def test_verify_names_what_is_damaged_or_stale_and_what_makes_it_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def make(path, text, inputs=()):
        with write_artefact(tmp_path / path, command="t", code="c", parameters={}, inputs=inputs) as partial:
            partial.write_text(text)
        return tmp_path / path

    plan = make("data/plan.csv", "plan")
    make("data/atoms.csv", "atoms", [plan])
    figure = make("results/figures/a.png", "figure", [tmp_path / "data" / "atoms.csv"])

    def told(*places) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["segdepth", "verify", *places])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().out.splitlines()

    assert told() == (0, ["3 checked, all whole"])
    make("data/plan.csv", "another plan")
    figure.write_text("touched up")
    (tmp_path / "data" / "half.zarr").mkdir()
    again = f"make it again: snakemake --cores {os.cpu_count()} --force --"
    assert told() == (
        1,
        [
            f"data/atoms.csv: is stale: data/plan.csv has changed since it was made from it; {again} data/atoms.csv",
            f"data/half.zarr: has no manifest: it was not finished; {again} data/half.zarr",
            f"results/figures/a.png: was edited or damaged since it was made; {again} results/figures/a.png",
            "4 checked, 3 damaged or stale",
        ],
    )
    assert told("results")[1][-1] == "1 checked, 1 damaged or stale"
    assert told("data/plan.csv") == (0, ["1 checked, all whole"])
    manifest_path(figure).write_text("{}")
    assert "cannot be read" in told("results/figures/a.png")[1][0]


def test_verify_finds_a_flipped_byte_whose_time_is_kept(tmp_path, monkeypatch, capsys):
    store = tmp_path / "data" / "x.zarr"
    with write_artefact(store, command="t", code="c", parameters={}) as partial:
        (partial / "wave" / "c").mkdir(parents=True)
        (partial / "wave" / "zarr.json").write_text("{}")
        (partial / "wave" / "c" / "0").write_bytes(b"0123")
    chunk = store / "wave" / "c" / "0"
    stamp = chunk.stat()
    chunk.write_bytes(b"0124")
    os.utime(chunk, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    monkeypatch.chdir(tmp_path)
    code, _ = run(monkeypatch, capsys, "verify")
    assert code == 1


@pytest.fixture
def verify(tmp_path, monkeypatch, capsys):
    """`segdepth verify` in an empty folder: exit status, lines of stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def told(*places: str) -> tuple[int, list[str], str]:
        monkeypatch.setattr(sys, "argv", ["segdepth", "verify", *places])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code, out.splitlines(), err

    return told


def make(path: str, parameters: dict | None = None) -> None:
    with write_artefact(path, command="t", code="c", parameters=parameters or {}) as partial:
        if path.endswith(".zarr"):
            partial.mkdir()
            partial /= "zarr.json"
        partial.write_text("{}")


def test_verify_takes_any_place(verify, tmp_path, monkeypatch):
    make("data/a.csv")
    make("data/b.zarr")
    whole = ["2 checked, all whole"]
    for place in (".", "..", "data", "./data/", str(tmp_path)):
        if place == "..":
            monkeypatch.chdir(tmp_path / "data")
        assert verify(place)[:2] == (0, whole), place
        monkeypatch.chdir(tmp_path)
    one = ["1 checked, all whole"]
    assert verify("data/a.csv")[1] == verify("data/a.csv.manifest.json")[1] == verify("data/b.zarr")[1] == one
    assert verify("nowhere") == (2, [], "segdepth: error: nowhere: does not exist\n")
    monkeypatch.chdir(tmp_path / "data" / "b.zarr")
    assert verify(".")[1] == one
    monkeypatch.setattr(os, "walk", lambda place: [(str(place), [], [])])
    assert verify("/")[:2] == (0, ["0 checked, all whole"])


@pytest.mark.parametrize("text", ["{", "[1, 2]", "{}", '{"content": 1}', "null", "[" * 100_000, "\0", '{"layout": []}'])
def test_verify_of_a_manifest_that_cannot_be_read(verify, text):
    make("data/a.csv")
    manifest_path("data/a.csv").write_text(text)
    code, lines, _ = verify("data")
    assert code == 1 and len(lines) == 2 and len(lines[0]) < 400
    assert lines[0].startswith("data/a.csv: data/a.csv.manifest.json: cannot be read") or "another version" in lines[0]
    assert "make it again: snakemake" in lines[0] and lines[1] == "1 checked, 1 damaged or stale"


def test_verify_names_shards_that_the_plan_does_not_have(verify):
    make("data/specimens/one/plan.csv", {"specimen": {"structures": 5, "shard_size": 3}})
    for number in (1, 2):
        make(f"data/specimens/one/shard-{number:03d}.extxyz")
        make(f"data/waves/one/beam/shard-{number:03d}.zarr")
        make(f"data/images/one/beam/lens/shard-{number:03d}.zarr")
        make(f"data/depth/two/rings/shard-{number:03d}.zarr")
    code, lines, _ = verify()
    note = "is stale: its plan has 2 shards, from 000; remove it: segdepth clean-shards"
    stale = ("images/one/beam/lens/shard-002.zarr", "specimens/one/shard-002.extxyz", "waves/one/beam/shard-002.zarr")
    assert (code, lines) == (1, [*(f"data/{path}: {note}" for path in stale), "9 checked, 3 damaged or stale"])
    assert verify("data/waves/one/beam/shard-002.zarr")[1][0].endswith(note)
    manifest_path("data/specimens/one/plan.csv").write_text("{")
    assert verify()[1][-1] == "9 checked, 1 damaged or stale"


def test_clean_shards_names_and_removes_what_the_plan_does_not_have(tmp_path, monkeypatch, capsys):
    from segdepth.config import Config, Specimen

    blocks = {"one": Specimen(crystal="c", structures=4, shard_size=2), "two": Specimen(crystal="c", structures=1)}
    config = Config.model_construct(specimens=blocks)
    monkeypatch.setattr(project, "load_config", lambda path: config)
    monkeypatch.chdir(tmp_path)
    kept, stale = [], []
    for place, list_of in (
        ("data/specimens/one/plan.csv", kept),
        ("data/specimens/one/shard-001.extxyz", kept),
        ("data/specimens/one/shard-002.extxyz", stale),
        ("data/specimens/one/shard-002.extxyz.manifest.json", stale),
        ("data/specimens/one/shard-002.extxyz.run.json", stale),
        ("data/specimens/one/shard-002.txt", kept),
        ("data/specimens/one/shard-02.extxyz", kept),
        ("data/specimens/one/shard-0002.extxyz", kept),
        ("data/specimens/one/shard-1000.extxyz", stale),
        ("data/specimens/one/mine/shard-002.extxyz", kept),
        ("data/waves/one/shard-002_old.zarr/zarr.json", kept),
        ("data/waves/one/beam/0002_old.zarr/zarr.json", kept),
        ("data/waves/one/beam/mine/shard-002.zarr/zarr.json", kept),
        ("data/waves/one/beam/shard-010.zarr/zarr.json", stale),
        ("data/images/one/beam/lens/shard-002.zarr/zarr.json", stale),
        ("data/depth/two/rings/shard-001.zarr/zarr.json", stale),
        ("data/depth/three/rings/shard-009.zarr/zarr.json", kept),
        ("results/one/shard-009.zarr/zarr.json", kept),
    ):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        list_of.append(path)

    def clean(*arguments) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["segdepth", "clean-shards", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
        return capsys.readouterr().out.splitlines()

    named = clean("--dry-run")
    assert len(named) == len(stale) and all(line.startswith("would remove data/") for line in named)
    assert all(path.exists() for path in kept + stale)
    assert len(clean()) == len(stale)
    assert all(path.exists() for path in kept) and not any(path.exists() for path in stale)
    assert clean() == ["data: no shards but those of config.yaml"]


def test_verify_names_the_chunks_that_are_damaged(verify, tmp_path):
    def whole(value: float, name: str) -> Path:
        text = {"units": "1", "long_name": "x"}
        data = xr.Dataset({"wave": (("structure", "y", "x"), np.full((3, 8, 9), value, np.float32), text)})
        with write_artefact(Path("data") / name, command="t", code="c", parameters={}) as partial:
            write_zarr(data, partial, parameters={})
        return Path("data") / name

    one, two, header = whole(1, "a.zarr"), whole(2, "b.zarr"), whole(3, "c.zarr")
    flipped = [one / "wave/c/1/0/0", two / "wave/c/0/0/0", two / "wave/c/2/0/0", header / "wave/zarr.json"]
    for path in flipped:
        data = path.read_bytes()
        path.write_bytes(data[:-7] + bytes([data[-7] ^ 4]) + data[-6:])
    again = f"make it again: snakemake --cores {os.cpu_count()} --force -- data"
    code, lines, _ = verify()
    assert (code, lines) == (
        1,
        [
            f"data/a.zarr: the chunk wave/c/1/0/0 is damaged; {again}/a.zarr",
            f"data/b.zarr: 2 chunks are damaged (wave/c/0/0/0, ...); {again}/b.zarr",
            f"data/c.zarr: was edited or damaged since it was made; {again}/c.zarr",
            "3 checked, 3 damaged or stale",
        ],
    )


def test_verify_names_a_damaged_record_of_a_run(verify):
    make("data/a.csv")
    record = run_path("data/a.csv")
    record.write_text(record.read_text().replace("commit", "commot"))
    code, lines, _ = verify()
    assert code == 1 and lines[0].startswith("data/a.csv: data/a.csv.run.json: cannot be read")
    assert lines[0].endswith("it decides nothing: remove it")
    record.unlink()
    assert verify()[0] == 0
