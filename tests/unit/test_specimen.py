"""Atoms: the lattice against the known motif and ASE's own fluorite, thickness, surfaces, seeds."""

from __future__ import annotations

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from conftest import CERIA, CERIA_BLOCK, small_slab
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from segdepth.config import Specimen
from segdepth.crystals import lattice_columns
from segdepth.errors import StoreError
from segdepth.specimen.columns import column_table
from segdepth.specimen.faces import thickness_atoms
from segdepth.specimen.frame_facts import FrameFacts, frame_facts
from segdepth.specimen.plan import plan_row, plan_table, shard_rows
from segdepth.specimen.surfaces import MAX_ROWS, sawtooth, stepped, surface_line
from segdepth.specimen.wedge import build_wedge
from segdepth.steps.atoms_files import read_atoms, read_plan
from segdepth.steps.build_specimens import build_specimens
from segdepth.steps.plan_specimens import plan_specimens
from segdepth.store.manifest import manifest_path

A = 5.411
PERIOD = A / np.sqrt(2)
SPECIMEN = Specimen(crystal="ceria", structures=7, shard_size=3)


def one(index: int, seed: int = 0, block: Specimen = SPECIMEN, name: str = "wedge"):
    row = plan_row(block, CERIA, name, index, seed)
    return build_wedge(row, block, CERIA, name, seed), row


def motif() -> list[tuple[str, float, float, float]]:
    return [(column.element, column.x, column.y, column.z) for column in CERIA.columns]


def by_column(atoms):
    """(x, y, number, sorted heights) of every column."""
    column = atoms.get_array("column")
    order = np.lexsort((atoms.positions[:, 2], column))
    starts = np.unique(column[order], return_index=True)[1]
    for part in np.split(order, starts[1:]):
        yield atoms.positions[part[0], 0], atoms.positions[part[0], 1], atoms.numbers[part], atoms.positions[part, 2]


def surface_of(atoms, row, block, seed, name):
    """The surface line above each column, drawn again from the structure's stream."""
    from segdepth.seeds import structure_rng

    rng = structure_rng(seed, name, row["index"], "geometry")
    columns = lattice_columns(CERIA, block.cell_pm, block.cell_pm, (row["origin_x_pm"], row["origin_y_pm"]))
    mean = block.margin_pm + block.field_pm * (1 - row["vacuum_fraction"])
    line = mean + surface_line(row["surface"], columns.x_pm, block.cell_pm, block, CERIA, rng)
    return line[atoms.get_array("column")]


def test_motif_is_designs():
    """Ce (0,0), (½,½); O (¼,0), (¾,0), (¼,½), (¾,½); Ce (½,½), O (¼,0), (¾,0) half a period higher."""
    assert sorted(motif()) == sorted(
        [("Ce", 0, 0, 0), ("Ce", 0.5, 0.5, 0.5), ("O", 0.25, 0, 0.5), ("O", 0.75, 0, 0.5), ("O", 0.25, 0.5, 0), ("O", 0.75, 0.5, 0)]  # noqa: E501
    )  # fmt: skip
    assert CERIA.periods_pm == pytest.approx((541.1, 382.615, 382.615), abs=1e-3)


@given(seed=st.integers(0, 2**40), index=st.integers(0, 300))
def test_columns_of_any_plan(seed, index):
    atoms, row = one(index, seed)
    assert len(atoms) > 100
    for _, _, numbers, heights in by_column(atoms):
        assert 1 <= len(numbers) <= 10
        assert len(set(numbers)) == 1
        assert np.allclose(np.diff(heights), PERIOD, atol=1e-9)
    below = surface_of(atoms, row, SPECIMEN, seed, "wedge") - 100 * atoms.positions[:, 1]
    assert below.min() >= -1e-9
    side = SPECIMEN.cell_pm / 100
    assert np.allclose(atoms.cell.lengths()[:2], side) and atoms.cell.lengths()[2] > atoms.positions[:, 2].max()
    assert (atoms.positions >= 0).all() and (atoms.positions[:, :2] < side).all()


