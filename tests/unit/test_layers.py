"""The house: a lower layer never imports a higher one, and figures do not reach past stored results."""

from __future__ import annotations

import ast
from pathlib import Path

import segdepth

ROOT = Path(segdepth.__file__).parent
FLOORS = (
    {"seeds", "splits"},
    {"config"},
    {"devices", "store"},
    {"specimen"},
    {"simulation", "labels"},
    {"learning"},
    {"evaluation", "micrograph"},
    {"figures"},
    {"cli", "__main__"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
APART = ({"simulation", "labels"}, {"evaluation", "micrograph"})


def _imports() -> list[tuple[str, str, str]]:
    """(file, its room, the room it imports) for every import of the package within itself."""
    found = []
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts == ("__init__",):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                words = name.split(".")
                if words[0] == "segdepth" and len(words) > 1:
                    found.append(("/".join(parts), parts[0], words[1]))
    return found


def test_every_room_has_a_floor():
    assert {room for _, room, _ in _imports()} <= set(FLOOR)


def test_no_room_imports_one_above_it():
    wrong = [(file, other) for file, room, other in _imports() if FLOOR[other] > FLOOR[room]]
    assert not wrong


def test_rooms_of_one_floor_leave_each_other_alone():
    for rooms in APART:
        wrong = [(file, other) for file, room, other in _imports() if {room, other} == rooms]
        assert not wrong


def test_figures_read_results_and_compute_nothing():
    allowed = {"config", "store", "evaluation", "micrograph", "figures"}
    assert {other for _, room, other in _imports() if room == "figures"} <= allowed
