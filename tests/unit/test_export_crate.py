"""RO-Crates of results, read again by their own library, and `segdepth trace --json`."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import pytest

from segdepth import cli
from segdepth.store.manifest import (
    TRAVELS,
    content_hash,
    file_hash,
    manifest_path,
    read_manifest,
    remove,
    write_artefact,
)
from segdepth.store.trace import Link, trace

rocrate = pytest.importorskip("rocrate.rocrate")

FIGURE, NETWORK = "results/figures/fig 1.png", "results/models/small"
CHAIN = {  # what is made from what
    "data/plan.csv": ["notes.txt"],
    "data/shard-000.extxyz": ["data/plan.csv"],
    "data/shard-001.extxyz": ["data/plan.csv"],
    "data/waves-000.zarr": ["data/shard-000.extxyz"],
    "data/waves-001.zarr": ["data/shard-001.extxyz"],
    NETWORK: ["data/waves-000.zarr", "data/waves-001.zarr"],
    FIGURE: [NETWORK, "data/waves-001.zarr"],
}


def make(name: str, inputs=(), notes=None) -> None:
    path = Path(name)
    options = {
        "command": f"make-{path.suffix[1:] or 'network'}",
        "code": "c0de",
        "notes": notes,
        "seeds": {"root_seed": 7},
    }
    with write_artefact(path, parameters={"beam": {"kv": 300}}, inputs=inputs, **options) as partial:
        if path.suffix in (".zarr", ""):
            (partial / "inner").mkdir(parents=True)
            (partial / "config.yaml").write_text(f"of {name}")
            (partial / "inner" / "chunk").write_text(3000 * name)
        else:
            partial.write_text(name)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose folder is the working one."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    Path("notes.txt").write_text("from outside")
    Path("config.yaml").write_text("root_seed: 7\n")
    Path("constraints.txt").write_text("numpy==2\n")
    for name, inputs in CHAIN.items():
        make(name, inputs)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command: exit status, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["segdepth", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, *capsys.readouterr()

    return call


def behind(crate, start: str) -> dict[str, list[str]]:
    """What was made from what, followed from one entity: result -> action -> object."""
    made_by = {result.id: action for action in crate.get_by_type("CreateAction") for result in action["result"]}
    found, waiting = {}, [crate.get(start)]
    while waiting:
        entity = waiting.pop()
        if entity.id in made_by and entity["name"] not in found:
            read = [each for each in made_by[entity.id]["object"] if each.type != "PropertyValue"]
            found[entity["name"]] = [each["name"] for each in read]
            waiting += read
    return found


def test_a_crate_leads_from_the_figure_to_the_plan(project, run):
    code, out, err = run("export-crate", FIGURE, "--out", "crate", "--license", "CC-BY-4.0")
    assert (code, err) == (0, "") and out == "crate: 8 artefacts, 8 of them copied, 0 named by their content hash\n"
    crate = rocrate.ROCrate("crate")
    assert behind(crate, "results/figures/fig%201.png") == CHAIN
    root = crate.root_dataset
    assert root["conformsTo"].id == "https://w3id.org/ro/wfrun/process/0.6" and root["license"] == "CC-BY-4.0"
    assert {each.id for each in root["mentions"]} == {each.id for each in crate.get_by_type("CreateAction")}
    for name in CHAIN:
        assert content_hash(Path("crate") / name) == content_hash(name)
        assert read_manifest(Path("crate") / name) == read_manifest(name)
    for name in ("config.yaml", "constraints.txt", "notes.txt"):
        assert (Path("crate") / name).read_text() == Path(name).read_text() and name in crate


def test_a_crate_says_who_made_what_with_which_parameters(project, run):
    run("export-crate", FIGURE, "--out", "crate")
    crate, manifest = rocrate.ROCrate("crate"), read_manifest(FIGURE)
    for entity in crate.get_by_type("File"):
        path = Path("crate") / entity["name"]
        assert "sha256" not in entity or entity["sha256"] == file_hash(path)
        assert entity["contentSize"] == str(path.stat().st_size)
    for action in crate.get_by_type("CreateAction"):
        tool = action["instrument"]
        assert tool["description"] == f"code c0de, commit {manifest['commit']}"
        packages = {each["name"]: each["softwareVersion"] for each in tool["softwareRequirements"]}
        assert packages | {"segdepth": tool["softwareVersion"]} == manifest["versions"]
        values = {each["name"]: json.loads(each["value"]) for each in action["object"] if each.type == "PropertyValue"}
        assert values == {"beam": {"kv": 300}, "root_seed": 7}
    assert len(crate.get_by_type("PropertyValue")) == 2 and "license" not in crate.root_dataset


def test_what_is_large_is_named_and_not_copied(project, run):
    code, out, _ = run("export-crate", NETWORK, "--out", "crate", "--largest-mb", "0.01")
    assert (code, out) == (0, "crate: 7 artefacts, 5 of them copied, 2 named by their content hash\n")
    crate = rocrate.ROCrate("crate")
    expected = {name: inputs for name, inputs in CHAIN.items() if name != FIGURE}
    assert behind(crate, f"{NETWORK}/") == expected
    named = {each["name"]: each["identifier"] for each in crate.get_by_type("CreativeWork") if "identifier" in each}
    waves = [f"data/waves-00{number}.zarr" for number in (0, 1)]
    assert named == {name: f"sha256:{read_manifest(name)['content']}" for name in waves}
    for name in waves:
        assert not (Path("crate") / name).exists() and read_manifest(Path("crate") / name) == read_manifest(name)
    assert content_hash(Path("crate") / NETWORK) == content_hash(NETWORK)


def test_a_zip_holds_what_a_folder_holds(project, run):
    run("export-crate", FIGURE, NETWORK, "--out", "folder")
    assert run("export-crate", FIGURE, NETWORK, "--out", "crate.zip")[0] == 0
    with zipfile.ZipFile("crate.zip") as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        assert names == {path.relative_to("folder").as_posix() for path in Path("folder").rglob("*") if path.is_file()}
    assert behind(rocrate.ROCrate("crate.zip"), "results/figures/fig%201.png") == CHAIN
    assert list(Path().glob(".*")) == [] and read_manifest("crate.zip")["command"] == "export-crate"


def test_what_is_not_here_or_lies_outside_is_named(project, run, tmp_path):
    make("../elsewhere/lost.csv")
    make("../elsewhere/packaged", ["../elsewhere/lost.csv"], {TRAVELS: True})
    content = read_manifest("../elsewhere/lost.csv")["content"]
    for path in (tmp_path / "elsewhere" / "lost.csv", manifest_path(tmp_path / "elsewhere" / "lost.csv")):
        remove(path)
    make("results/table.csv", ["../elsewhere/packaged"])
    assert run("export-crate", "results/table.csv", "--out", "crate")[0] == 0
    crate = rocrate.ROCrate("crate")
    found = behind(crate, "results/table.csv")
    (outside,) = found.pop("results/table.csv")
    assert outside.startswith("outside/") and outside.endswith("/packaged") and found == {outside: ["lost.csv"]}
    assert content_hash(Path("crate") / outside) == content_hash("../elsewhere/packaged")
    assert [each["identifier"] for each in crate.get_entities() if each.get("name") == "lost.csv"] == [
        f"sha256:{content}"
    ]
    assert str(tmp_path) not in (Path("crate") / "ro-crate-metadata.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing.png"], "nothing.png: does not exist"),
        (["notes.txt"], "has a manifest"),
        ([FIGURE, "--config", "other.yaml"], "other.yaml: No such file or directory"),
        ([FIGURE, "--largest-mb", "-1"], "--largest-mb"),
        ([NETWORK, "--out", f"{NETWORK}/crate"], "which is read; give another --out"),
        ([FIGURE, "--out", "data"], "data: exists but has no manifest"),
    ],
)
def test_wrong_exports_are_one_line(project, run, arguments, says):
    before = sorted(Path().rglob("*"))
    code, out, err = run("export-crate", *arguments, *([] if "--out" in arguments else ["--out", "crate"]))
    assert code == 2 and says in err and err.startswith("segdepth: error: ") and err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def test_a_broken_chain_and_a_missing_library_are_one_line(project, run, monkeypatch):
    (Path(NETWORK) / "config.yaml").write_text("edited")
    code, _, err = run("export-crate", FIGURE, "--out", "crate")
    assert code == 2 and "its chain is broken, see segdepth trace" in err and err.count("\n") == 1
    monkeypatch.setitem(sys.modules, "rocrate", None)
    code, _, err = run("export-crate", FIGURE, "--out", "crate")
    assert (code, err) == (2, "segdepth: error: rocrate is not installed: pip install 'segdepth[workflow]'\n")
    assert not Path("crate").exists()


def edges(link: Link) -> dict[str, list[str]]:
    return {link.path.name: [each.path.name for each in link.inputs]} | {
        name: read for each in link.inputs for name, read in edges(each).items()
    }


def test_trace_as_json_is_the_chain(project, run):
    code, out, err = run("trace", "--json", FIGURE)
    told = json.loads(out)
    assert (code, err) == (0, "") and set(told) == {"layout", "target", "whole", "artefacts"}
    assert (told["layout"], told["target"], told["whole"]) == (1, FIGURE, True)
    found = {each["path"]: each["inputs"] for each in told["artefacts"]}
    assert found == CHAIN | {"notes.txt": []} and list(found)[0] == FIGURE and len(told["artefacts"]) == len(found)
    assert {Path(name).name: [Path(each).name for each in read] for name, read in found.items()} == edges(trace(FIGURE))
    for each in told["artefacts"]:
        assert set(each) == {"path", "inputs", "elsewhere", "problems", "manifest"} and each["problems"] == []
        assert each["manifest"] == (None if each["path"] == "notes.txt" else read_manifest(each["path"]))


def test_trace_as_json_names_what_is_broken(project, run):
    Path("data/waves-001.zarr/inner/chunk").write_text("edited")
    code, out, _ = run("trace", "--json", FIGURE)
    told = json.loads(out)
    problems = {each["path"]: each["problems"] for each in told["artefacts"] if each["problems"]}
    assert (code, told["whole"]) == (1, False)
    assert problems == {"data/waves-001.zarr": ["was edited: its content does not match its manifest"]}