@given(seed=st.integers(0, 2**40), index=st.integers(0, 300))
def test_projected_neighbours_and_phase(seed, index):
    """Ce and O are 135.3 pm apart in projection, and Ce columns stand where the plan's origin says."""
    atoms, row = one(index, seed)
    table = column_table(atoms, 0, SPECIMEN.cell_pm)
    ce, o = (table[table["element"] == z][["x_pm", "y_pm"]].to_numpy() for z in (58, 8))
    near = cKDTree(o).query(ce)[0]
    assert near.min() == pytest.approx(135.275, abs=1e-3)
    assert np.median(near) == pytest.approx(135.275, abs=1e-3)
    assert np.allclose(np.sin(2 * np.pi * (ce[:, 0] - row["origin_x_pm"]) / 541.1), 0, atol=1e-4)
    assert np.allclose(np.sin(2 * np.pi * (ce[:, 1] - row["origin_y_pm"]) / 382.615), 0, atol=1e-3)


def test_thick_slab_against_ases_fluorite():
    """Distances around atoms deep inside: 8 O at 234.3 pm of each Ce, and all shells to 6 Å, as ASE builds them."""
    atoms, _ = small_slab(10, field_pm=5411)
    low, high = atoms.positions.min(0) + 6, atoms.positions.max(0) - 6
    inside = np.all((atoms.positions > low) & (atoms.positions < high), axis=1)
    crystal = bulk("CeO2", "fluorite", a=A).repeat(8)
    middle = crystal.positions.mean(0)
    for number in (58, 8):
        ours = atoms.positions[inside & (atoms.numbers == number)]
        theirs = crystal.positions[crystal.numbers == number]
        theirs = theirs[[np.linalg.norm(theirs - middle, axis=1).argmin()]]
        for other in (58, 8):
            shells = [
                np.sort(np.linalg.norm(found.positions[found.numbers == other] - centre, axis=1))
                for found, centres in ((atoms, ours), (crystal, theirs))
                for centre in centres[:3]
            ]
            expected = shells[-1][shells[-1] < 5.9]
            assert len(expected) > 10 and len(shells) >= 2
            for shell in shells[:-1]:
                assert np.allclose(shell[: len(expected)], expected, atol=1e-6)
                assert shell[len(expected)] > 5.9
    ce = atoms.positions[inside & (atoms.numbers == 58)][0]
    to_oxygen = np.linalg.norm(atoms.positions[atoms.numbers == 8] - ce, axis=1)
    assert (to_oxygen < 2.6).sum() == 8 and np.allclose(np.sort(to_oxygen)[:8], 2.343, atol=1e-3)


def test_ase_fluorite_projected_along_110():
    """ASE's crystal, its [001] turned to x, [1-10] to y and [110] to z, has the columns of our motif."""
    crystal = bulk("CeO2", "fluorite", a=A, cubic=True).repeat(4)
    turn = np.array([[0, 0, 1], [1 / np.sqrt(2), -1 / np.sqrt(2), 0], [1 / np.sqrt(2), 1 / np.sqrt(2), 0]])
    assert np.isclose(np.linalg.det(turn), 1)
    places = crystal.positions @ turn.T / [A, PERIOD, PERIOD] % 1
    places[np.isclose(places, 1, atol=1e-6)] = 0
    found = {(s, *np.round(p, 4) + 0.0) for s, p in zip(crystal.get_chemical_symbols(), places)}
    ours = {(s, *np.round((x, y, z), 4) + 0.0) for s, x, y, z in motif()}
    theirs_from = [
        {(s, *np.round((np.array(p) - origin) % 1 % 1, 4) + 0.0) for s, *p in found}
        for origin in (p[1:] for p in found if p[0] == "Ce")
    ]
    assert ours in theirs_from


def test_stoichiometry():
    """Ten whole periods along x: the cell's edge at a random place cuts more Ce or more O columns."""
    atoms, _ = small_slab(10, field_pm=5411)
    whole = (atoms.positions[:, 0] > 1.1) & (atoms.positions[:, 0] < 1.1 + 10 * A)
    ratio = (atoms.numbers[whole] == 8).sum() / (atoms.numbers[whole] == 58).sum()
    assert ratio == pytest.approx(2, rel=0.01)


