"""The chain behind an artefact, and what breaks it."""

from __future__ import annotations

import json

import pytest

from segdepth.errors import StoreError
from segdepth.store.manifest import manifest_path, write_artefact
from segdepth.store.trace import describe, owner_of, trace


def make(path, text: str, inputs=()):
    with write_artefact(path, command="test", code="c", parameters={}, inputs=inputs) as partial:
        if path.suffix == ".zarr":
            partial.mkdir()
            (partial / "chunk").write_text(text)
        else:
            partial.write_text(text)
    return path


@pytest.fixture
def chain(tmp_path):
    """notes.txt (from outside) -> plan.csv -> atoms -> two stores -> figure.png"""
    (tmp_path / "notes.txt").write_text("outside")
    plan = make(tmp_path / "data" / "plan.csv", "plan", [tmp_path / "notes.txt"])
    atoms = make(tmp_path / "data" / "shard.extxyz", "atoms", [plan])
    waves = make(tmp_path / "data" / "waves.zarr", "waves", [atoms])
    depth = make(tmp_path / "data" / "depth.zarr", "depth", [atoms])
    make(tmp_path / "results" / "figure.png", "figure", [waves, depth])
    return tmp_path


def problems(link, found=None) -> dict[str, list[str]]:
    found = {} if found is None else found
    if link.problems:
        found[link.path.name] = link.problems
    for given in link.inputs:
        problems(given, found)
    return found


def test_whole_chain(chain):
    link = trace(chain / "results" / "figure.png")
    assert not link.broken and problems(link) == {}
    assert [given.path.name for given in link.inputs] == ["waves.zarr", "depth.zarr"]
    assert link.inputs[0].inputs[0] is link.inputs[1].inputs[0]
    outside = link.inputs[0].inputs[0].inputs[0].inputs[0]
    assert outside.external and outside.path.name == "notes.txt"
    assert describe(link).splitlines()[-1].startswith("whole")


def test_from_inside_a_store_and_relative(chain, monkeypatch):
    assert owner_of(chain / "data" / "waves.zarr" / "chunk") == chain / "data" / "waves.zarr"
    monkeypatch.chdir(chain / "results")
    assert not trace("figure.png").broken


def test_moved_project_is_still_whole(chain, tmp_path_factory):
    moved = tmp_path_factory.mktemp("elsewhere") / "project"
    chain.rename(moved)
    assert not trace(moved / "results" / "figure.png").broken


def test_edited_store(chain):
    (chain / "data" / "waves.zarr" / "chunk").write_text("edited")
    link = trace(chain / "results" / "figure.png")
    assert link.broken and problems(link) == {"waves.zarr": ["was edited: its content does not match its manifest"]}
    assert "BROKEN in 1 place" in describe(link)


def test_edited_figure(chain):
    (chain / "results" / "figure.png").write_text("touched up")
    assert problems(trace(chain / "results" / "figure.png")) == {
        "figure.png": ["was edited: its content does not match its manifest"]
    }


def test_missing_input(chain):
    (chain / "data" / "plan.csv").unlink()
    figure = chain / "results" / "figure.png"
    assert problems(trace(figure)) == {"plan.csv": ["is missing, though its manifest is there"]}
    manifest_path(chain / "data" / "plan.csv").unlink()
    assert problems(trace(figure)) == {"plan.csv": ["is missing"]}


def test_remade_input(chain):
    make(chain / "data" / "waves.zarr", "other waves", [chain / "data" / "shard.extxyz"])
    assert problems(trace(chain / "results" / "figure.png")) == {
        "waves.zarr": ["has been made anew since a later artefact read it"]
    }


def test_input_remade_for_one_reader_only(chain):
    """The atoms were made anew and only one of their two readers after them."""
    make(chain / "data" / "shard.extxyz", "other atoms", [chain / "data" / "plan.csv"])
    waves = make(chain / "data" / "waves.zarr", "waves", [chain / "data" / "shard.extxyz"])
    make(chain / "results" / "figure.png", "figure", [waves, chain / "data" / "depth.zarr"])
    assert problems(trace(chain / "results" / "figure.png")) == {
        "shard.extxyz": ["has been made anew since a later artefact read it"]
    }
    assert not trace(waves).broken


def test_input_remade_alike_is_whole(chain):
    make(chain / "data" / "waves.zarr", "waves", [chain / "data" / "shard.extxyz"])
    assert not trace(chain / "results" / "figure.png").broken


def test_changed_external_file(chain):
    (chain / "notes.txt").write_text("changed")
    assert problems(trace(chain / "results" / "figure.png")) == {"notes.txt": ["has changed since it was read"]}


def test_lost_manifest(chain):
    manifest_path(chain / "data" / "depth.zarr").unlink()
    assert problems(trace(chain / "results" / "figure.png")) == {}  # its content is still what was read
    with pytest.raises(StoreError, match="has a manifest"):
        trace(chain / "data" / "depth.zarr")


def test_unknown_path(chain):
    with pytest.raises(StoreError, match="does not exist"):
        trace(chain / "nothing.png")


@pytest.mark.parametrize(
    "change",
    [{"inputs": [{}]}, {"inputs": 5}, {"content": None}, {"parameters": 3}, {"versions": [1]}, {"commit": None}],
)
def test_a_manifest_of_wrong_types_is_a_broken_link(tmp_path, change):
    path = tmp_path / "a.csv"
    with write_artefact(path, command="test", code="0", parameters={}) as partial:
        partial.write_text("1")
    manifest = manifest_path(path)
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    chain = trace(path)
    assert chain.broken and "cannot be read" in describe(chain)
