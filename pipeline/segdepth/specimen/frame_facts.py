"""Facts of an atoms frame from its ``info``, with defaults for atoms from elsewhere."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from segdepth.crystals import Crystal
from segdepth.errors import StoreError
from segdepth.seeds import structure_seed

if TYPE_CHECKING:
    from ase import Atoms


FACE_SLACK = 0.5
"""Å: vibrating atoms may lie that far outside a face of the cell that is not periodic."""


@dataclass(frozen=True)
class FrameFacts:
    """Facts of one structure.

    Parameters
    ----------
    id : ``<specimen>-NNNNN``; default: the same of ``specimen`` (or ``structure``) and ``index``.
    index : number within the specimen block; default: position in the file.
    seed : stands for the structure's seed in tables; default: that of ``root_seed``, ``specimen`` and ``index``.
    surface : flat, stepped or sawtooth; default: empty.
    exit_face_pm : height from which defocus is measured; default: the cell's exit face, z = height.
    field_pm, margin_pm : side of the field of view, (x, y) where it is not square, and what lies beyond each of its
        sides in the cell; defaults: the cell's side without the margins, and 0.
    specimen, root_seed : name of the specimen block and the configuration's seed, which with ``index`` make the
        structure's random streams; defaults: empty and 0.
    crystal : default: None, not known.
    tilt_mrad : (x, y), the beam tilt that stands for the lean ``tilt_x_deg``, ``tilt_y_deg`` of atoms that are upright
        themselves: +1° of lean is -17.4533 mrad; default: 0, 0.
    """

    id: str
    index: int
    seed: int
    surface: str
    exit_face_pm: float
    field_pm: float | tuple[float, float]
    margin_pm: float
    specimen: str
    root_seed: int
    crystal: Crystal | None
    tilt_mrad: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, atoms: Atoms, position: int = 0, *, square: bool = True) -> Self:
        """The facts of a frame, ``position`` counting from 0 within its file.

        Parameters
        ----------
        square : whether the cell must be square in x and y, or may be a rectangle.

        Raises
        ------
        StoreError
            A fact is not of its kind, the cell is no box or not square, or an atom lies outside it, other than along
            periodic x and y.
        """
        info = atoms.info
        try:
            index, root_seed = int(info.get("index", position)), int(info.get("root_seed", 0))
            margin, sides = float(info.get("margin_pm", 0.0)), _sides_pm(atoms, square)
            crystal = _crystal(info.get("crystal"))
            specimen = _specimen(info, index)
            facts = cls(
                id=str(info.get("id", f"{specimen or 'structure'}-{index:05d}")),
                index=index,
                seed=int(info.get("seed", structure_seed(root_seed, specimen, index))),
                surface=str(info.get("surface", "")),
                exit_face_pm=float(info.get("exit_face_pm", 100 * atoms.cell[2, 2])),
                field_pm=_field(info.get("field_pm"), [side - 2 * margin for side in sides]),
                margin_pm=margin,
                specimen=specimen,
                root_seed=root_seed,
                crystal=crystal,
                tilt_mrad=tuple(0.0 - 1000 * math.radians(lean) for lean in lean_deg(info)),
            )
        except (KeyError, TypeError, ValueError) as failure:
            raise StoreError(f"frame {position}: its info cannot be used ({failure})") from None
        for name in ("exit_face_pm", "margin_pm", "field_pm", "tilt_mrad"):
            if not np.isfinite(value := getattr(facts, name)).all():
                raise StoreError(f"frame {position}: {name} is {value}; it must be finite")
        _check_places(atoms, position)
        for field, side in zip(np.broadcast_to(facts.field_pm, 2), sides):
            if field <= 0 or abs(field + 2 * margin - side) > 0.1:
                raise StoreError(
                    f"frame {position}: a field of {field:g} pm with margins of {margin:g} pm does not make its cell, "
                    f"whose side is {side:g} pm"
                )
        return facts

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of a store of such frames: ``field_pm``, ``margin_pm``, ``specimen``, ``root_seed`` and, where it
        is known, ``crystal`` (JSON)."""
        shared = {name: getattr(self, name) for name in ("field_pm", "margin_pm", "specimen", "root_seed")}
        return shared | ({"crystal": crystal_text(self.crystal)} if self.crystal else {})