def test_whole_thickness_is_reached_and_wedge_thins():
    block = Specimen(
        crystal="ceria", missing_probability=0, bulk_atoms=(10, 10), surface_atoms=(1, 1), decay_nm=(0.3, 0.3)
    )
    atoms, row = one(0, block=block)
    table = column_table(atoms, block.margin_pm, block.field_pm)
    top = table["y_pm"].max()
    deep = table[table["y_pm"] < top - 2500]["atoms"]
    assert set(deep) <= {9, 10} and (deep == 10).mean() > 0.9
    assert table[table["y_pm"] > top - 150]["atoms"].max() <= 3


@given(st.floats(0, 1e5), st.floats(3, 10), st.floats(1, 3), st.floats(100, 5e4))
def test_thickness_profile(distance, thick, thin, decay):
    found = thickness_atoms(np.array([0, distance, 50 * decay]), thick, thin, decay)
    assert found[0] == pytest.approx(thin) and found[2] == pytest.approx(thick)
    assert thin - 1e-9 <= found[1] <= thick + 1e-9


@pytest.mark.parametrize(("exit_fraction", "side"), [(0.0, "exit"), (1.0, "entrance")])
def test_exit_fraction_says_which_side_is_flat(exit_fraction, side):
    block = Specimen(
        crystal="ceria",
        missing_probability=0,
        bulk_atoms=(8, 8),
        surface_atoms=(2, 2),
        exit_fraction=(exit_fraction,) * 2,
    )
    atoms, _ = one(0, block=block)
    ends = [h[-1] if side == "exit" else h[0] for _, _, _, h in by_column(atoms)]
    assert np.ptp(ends) < PERIOD  # that face is flat to within a period
    other = [h[0] if side == "exit" else h[-1] for _, _, _, h in by_column(atoms)]
    assert np.ptp(other) > 4 * PERIOD


@given(st.integers(0, 2**32))
def test_stepped_terraces_are_half_layers(seed):
    x = np.linspace(0, 6000, 3001)
    heights = stepped(x, 6000, SPECIMEN, CERIA.row_pm, np.random.default_rng(seed))
    half = 541.1 / (2 * np.sqrt(2))
    layers = heights / half
    assert np.allclose(layers, np.round(layers)) and np.abs(layers).max() <= MAX_ROWS
    steps = np.diff(np.round(layers))
    assert set(np.abs(steps[steps != 0])) <= {1, 2}
    edges = x[1:][steps != 0]
    assert len(edges) >= 2 and (np.diff(edges) >= 600 - 4).all() and (np.diff(edges) <= 2000 + 4).all()


@given(st.integers(0, 2**32))
def test_sawtooth_is_inclined_by_111(seed):
    x = np.linspace(0, 6000, 6001)
    slope = np.diff(sawtooth(x, SPECIMEN, CERIA.facet_slope(), np.random.default_rng(seed)))
    assert np.degrees(np.arctan(CERIA.facet_slope())) == pytest.approx(35.264, abs=1e-3)
    facets = np.abs(np.abs(slope) - CERIA.facet_slope()) < 1e-9
    assert facets.mean() > 0.99
    assert (slope > 0).any() and (slope < 0).any()


def test_unknown_surface_is_refused():
    with pytest.raises(ValueError, match="flat, stepped, sawtooth"):
        surface_line("round", np.zeros(3), 10, SPECIMEN, CERIA, np.random.default_rng(0))


def test_crystal_goes_on_beyond_the_field():
    for index in range(6):
        atoms, _ = one(index)
        x, y = 100 * atoms.positions[:, :2].T
        assert x.min() < 300 and x.max() > SPECIMEN.cell_pm - 300 and y.min() < 300
        assert y.max() < SPECIMEN.cell_pm - SPECIMEN.margin_pm


def test_vacuum_lies_at_large_y():
    atoms, row = one(0)
    top = 100 * atoms.positions[:, 1].max() - SPECIMEN.margin_pm
    assert top == pytest.approx(SPECIMEN.field_pm * (1 - row["vacuum_fraction"]), abs=400)


