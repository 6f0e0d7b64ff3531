"""Crystals along an axis: closed forms, and what ASE's own supercell shows when it is turned and projected."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from conftest import CERIA, CERIA_BLOCK, TITANATE_BLOCK
from hypothesis import assume, given
from hypothesis import strategies as st

from segdepth.config import CrystalBlock, load_config
from segdepth.crystals import Column, Crystal, lattice_columns, load_crystal
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.crystals.projection import Structure, project
from segdepth.errors import ConfigError
from segdepth.specimen.terminations import termination_mask

A, B = 541.1, 390.5
TITANATE = TITANATE_BLOCK.structure
CELLS = {
    "CeO2": bulk("CeO2", "fluorite", a=A / 100, cubic=True),
    TITANATE: Atoms(
        "SrTiO3",
        scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)],
        cell=[B / 100] * 3,
        pbc=True,
    ),
}


def crystal(structure: str, zone: tuple, x: tuple, **keys) -> Crystal:
    return load_crystal(CrystalBlock(structure=str(structure), zone_axis=zone, x_axis=x, **keys), "mine")


def columns_of(found: Crystal) -> list[tuple]:
    return [(c.label, round(c.x, 6), round(c.y, 6), round(c.z, 6), c.per_period) for c in found.columns]


def test_ceria_along_110():
    assert CERIA.title == "CeO2 [110]" and CERIA.elements == CERIA.all_elements == ("Ce", "O")
    assert CERIA.x_axis == (0, 0, 1) and CERIA.y_axis == (1, -1, 0)
    assert CERIA.periods_pm == pytest.approx((A, A / np.sqrt(2), A / np.sqrt(2)), rel=1e-12)
    assert columns_of(CERIA) == [
        ("Ce", 0, 0, 0, 1), ("Ce", 0.5, 0.5, 0.5, 1),
        ("O", 0.25, 0, 0.5, 1), ("O", 0.75, 0, 0.5, 1), ("O", 0.25, 0.5, 0, 1), ("O", 0.75, 0.5, 0, 1),
    ]  # fmt: skip
    assert CERIA.row_pm == pytest.approx(A / (2 * np.sqrt(2))) and CERIA.nearest_column_pm == pytest.approx(A / 4)
    assert CERIA.border_pm == A / 2
    assert CERIA.facet_slope() == CERIA.facet_slope("1-11") == pytest.approx(np.tan(np.radians(35.2644)), abs=1e-6)
    assert {kind: len(offsets) for kind, offsets in CERIA.bonds.items()} == {2: 3, 3: 3, 4: 3, 5: 3}
    far = np.hypot(A / 4, A / np.sqrt(8))
    assert sorted(np.hypot(*CERIA.bonds[2].T)) == pytest.approx([A / 4, far, far])
    assert CERIA.debye_waller_pm == {"Ce": 6.6, "O": 8.5}


def test_ceria_along_110_has_the_known_reflections():
    spacing = {"1-11": A / np.sqrt(3), "-111": A / np.sqrt(3), "002": A / 2, "2-20": A / np.sqrt(8)}
    assert {r.name: CERIA.spacing_pm(r.name) for r in CERIA.reflections} == pytest.approx(spacing)
    assert CERIA.reflection_pair == ("1-11", "-111")
    assert CERIA.frequency("002") == pytest.approx((2 / A, 0))
    assert CERIA.frequency("-111") == pytest.approx((1 / A, -np.sqrt(2) / A))


def test_ceria_along_001():
    """Ce on a square lattice of a/2, O between them twice a period, each among four Ce."""
    found = crystal("CeO2", (0, 0, 1), (1, 0, 0))
    assert found.periods_pm == pytest.approx((A, A, A)) and found.y_axis == (0, 1, 0)
    assert {c[0] for c in columns_of(found)} == {"Ce", "O"} and len(found.columns) == 8
    assert {(c.element, c.per_period) for c in found.columns} == {("Ce", 1), ("O", 2)}
    assert found.nearest_column_pm == pytest.approx(A / np.sqrt(8)) and {len(b) for b in found.bonds.values()} == {4}
    assert found.reflection_pair == ("200", "020") and found.facet_slope() == pytest.approx(1)


def test_ceria_along_111():
    """Along [111] O stands above and below Ce in one column: mixed, called by Ce, two O a Ce."""
    found = crystal("CeO2", (1, 1, 1), (1, -1, 0))
    assert found.elements == ("Ce",) and found.all_elements == ("Ce", "O") and found.y_axis == (1, 1, -2)
    assert found.periods_pm == pytest.approx((A / np.sqrt(2), A * np.sqrt(1.5), A * np.sqrt(3)))
    assert {c.label for c in found.columns} == {"Ce-O"} and len(found.columns) == 6
    assert found.columns[0].companions == (("O", 0.25), ("O", 0.75))
    assert found.nearest_column_pm == pytest.approx(A / np.sqrt(6)) and found.spacing_pm("2-20") == pytest.approx(
        A / np.sqrt(8)
    )


def test_titanate_along_001():
    found = load_crystal(TITANATE_BLOCK, "sto")
    assert found.title == "SrTiO3 [001]" and found.elements == ("Sr", "Ti", "O")
    assert found.periods_pm == pytest.approx((B, B, B))
    assert columns_of(found) == [("Sr", 0, 0, 0, 1), ("Ti-O", 0.5, 0.5, 0.5, 1), ("O", 0.5, 0, 0.5, 1), ("O", 0, 0.5, 0.5, 1)]  # noqa: E501  # fmt: skip
    assert found.columns[1].companions == (("O", 0.5),)
    assert [len(found.bonds[kind]) for kind in (1, 2, 3)] == [4, 2, 2]
    assert found.nearest_column_pm == found.row_pm == pytest.approx(B / 2)
    assert found.debye_waller_pm == {"Sr": 8.9, "Ti": 7.5, "O": 9.6}
    assert {"110", "1-10"} == set(found.reflection_pair)  # 100 is weak: Sr against Ti and O


def test_titanate_along_110():
    """Sr with O, Ti alone, and O twice a period."""
    found = crystal(TITANATE, (1, 1, 0), (0, 0, 1))
    assert found.periods_pm == pytest.approx((B, B * np.sqrt(2), B * np.sqrt(2)))
    assert columns_of(found) == [
        ("Sr-O", 0, 0, 0, 1), ("Sr-O", 0, 0.5, 0.5, 1), ("Ti", 0.5, 0, 0.5, 1), ("Ti", 0.5, 0.5, 0, 1),
        ("O", 0.5, 0.25, 0.25, 2), ("O", 0.5, 0.75, 0.25, 2),
    ]  # fmt: skip
    assert found.row_pm == pytest.approx(B / np.sqrt(8))


def test_hexagonal_crystal_has_a_rectangular_cell():
    """ZnO along c: two lattice points in a cell of a × a√3. Along [100] Zn and O stand apart."""
    cell = bulk("ZnO", "wurtzite", a=3.25, c=5.2)
    along_c, along_a = projected(cell, (0, 0, 1), (1, 0, 0)), projected(cell, (1, 0, 0), (0, 0, 1))
    assert along_c.periods_pm == pytest.approx((325, 325 * np.sqrt(3), 520))
    assert {c.label for c in along_c.columns} == {"Zn-O"} and len(along_c.columns) == 4
    assert along_c.nearest_column_pm == pytest.approx(325 / np.sqrt(3))
    assert along_a.elements == ("Zn", "O") and along_a.spacing_pm("002") == pytest.approx(260)


def projected(cell: Atoms, zone: tuple, x: tuple) -> Crystal:
    listed = [(s, tuple(p)) for s, p in zip(cell.get_chemical_symbols(), cell.get_scaled_positions())]
    return project(Structure(cell.get_chemical_formula(), 100 * np.asarray(cell.cell), listed, {}), zone, x, "mine")


small = st.tuples(*[st.integers(-2, 2)] * 3).filter(any)


def along(data, structure: str) -> Crystal:
    """A crystal along drawn axes that are perpendicular to each other."""
    zone, x = data.draw(small), data.draw(small)
    x = tuple(int(i) for i in np.cross(zone, x))
    assume(any(x) and max(map(abs, x)) <= 6)
    try:
        return crystal(structure, zone, x)
    except ConfigError as refused:
        assert "choose another zone axis" in str(refused)
        assume(False)


def turned(cell: Atoms, found: Crystal) -> tuple[np.ndarray, list[str]]:
    """Positions of a supercell, in periods of the projected cell, by the axes' own directions; cubic cells only."""
    axes = np.array([np.array(a) / np.linalg.norm(a) for a in (found.x_axis, found.y_axis, found.zone_axis)])
    assert np.allclose(axes @ axes.T, np.eye(3)) and np.linalg.det(axes) == pytest.approx(1)
    big = cell.repeat(4)
    return 100 * big.positions @ axes.T / found.periods_pm, big.get_chemical_symbols()


