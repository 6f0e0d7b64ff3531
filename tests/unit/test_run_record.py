"""What decides is in the manifest, which is the same for the same artefact; what is known of a run lies beside it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdepth.errors import StoreError
from segdepth.networks.bundled import bundled_folder
from segdepth.store import run_record
from segdepth.store.manifest import check_whole, manifest_path, may_end_chain, read_manifest, write_artefact
from segdepth.store.remaking import remedy, told_options
from segdepth.store.run_record import OPTIONS, run_path, sealed, unsealed

NETWORK = bundled_folder()


def make(path: Path, **more) -> Path:
    facts = {"command": "t", "code": "c", "parameters": {"a": [1, 2.5, None]}, "seeds": {"root_seed": 3}}
    with write_artefact(path, **(facts | more)) as partial:
        partial.write_text("1")
    return path


def test_commit_versions_and_device_are_not_in_the_manifest(tmp_path, monkeypatch):
    first = make(tmp_path / "a.csv", notes={"device": "cpu"})
    before = manifest_path(first).read_bytes()
    known = read_manifest(first)
    monkeypatch.setattr(run_record, "commit_of", lambda folder: "another")
    monkeypatch.setattr(run_record, "versions", lambda: {"numpy": "9"})
    make(first, notes={"device": "cuda"})
    assert manifest_path(first).read_bytes() == before
    now = read_manifest(first)
    assert (now["commit"], now["versions"], now["notes"]) == ("another", {"numpy": "9"}, {"device": "cuda"})
    assert known["notes"] == {"device": "cpu"} and known["versions"]["python"] and known["commit"] != "another"


@pytest.mark.parametrize("change", [{"code": "d"}, {"parameters": {}}, {"seeds": {}}, {"command": "u"}])
def test_what_decides_is_in_the_manifest(tmp_path, change):
    before = manifest_path(make(tmp_path / "one" / "a.csv")).read_text()
    assert manifest_path(make(tmp_path / "two" / "a.csv", **change)).read_text() != before
    assert manifest_path(make(tmp_path / "three" / "a.csv")).read_text() == before


def test_a_record_of_other_content_or_none_is_unknown(tmp_path):
    path = make(tmp_path / "a.csv")
    run_path(path).unlink()
    assert check_whole(path)["commit"] == "unknown" and read_manifest(path)["versions"] == {}
    other = tmp_path / "other.csv"
    with write_artefact(other, command="t", code="c", parameters={}) as partial:
        partial.write_text("2")
    shutil.copy(run_path(other), run_path(path))
    assert read_manifest(path)["commit"] == "unknown"


def test_every_flipped_bit_of_manifest_and_record_is_found_and_named(tmp_path):
    path = make(tmp_path / "a.csv", inputs=[make(tmp_path / "b.csv")])
    for beside in (manifest_path(path), run_path(path)):
        whole = beside.read_bytes()
        for place in range(len(whole)):
            beside.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
            with pytest.raises(StoreError, match=beside.name) as told:
                read_manifest(path)
            assert "\n" not in str(told.value)
        beside.write_bytes(whole)
    assert read_manifest(path)["command"] == "t"


@pytest.mark.parametrize("key", ["commit", "notes", "seal", "content"])
def test_a_manifest_that_lost_its_seal_is_refused(tmp_path, key):
    path = make(tmp_path / "a.csv")
    entries = json.loads(manifest_path(path).read_text())
    entries.pop("seal" if key in ("commit", "notes") else key)
    manifest_path(path).write_text(json.dumps(entries))
    with pytest.raises(StoreError, match="cannot be read"):
        read_manifest(path)


def test_manifests_of_earlier_versions_are_read(tmp_path):
    """Those of the bundled networks hold commit and versions themselves."""
    found = read_manifest(NETWORK)
    assert len(found["commit"]) >= 40 and found["versions"]["numpy"] and may_end_chain(found)
    assert not run_path(NETWORK).exists() and "seal" not in found


def test_an_artefact_that_travels_may_lose_its_record(tmp_path):
    path = make(tmp_path / "a.csv", notes={"travels": True})
    run_path(path).unlink()
    assert may_end_chain(read_manifest(path)) and not may_end_chain(read_manifest(make(tmp_path / "b.csv")))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4).filter(lambda key: key != "seal"), VALUES, max_size=5))
def test_a_sealed_text_is_read_as_it_was_written(entries):
    text = sealed(entries)
    assert unsealed(text) == (entries, True) and sealed(dict(reversed(entries.items()))) == text


def test_keys_that_json_turns_into_texts_are_sealed_as_texts():
    assert unsealed(sealed({"a": {10: 1, 9: 2}})) == ({"a": {"10": 1, "9": 2}}, True)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(OPTIONS, raising=False)
    (tmp_path / "config.yaml").write_text("{}")
    return tmp_path


def test_the_command_that_remakes_has_the_options_that_made_it(project, monkeypatch):
    cores = f"snakemake --cores {os.cpu_count()}"
    path = Path("data/x y.csv")
    assert remedy(path) == f"make it again: {cores} --force -- 'data/x y.csv'"
    monkeypatch.setenv(OPTIONS, told_options([project / "p.yaml", Path("/q/r.yaml")], Path("/w/Snakefile"), project))
    make(path)
    monkeypatch.delenv(OPTIONS)
    given_options = "--configfile p.yaml /q/r.yaml --snakefile /w/Snakefile"
    assert remedy(path) == f"make it again: {cores} {given_options} --force -- 'data/x y.csv'"
    monkeypatch.setenv(OPTIONS, "--configfile now.yaml")
    assert "--configfile now.yaml --force" in remedy(path)
    monkeypatch.setenv(OPTIONS, "")
    assert remedy(path) == f"make it again: {cores} --force -- 'data/x y.csv'"


def test_the_command_names_the_folder_of_the_project(project, monkeypatch, tmp_path_factory):
    make(project / "results" / "a.csv")
    assert remedy(project / "results" / "a.csv").endswith(f"{os.cpu_count()} --force -- results/a.csv")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    told = remedy(project / "results" / "a.csv")
    assert told.startswith(f"make it again: cd {project} && snakemake ") and told.endswith(" --force -- results/a.csv")
    assert remedy("results/adaptations/close/results/models/adapted").endswith(" -- results/models/adapted")
    monkeypatch.chdir(project)
    told = remedy("results/adaptations/close/results/models/adapted")
    assert told.endswith(" --force -- results/adaptations/close/results/models/adapted")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"snakemake": 3}', '{"snakemake": "\'"}', "{}"])
def test_a_damaged_record_does_not_hide_the_command(project, text):
    Path("data").mkdir()
    run_path("data/a.csv").write_text(text)
    assert remedy("data/a.csv").endswith("--force -- data/a.csv")


def test_options_of_the_projects_own_workflow_are_not_told(tmp_path):
    assert told_options([], tmp_path / "workflow" / "Snakefile", tmp_path) == ""
    assert told_options([], Path("/a b/Snakefile"), tmp_path) == "--snakefile '/a b/Snakefile'"