def test_missing_atoms_are_near_the_surface():
    base = {"bulk_atoms": (6, 6), "surface_atoms": (4, 4), "surfaces": ("flat",)}
    full = one(0, block=Specimen(crystal="ceria", **base, missing_probability=0))[0]
    less = one(0, block=Specimen(crystal="ceria", **base, missing_probability=0.5))[0]
    tables = [column_table(a, 0, SPECIMEN.cell_pm).set_index("column") for a in (full, less)]
    gone = tables[0]["atoms"].astype(int) - tables[1]["atoms"].reindex(tables[0].index, fill_value=0)
    assert set(gone) == {0, 1}
    depth = tables[0]["y_pm"].max() - tables[0]["y_pm"]
    assert depth[gone == 1].max() < 600 and gone[depth < 400].mean() == pytest.approx(0.5, abs=0.15)


def test_no_dependence_on_shard_size_or_number():
    for index in (0, 4):
        first = one(index)[0]
        for block in (
            Specimen(crystal="ceria", structures=7, shard_size=1),
            Specimen(crystal="ceria", structures=900, shard_size=100),
        ):
            again = one(index, block=block)[0]
            assert np.array_equal(first.positions, again.positions) and np.array_equal(first.numbers, again.numbers)


def test_other_names_seeds_and_indices_give_other_structures():
    rows = [plan_row(SPECIMEN, CERIA, name, index, seed) for name in ("a", "b") for index in (0, 3) for seed in (0, 1)]
    drawn = [row["decay_pm"] for row in rows]
    assert len(set(drawn)) == len(drawn)
    assert len({row["seed"] for row in rows}) == len(rows)


def test_surfaces_come_in_equal_parts():
    table = plan_table(Specimen(crystal="ceria", structures=30), CERIA, "wedge", 0)
    assert set(table["surface"].value_counts()) == {10}
    assert table["bulk_atoms"].between(3, 10).all() and (table["surface_atoms"] <= table["bulk_atoms"]).all()


def test_plan_and_shards_on_disk(tmp_path):
    plan = tmp_path / "specimens" / "wedge" / "plan.csv"
    assert plan_specimens(SPECIMEN, CERIA_BLOCK, "wedge", 5, plan, code="code") == []
    rows = read_plan(plan)
    assert list(rows["index"]) == list(range(7)) and list(rows["shard"]) == [0, 0, 0, 1, 1, 1, 2]
    assert list(rows["seed"]) == [row["seed"] for row in plan_table(SPECIMEN, CERIA, "wedge", 5).to_dict("records")]
    out = plan.with_name("shard-001.extxyz")
    build_specimens(SPECIMEN, CERIA_BLOCK, "wedge", 5, 1, plan, out, code="code")
    frames = read_atoms(out)
    assert [frame.info["index"] for frame in frames] == [3, 4, 5]
    expected = one(4, 5)[0]
    assert np.allclose(frames[1].positions, expected.positions, atol=1e-7)
    assert np.array_equal(frames[1].get_array("column"), expected.get_array("column"))
    assert frames[1].info["seed"] == expected.info["seed"] and frames[1].info["id"] == "wedge-00004"
    first = out.read_bytes()
    build_specimens(SPECIMEN, CERIA_BLOCK, "wedge", 5, 1, plan, out, code="code")
    assert out.read_bytes() == first
    with pytest.raises(StoreError, match="no shard 3; it has 0 to 2"):
        shard_rows(rows, 3)
    assert len(ase.io.read(out, index=":")) == 3


def test_stale_shards_are_named_and_stay(tmp_path):
    """A larger shard size leaves fewer shards: what is past them is named, in every kind of artefact, not removed."""
    plan = tmp_path / "specimens" / "wedge" / "plan.csv"
    plan_specimens(SPECIMEN, CERIA_BLOCK, "wedge", 0, plan, code="code")
    places = [
        plan.parent / "shard-{}.extxyz",
        tmp_path / "waves" / "wedge" / "beam" / "shard-{}.zarr",
        tmp_path / "images" / "wedge" / "beam" / "lens" / "shard-{}.zarr",
        tmp_path / "depth" / "wedge" / "rings" / "shard-{}.zarr",
        tmp_path / "depth" / "other" / "rings" / "shard-{}.zarr",
    ]
    for place in places:
        for number in ("000", "001", "002"):
            path = place.with_name(place.name.format(number))
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".zarr":
                path.mkdir()
                (path / "zarr.json").write_text("{}")
            else:
                path.write_text("atoms")
            path.with_name(path.name + ".manifest.json").write_text("{}")
    larger = Specimen(crystal="ceria", structures=7, shard_size=4)
    stale = plan_specimens(larger, CERIA_BLOCK, "wedge", 0, plan, code="code")
    assert len(stale) == 8 and {path.name.split(".")[0] for path in stale} == {"shard-002"}
    assert {path.relative_to(tmp_path).parts[:2] for path in stale} == {
        (kind, "wedge") for kind in ("specimens", "waves", "images", "depth")
    }
    for place in places:
        assert len(list(place.parent.glob("shard-*"))) == 6