def listed_atoms(found: Crystal) -> list[tuple[str, float, float, float]]:
    """Every atom of the projected cell, lighter ones of mixed columns included."""
    atoms = []
    for c in found.columns:
        for n in range(c.per_period):
            z = c.z + n / c.per_period
            atoms += [(c.element, c.x, c.y, z), *((symbol, c.x, c.y, z + up) for symbol, up in c.companions)]
    return atoms


@pytest.mark.parametrize("structure", list(CELLS), ids=["CeO2", "SrTiO3"])
@given(data=st.data())
def test_projected_cell_is_ases_supercell_turned(structure, data):
    """Each atom of the supercell falls on an atom of the projected cell of its element, and each of these is met."""
    found, cell = along(data, structure), CELLS[structure]
    places, symbols = turned(cell, found)
    mine = listed_atoms(found)
    met = set()
    for place, symbol in zip(places, symbols):
        off = np.array([m[1:] for m in mine]) - place
        off = np.abs(off - np.rint(off)).max(axis=1)
        nearest = int(off.argmin())
        assert off[nearest] < 1e-6 and mine[nearest][0] == symbol
        met.add(nearest)
    if max(found.periods_pm) < 200 * cell.cell[0, 0]:  # half the supercell; longer ones may have cells it does not fill
        assert len(met) == len(mine)


