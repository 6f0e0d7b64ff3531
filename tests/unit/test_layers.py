"""The house: a lower room never imports a higher one, library rooms know no stores, and nothing grows out of hand."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import segdepth

ROOT = Path(segdepth.__file__).parent
PROJECT = ROOT.parents[1]
FLOORS = (
    {"errors"},
    {"devices", "recently_used", "seeds", "splits"},
    {"config"},
    {"store", "cluster"},
    {"crystals"},
    {"specimen"},
    {"labels", "simulation"},
    {"networks"},
    {"learning"},
    {"evaluation", "micrograph"},
    {"fitting", "explanation"},
    {"adaptation"},
    {"figures"},
    {"steps"},
    {"public"},
    {"cli", "__main__"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
APART = ({"simulation", "labels"}, {"evaluation", "micrograph"})
LIBRARY = {"crystals", "specimen", "simulation", "labels", "networks", "learning", *APART[1]}
LIBRARY |= {"fitting", "explanation", "adaptation", "figures"}


FILE_LINES, FUNCTION_LINES = 400, 80
ONE_CRYSTAL = re.compile(r"(?<![A-Za-z])Ce(?![a-z])|(?i:cerium|ceria(?!l))|CeO|541\.1|5411|382\.6")
"""Words and lengths that belong to one crystal."""


def _modules() -> list[tuple[str, Path]]:
    """(path below the package without .py, file) of every module."""
    found = [(path.relative_to(ROOT).with_suffix("").as_posix(), path) for path in sorted(ROOT.rglob("*.py"))]
    return [(name, path) for name, path in found if name != "__init__"]


def _imports() -> list[tuple[str, str, str]]:
    """(file, its room, the room it imports) for every import of the package within itself."""
    found = []
    for file, path in _modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module == "segdepth":
                names = [f"segdepth.{alias.name}" for alias in node.names if (ROOT / alias.name).is_dir()]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                words = name.split(".")
                if words[0] == "segdepth" and len(words) > 1:
                    found.append((file, file.split("/")[0], words[1]))
    return found


def _sources() -> list[Path]:
    """Package, workflow and benchmarks."""
    places = (ROOT.rglob("*.py"), (PROJECT / "workflow").rglob("*.smk"), (PROJECT / "benchmarks").rglob("*.py"))
    return sorted(path for paths in places for path in paths)


def test_every_room_has_a_floor():
    assert {room for _, room, _ in _imports()} | {other for _, _, other in _imports()} <= set(FLOOR)


def test_no_room_imports_one_above_it():
    wrong = {f"{file} -> {other}" for file, room, other in _imports() if FLOOR[other] > FLOOR[room]}
    assert wrong == set()


def test_rooms_of_one_floor_leave_each_other_alone():
    for rooms in APART:
        wrong = [(file, other) for file, room, other in _imports() if {room, other} == rooms]
        assert not wrong


def test_library_rooms_know_no_stores():
    wrong = {file for file, room, other in _imports() if room in LIBRARY and other == "store"}
    assert wrong == set()


def test_only_the_crystals_room_knows_one_crystal():
    """Another crystal is a file or a block of the configuration, never an edit elsewhere."""
    wrong = {
        path.relative_to(PROJECT).as_posix()
        for path in _sources()
        if ONE_CRYSTAL.search(path.read_text(encoding="utf-8")) and path.parent.name != "crystals"
    }
    assert wrong == set()


def test_no_file_is_longer_than_one_can_take_in():
    lengths = {path.relative_to(PROJECT).as_posix(): len(path.read_text().splitlines()) for path in _sources()}
    assert {name for name, lines in lengths.items() if lines > FILE_LINES} == set()


def test_no_function_is_longer_than_one_can_take_in():
    wrong = set()
    for path in _sources():
        if path.suffix == ".py":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= FUNCTION_LINES:
                    wrong.add(f"{path.relative_to(PROJECT).as_posix()}:{node.name}")
    assert wrong == set()