def test_a_frame_says_what_its_readers_need(tmp_path):
    """After the way through extxyz: all that simulation and labels ask for, the whole crystal among it."""
    plan = tmp_path / "specimens" / "wedge" / "plan.csv"
    plan_specimens(SPECIMEN, CERIA_BLOCK, "wedge", 5, plan, code="code")
    out = plan.with_name("shard-002.extxyz")
    build_specimens(SPECIMEN, CERIA_BLOCK, "wedge", 5, 2, plan, out, code="code")
    (frame,) = read_atoms(out)
    facts, row = FrameFacts.of(frame), plan_row(SPECIMEN, CERIA, "wedge", 6, 5)
    assert (facts.id, facts.index, facts.seed, facts.surface) == ("wedge-00006", 6, row["seed"], row["surface"])
    assert (facts.specimen, facts.root_seed, facts.crystal) == ("wedge", 5, CERIA)
    assert (facts.field_pm, facts.margin_pm) == (SPECIMEN.field_pm, SPECIMEN.margin_pm)
    assert facts.exit_face_pm == pytest.approx(200 + 100 * PERIOD * row["bulk_atoms"])
    manifest_path(out).unlink()
    assert FrameFacts.of(read_atoms(out)[0]) == facts


@pytest.mark.parametrize("name", ["12", "1e5", "T", "a-00001", "-5"[1:], "nan"])
def test_any_name_survives_the_atoms_file(name, tmp_path):
    """extxyz takes 1e5 for a number and T for true; the name makes the random streams."""
    block = Specimen(crystal="ceria", field_pm=1352.75, margin_pm=338.1875)
    ase.io.write(tmp_path / "a.extxyz", one(1, block=block, name=name)[0], format="extxyz")
    facts = FrameFacts.of(read_atoms(tmp_path / "a.extxyz")[0])
    assert facts.specimen == name and facts.id == f"{name}-00001"


def test_a_plan_of_another_crystal_is_refused(tmp_path):
    plan = tmp_path / "plan.csv"
    plan_specimens(SPECIMEN, CERIA_BLOCK, "wedge", 0, plan, code="code")
    other = CERIA_BLOCK.model_copy(update={"lattice_pm": 550.0})
    with pytest.raises(StoreError, match="another specimen block, crystal, name or root_seed"):
        build_specimens(SPECIMEN, other, "wedge", 0, 0, plan, tmp_path / "shard-000.extxyz", code="code")


def bare(places: list[tuple[float, float, float]], **info) -> Atoms:
    atoms = Atoms(["O"] * len(places), positions=places, cell=(12, 12, 20), pbc=True)
    atoms.info = info
    return atoms


def test_atoms_from_elsewhere_have_defaults():
    facts = FrameFacts.of(bare([(3, 4, 5)]), 7)
    assert (facts.index, facts.specimen, facts.root_seed, facts.margin_pm, facts.crystal) == (7, "", 0, 0, None)
    assert facts.field_pm == pytest.approx(1200) and facts.exit_face_pm == pytest.approx(2000)
    assert FrameFacts.of(bare([(3, 4, 5)], margin_pm=100.0)).field_pm == pytest.approx(1000)
    assert "crystal" not in facts.attributes and facts.id == "structure-00007"