@pytest.mark.parametrize("structure", list(CELLS), ids=["CeO2", "SrTiO3"])
@given(data=st.data())
def test_atoms_in_a_volume_are_the_crystals(structure, data):
    found, cell = along(data, structure), CELLS[structure]
    dense = len(listed_atoms(found)) / np.prod(found.periods_pm)
    assert dense == pytest.approx(len(cell) / (1e6 * cell.get_volume()))


@pytest.mark.parametrize("structure", list(CELLS), ids=["CeO2", "SrTiO3"])
@given(data=st.data())
def test_reflections_have_their_structure_factors(structure, data):
    """Σ Z exp 2πi (hkl · r) over the unit cell, from the name alone: strength, zone law, spacing and direction."""
    found, cell = along(data, structure), CELLS[structure]
    side = 100 * cell.cell[0, 0]
    for one in found.reflections:
        hkl = miller(one.name)
        assert np.dot(hkl, found.zone_axis) == 0
        waves = cell.numbers * np.exp(2j * np.pi * cell.get_scaled_positions() @ hkl)
        assert one.strength == pytest.approx(abs(waves.sum()) / cell.numbers.sum(), abs=1e-5) and one.strength > 0.2
        assert found.spacing_pm(one.name) == pytest.approx(side / np.linalg.norm(hkl))
        x, y = (np.dot(hkl, axis) / np.linalg.norm(axis) / side for axis in (found.x_axis, found.y_axis))
        assert found.frequency(one.name) == pytest.approx((x, y), abs=1e-12)
        if structure == "CeO2":
            assert len({i % 2 for i in hkl}) == 1  # face centred
    first, second = (found.frequency(name) for name in found.reflection_pair)
    assert abs(first[0] * second[1] - first[1] * second[0]) > 1e-9
    spacings = [found.spacing_pm(one.name) for one in found.reflections]
    assert (np.diff(spacings) <= 1e-6).all()


def miller(name: str) -> np.ndarray:
    parts = name.split() if " " in name else [p for p in name.replace("-", " -").replace(" -", "\0-").split("\0") if p]
    return np.array([int(i) for i in parts] if " " in name else [int(i) for p in parts for i in digits(p)])


def digits(part: str) -> list[str]:
    return ["-" + part[1], *part[2:]] if part.startswith("-") else list(part)


@given(data=st.data(), x=st.floats(0, 900), y=st.floats(0, 900), beyond=st.sampled_from([0.0, 150.0]))
def test_columns_fill_a_rectangle_once(data, x, y, beyond):
    found = along(data, TITANATE)
    width, height = 2.5 * found.periods_pm[0], 1500.0
    columns = lattice_columns(found, width, height, (x, y), beyond)
    places = np.stack([columns.x_pm, columns.y_pm], axis=1)
    assert len(np.unique(places.round(4), axis=0)) == len(places)
    density = len(found.columns) / (found.periods_pm[0] * found.periods_pm[1])
    edge = 4 * max(found.periods_pm) * (width + height + 4 * beyond) * density
    assert len(places) == pytest.approx(density * (width + 2 * beyond) * (height + 2 * beyond), abs=edge)
    assert (places >= -beyond).all() and (places < [width + beyond, height + beyond]).all()
    assert np.array_equal(np.lexsort((places[:, 0], places[:, 1])), np.arange(len(places)))
    for kind, column in enumerate(found.columns):
        mine = columns.column_type == kind
        assert set(columns.atomic_number[mine]) <= {ATOMIC_NUMBER[column.element]}
        fractions = (places[mine] - (x, y)) / found.periods_pm[:2] - (column.x, column.y)
        assert np.allclose(fractions, np.rint(fractions), atol=1e-9)