def frame_facts(frames: Sequence[Atoms], *, square: bool = True) -> list[FrameFacts]:
    """The facts of a file's frames, which go into one store; ``square`` as in ``FrameFacts.of``.

    Raises
    ------
    StoreError
        There are no frames, a frame's facts cannot be used, or the frames differ in what a store has once for all.
    """
    if not frames:
        raise StoreError("there is no frame of atoms")
    facts = [FrameFacts.of(atoms, position, square=square) for position, atoms in enumerate(frames)]
    for position, one in enumerate(facts):
        for name, value in facts[0].attributes.items():
            if (mine := one.attributes.get(name)) != value:
                shown = "" if name == "crystal" else f" ({mine}, {value})"
                raise StoreError(f"frames 0 and {position} differ in {name}{shown}; give each its own file")
    if len({one.index for one in facts}) < len(facts):
        raise StoreError("two frames have the same index")
    return facts


def lean_deg(info: Mapping[str, Any]) -> tuple[float, float]:
    """Lean of the zone axis towards +x and +y down the beam that upright atoms stand for, from their ``info``; 0, 0 if
    it says nothing."""
    return float(info.get("tilt_x_deg", 0.0)), float(info.get("tilt_y_deg", 0.0))


def crystal_text(crystal: Crystal) -> str:
    """A crystal as the JSON text that frames and stores carry."""
    return json.dumps(crystal.to_dict(), sort_keys=True)


@lru_cache(maxsize=64)
def crystal_of(text: str) -> Crystal:
    """The crystal of a frame's or store's JSON text.

    Raises
    ------
    KeyError, TypeError, ValueError
        The text is not that of a crystal.
    """
    return Crystal.from_dict(json.loads(text))


def _crystal(given: Any) -> Crystal | None:
    if given is None or isinstance(given, str) and not given:
        return None
    return crystal_of(given if isinstance(given, str) else json.dumps(given, sort_keys=True))


def _specimen(info: Mapping[str, Any], index: int) -> str:
    """The block's name; extxyz turns names like 12 or 1e5 into numbers, the structure's id keeps them."""
    given, end = info.get("specimen", ""), f"-{index:05d}"
    if not isinstance(given, str) and str(info.get("id", "")).endswith(end):
        return str(info["id"]).removesuffix(end)
    return str(given)


def _field(given: Any, sides: Sequence[float]) -> float | tuple[float, float]:
    """Side of the field, or (x, y) where they differ."""
    x, y = (float(side) for side in (sides if given is None else np.broadcast_to(given, 2)))
    return x if x == y else (x, y)


def _sides_pm(atoms: Atoms, square: bool) -> tuple[float, float]:
    cell = np.asarray(atoms.cell)
    box = np.isfinite(cell).all() and np.abs(cell[~np.eye(3, dtype=bool)]).max() <= 1e-6 and min(np.diag(cell)) > 0
    uneven = box and abs(cell[0, 0] - cell[1, 1]) > 1e-6
    if not box or (square and uneven):
        raise StoreError(
            f"the cell must be a right-angled box{', square in x and y' if square else ''}; its sides are "
            f"{', '.join(f'{100 * side:.1f}' for side in atoms.cell.lengths())} pm"
        )
    return 100 * float(cell[0, 0]), 100 * float(cell[1, 1] if uneven else cell[0, 0])


def _check_places(atoms: Atoms, position: int) -> None:
    """Atoms must be somewhere, and in the cell: the simulation wraps along x and y, but only periodic ones are meant
    so; along the beam it does not."""
    sides, places = np.diag(atoms.cell), atoms.positions
    periodic = atoms.pbc & (True, True, False)
    outside = ~periodic & ((places < -FACE_SLACK) | (places > sides + FACE_SLACK))
    wrong = np.flatnonzero((outside | ~np.isfinite(places)).any(axis=1))
    if not wrong.size:
        return
    first = wrong[0]
    place = ", ".join(f"{x:g}" for x in places[first])
    here = f"frame {position}: atom {first} ({atoms.symbols[first]}) is at ({place}) Å"
    if not np.isfinite(places[first]).all():
        raise StoreError(f"{here}; it must be finite")
    axis = int(np.argmax(outside[first]))
    raise StoreError(
        f"{here}, outside its cell along {'xyz'[axis]}, which is {sides[axis]:g} Å long and not periodic there; move "
        f"the atoms or change the cell{'' if axis == 2 else ' (or its pbc)'}"
    )