def test_columns_of_atoms_from_elsewhere_are_found_by_their_projection():
    """The array ``column`` taken away: the same columns at the same places, also of a tilted and strained slab."""
    block = Specimen(crystal="ceria", field_pm=1352.75, margin_pm=676.375)
    changes = {"tilt_x_deg": 3.0, "tilt_y_deg": -2.5, "rotation_deg": 20.0, "strain_x_percent": 1.5}
    for index in range(3):
        row = plan_row(block, CERIA, "t", index, 0) | changes
        atoms = build_wedge(row, block, CERIA, "t", 0)
        table = column_table(atoms, block.margin_pm, block.field_pm)
        del atoms.arrays["column"]
        found = column_table(atoms, block.margin_pm, block.field_pm)
        assert len(found) == len(table) > 25
        order = [np.lexsort((t["x_pm"].round(3), t["y_pm"].round(3))) for t in (found, table)]
        for name in ("x_pm", "y_pm", "element", "atoms"):
            assert np.allclose(found[name].to_numpy()[order[0]], table[name].to_numpy()[order[1]], atol=1e-6)


@pytest.mark.parametrize(
    ("atoms", "told"),
    [
        (bare([(1, 1, 1)], index="many"), "frame 0: its info cannot be used"),
        (bare([(1, 1, 1)], crystal='{"name": "x"}'), "frame 0: its info cannot be used"),
        (bare([(1, 1, 1)], field_pm=900.0), "a field of 900 pm with margins of 0 pm does not make its cell.*1200 pm"),
        (Atoms("O", positions=[(1, 1, 1)], cell=(8, 9, 10)), "square in x and y; its sides are 800.0, 900.0, 1000.0"),
        (Atoms("O", positions=[(1, 1, 1)]), "right-angled box"),
        (Atoms("O", positions=[(1, 1, 1)], cell=(8, 8, np.nan)), "right-angled box"),
        (Atoms("O", positions=[(1, 1, 1)], cell=(np.inf, np.inf, 8)), "right-angled box"),
        (bare([(1, 1, 1)], exit_face_pm=np.nan), "frame 0: exit_face_pm is nan; it must be finite"),
        (bare([(1, 1, 1)], margin_pm=np.inf), "frame 0: margin_pm is inf; it must be finite"),
        (bare([(1, 1, 1)], field_pm=np.nan), r"frame 0: field_pm is \(nan, nan\); it must be finite"),
        (bare([(1, 1, 1), (3, np.nan, 5)]), r"frame 0: atom 1 \(\w+\) is at \(3, nan, 5\) Å; it must be finite"),
        (bare([(1, 1, 1), (3, 4, 21)]), r"frame 0: atom 1 \(\w+\) is at \(3, 4, 21\) Å, outside its cell.*20 Å"),
        (bare([(1, 1, -1)]), "frame 0: atom 0 .* outside its cell along z"),
        (Atoms("O", positions=[(13, 1, 1)], cell=(12, 12, 20)), "atom 0 .O. is at .* outside its cell along x.*12 Å"),
        (Atoms("O", positions=[(1, -1, 1)], cell=(12, 12, 20), pbc=(1, 0, 1)), "outside its cell along y"),
    ],
)
def test_atoms_that_cannot_be_used_are_told_in_one_line(atoms, told):
    with pytest.raises(StoreError, match=told) as refused:
        FrameFacts.of(atoms)
    assert len(str(refused.value).splitlines()) == 1


def test_files_that_hold_no_atoms_are_told_in_one_line(tmp_path):
    with pytest.raises(StoreError, match="no such file of atoms"):
        read_atoms(tmp_path / "none.extxyz")
    (tmp_path / "text.extxyz").write_text("# a text\nthat is no file of atoms\n")
    with pytest.raises(StoreError, match="cannot be read as extxyz"):
        read_atoms(tmp_path / "text.extxyz")
    (tmp_path / "empty.extxyz").write_text("")
    with pytest.raises(StoreError, match="empty.extxyz"):
        read_atoms(tmp_path / "empty.extxyz")


def test_frames_of_one_store_share_its_facts():
    frames = [bare([(1, 1, 1)], margin_pm=margin) for margin in (0.0, 50.0)]
    with pytest.raises(StoreError, match="frames 0 and 1 differ in field_pm"):
        frame_facts(frames)
    with pytest.raises(StoreError, match="the same index"):
        frame_facts([bare([(1, 1, 1)], index=3)] * 2)
    with pytest.raises(StoreError, match="no frame"):
        frame_facts([])