@pytest.mark.parametrize("structure", list(CELLS), ids=["CeO2", "SrTiO3"])
@given(data=st.data())
def test_a_crystal_survives_json(structure, data):
    found = along(data, structure)
    assert Crystal.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_lattice_constant_scales_a_known_structure_and_a_file():
    assert crystal("CeO2", (1, 1, 0), (0, 0, 1), lattice_pm=550.0).periods_pm[0] == 550
    assert crystal(TITANATE, (0, 0, 1), (1, 0, 0), lattice_pm=400.0).periods_pm == pytest.approx((400, 400, 400))


def test_axes_are_told_by_their_smallest_indices():
    assert crystal("CeO2", (2, 2, 0), (0, 0, -3)).title == "CeO2 [110]"
    assert crystal("CeO2", (1, 1, 0), (0, 0, -1)).x_axis == (0, 0, -1)


def test_an_edited_file_is_read_anew(tmp_path):
    path = tmp_path / "mine.cif"
    for number, side in enumerate((3.9, 4.0)):
        cell = CELLS[TITANATE].copy()
        cell.set_cell([side] * 3, scale_atoms=True)
        ase.io.write(path, cell)
        os.utime(path, (number, number))
        assert crystal(path, (0, 0, 1), (1, 0, 0)).periods_pm[0] == pytest.approx(100 * side)


def wrong_files(folder: Path) -> dict[str, str]:
    ase.io.write(folder / "molecule.xyz", Atoms("CO", positions=[(0, 0, 0), (0, 0, 1.1)]), format="xyz")
    right = Path(TITANATE).read_text()
    for name, text in {
        "text.cif": "data_\nthis is no structure\n",
        "empty.cif": "",
        "half.cif": right[: len(right) // 2],
        "structure.foo": right,
        "mixed.cif": right.replace("Sr1 Sr 0 0 0 1", "Sr1 Sr 0 0 0 0.6\nBa1 Ba 0 0 0 0.4"),
        "vacant.cif": right.replace("Sr1 Sr 0 0 0 1", "Sr1 Sr 0 0 0 0.6"),
        "element.cif": right.replace("Ti1 Ti", "Qq1 Qq"),
        "dummy.cif": right.replace("Ti1 Ti", "Ti1 X"),
    }.items():
        (folder / name).write_text(text)
    unread = r"got '.*{}', which ASE cannot read as a structure \(\w+:.*\); give a CIF"
    return {
        "none.cif": "got '.*none.cif'; known structures are CeO2, and there is no such file",
        **{name: unread.format(name) for name in ("text.cif", "empty.cif", "half.cif", "structure.foo", "element.cif")},
        "molecule.xyz": "molecule.xyz has no unit cell with atoms",
        **{name: f"{name} has sites that are partly occupied; give an ord" for name in ("mixed.cif", "vacant.cif")},
        "dummy.cif": "dummy.cif has an atom X; each atom must be of a chemical element",
    }


def test_wrong_files_are_told_in_one_line(tmp_path):
    for name, told in wrong_files(tmp_path).items():
        with pytest.raises(ConfigError, match=told) as refused:
            crystal(tmp_path / name, (0, 0, 1), (1, 0, 0))
        assert str(refused.value).startswith("crystals.mine.structure: ") and "\n" not in str(refused.value)


def monoclinic() -> Atoms:
    return Atoms("ZrO", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=(5.1, 5.2, 5.3, 90, 100.7, 90), pbc=True)


def test_axes_and_vibrations_that_do_not_suit_are_told_in_one_line():
    told = r"crystals.mine.x_axis: got \[100\], which is not perpendicular to the zone axis \[110\]"
    with pytest.raises(ConfigError, match=told):
        crystal("CeO2", (1, 1, 0), (1, 0, 0))
    with pytest.raises(
        ConfigError, match=r"crystals.mine.zone_axis: got \[001\]; no lattice direction with indices up to 24 is perp"
    ):
        projected(monoclinic(), (0, 0, 1), (0, 1, 0))
    with pytest.raises(ConfigError, match="mine.debye_waller_pm: got a value for Ti; CeO2 has Ce, O"):
        crystal("CeO2", (1, 1, 0), (0, 0, 1), debye_waller_pm={"Ce": 6.6, "Ti": 7.5})
    with pytest.raises(ConfigError, match="in one direction only; choose another zone axis"):
        crystal("CeO2", (0, 1, 2), (1, 0, 0))


def test_columns_that_are_uneven_along_the_beam_are_refused():
    uneven = Atoms("Pt2", scaled_positions=[(0, 0, 0), (0, 0, 0.3)], cell=[4, 4, 4], pbc=True)
    with pytest.raises(ConfigError, match="the Pt atoms of a column are spaced unevenly along the beam"):
        projected(uneven, (0, 0, 1), (1, 0, 0))
    lone = Atoms("Pt2O", scaled_positions=[(0, 0, 0), (0, 0, 0.5), (0, 0, 0.25)], cell=[4, 4, 4], pbc=True)
    with pytest.raises(ConfigError, match="the lighter atoms of a Pt column do not repeat with its Pt atoms"):
        projected(lone, (0, 0, 1), (1, 0, 0))


def test_swapped_image_axes_swap_the_reflections():
    """In a cell of 1 : 4 too, whose reflection of the fourth order is as strong as the first of the other axis."""
    flat = Atoms("Pt4", scaled_positions=[(0, n / 4, 0) for n in range(4)], cell=[4, 16.004, 4], pbc=True)
    flat.append("O"), flat.set_scaled_positions([*flat.get_scaled_positions()[:4], (0.5, 0.1, 0.5)])
    for upright, turned in [
        (projected(flat, (0, 0, 1), (1, 0, 0)), projected(flat, (0, 0, 1), (0, 1, 0))),
        (CERIA, crystal("CeO2", (1, 1, 0), (1, -1, 0))),
        (crystal(TITANATE, (1, 1, 0), (0, 0, 1)), crystal(TITANATE, (1, 1, 0), (1, -1, 0))),
    ]:
        orders = [{tuple(map(abs, r.order)) for r in one.reflections} for one in (upright, turned)]
        assert orders[0] == {(k, h) for h, k in orders[1]}
        assert sorted(r.strength for r in upright.reflections) == sorted(r.strength for r in turned.reflections)


def test_each_type_of_column_has_its_own_bonds():
    """An O between two Pb, and one beside a single Pb."""
    places = [(0, 0, 0), (0.5, 0, 0), (0, 0.25, 0)]
    found = projected(Atoms("PbO2", scaled_positions=places, cell=[4, 8, 4], pbc=True), (0, 0, 1), (1, 0, 0))
    assert [(c.element, c.x, c.y) for c in found.columns] == [("Pb", 0, 0), ("O", 0.5, 0), ("O", 0, 0.25)]
    assert {kind: offsets.tolist() for kind, offsets in found.bonds.items()} == {
        1: [[-200, 0], [200, 0]],
        2: [[0, -200]],
    }
    columns = lattice_columns(found, 4000, 4000, (0, 0), found.border_pm)
    inside = columns.y_pm < 1700
    middle = (np.abs(columns.x_pm - 2000) < 1000) & (np.abs(columns.y_pm - 2000) < 1000)
    assert termination_mask("Pb", columns, inside, found)[middle].tolist() == inside[middle].tolist()
    added = middle & ~inside & termination_mask("O", columns, inside, found)
    assert set(columns.column_type[added]) == {2} and set(columns.y_pm[added]) == {1800}


def test_a_large_cell_is_refused_and_one_below_the_limit_read_in_seconds():
    cell = CELLS["CeO2"]
    with pytest.raises(ConfigError, match="crystals.mine.structure: its unit cell has 768 atoms; at most 500"):
        projected(cell.repeat(4), (0, 0, 1), (1, 0, 0))
    begin = time.process_time()
    assert projected(cell.repeat((4, 3, 3)), (0, 0, 1), (1, 0, 0)).periods_pm == pytest.approx((A, A, A))
    assert time.process_time() - begin < 20


def test_columns_that_cannot_be_told_apart_are_refused():
    near = Atoms("PbO", scaled_positions=[(0, 0, 0), (0.1, 0, 0.5)], cell=[4, 4, 4], pbc=True)
    with pytest.raises(ConfigError, match="mine.zone_axis: columns of Pb and O are 40 pm apart.* at least 50 pm"):
        projected(near, (0, 0, 1), (1, 0, 0))


def test_known_block_is_the_default_configurations():
    config = load_config(Path(__file__).parents[2] / "config.yaml")
    assert load_crystal(config.crystals["ceria"], "ceria") == load_crystal(CERIA_BLOCK, "ceria") == CERIA


def test_label_of_a_mixed_column():
    assert Column("Ti", 0, 0, 0, 1, (("O", 0.2), ("O", 0.5), ("N", 0.7))).label == "Ti-O-N"
