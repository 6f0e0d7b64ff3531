"""A rule's code hash: follows imports, ignores comments and docstrings and the plumbing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import segdepth
from segdepth.store import code


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package whose files a test may edit; returns (folder, hash function)."""
    source = Path(segdepth.__file__).parent
    folder = tmp_path / "segdepth"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"))

    def path(module: str) -> Path | None:
        base = folder.joinpath(*module.split(".")[1:])
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
        return None

    monkeypatch.setattr(code, "_path", path)

    def fresh(module: str) -> str:
        code._read.cache_clear()
        code.code_hash.cache_clear()
        return code.code_hash(module)

    yield folder, fresh
    code._read.cache_clear()
    code.code_hash.cache_clear()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


WAVES, IMAGES, DEPTH, ATOMS = (
    f"segdepth.{name}" for name in ("simulation.waves", "simulation.images", "labels.depth", "specimen.build")
)


def test_hash_is_sixteen_hex_digits_and_repeats(package):
    _, fresh = package
    first = fresh(WAVES)
    assert len(first) == 16 and int(first, 16) >= 0 and fresh(WAVES) == first
    assert len({fresh(module) for module in (WAVES, IMAGES, DEPTH, ATOMS)}) == 4


def test_imported_module_counts_and_others_do_not(package):
    folder, fresh = package
    before = {module: fresh(module) for module in (WAVES, IMAGES, DEPTH, ATOMS)}
    edit(folder / "simulation" / "focal.py", "2 * reach * i", "2.0 * reach * i")
    changed = {module for module, value in before.items() if fresh(module) != value}
    assert changed == {IMAGES}


def test_module_that_an_imported_module_imports_counts(package):
    folder, fresh = package
    before = fresh(WAVES)
    edit(folder / "simulation" / "potential.py", "SAME_PLANE = 0.01", "SAME_PLANE = 0.02")
    assert fresh(WAVES) != before


def test_import_inside_a_function_counts(package):
    folder, fresh = package
    path = folder / "simulation" / "waves.py"
    path.write_text(path.read_text() + "\n\ndef late():\n    from ..labels import weights\n    return weights\n")
    before = fresh(WAVES)
    edit(folder / "labels" / "weights.py", "(1 - floor) * np", "(1.0 - floor) * np")
    assert fresh(WAVES) != before
    assert "segdepth.labels.weights" in code.modules_of(WAVES)


def test_comments_docstrings_and_layout_do_not_count(package):
    folder, fresh = package
    before = fresh(WAVES)
    path = folder / "simulation" / "exit_wave.py"
    edit(path, '"""Exit waves by abTEM', '"""Other words.\n\nExit waves by abTEM')
    edit(path, "    import abtem\n", "    import abtem  # a comment\n\n")
    edit(folder / "simulation" / "electron.py", '    """Relativistic', '    """Once more: relativistic')
    assert fresh(WAVES) == before


def test_docstrings_may_come_and_go(package):
    folder, fresh = package
    path = folder / "specimen" / "wedge.py"
    text = path.read_text()
    before = fresh(ATOMS)
    lines = [line for line in text.splitlines() if '"""Vacuum above' not in line and '"""Which atoms' not in line]
    assert len(lines) == len(text.splitlines()) - 2
    path.write_text("\n".join(lines) + "\n")
    assert fresh(ATOMS) == before


def test_strings_that_are_values_count(package):
    folder, fresh = package
    before = fresh(WAVES)
    edit(folder / "simulation" / "waves.py", '"grid_points": ', '"points": ')
    assert fresh(WAVES) != before


@pytest.mark.parametrize("name", sorted(code.PLUMBING))
def test_plumbing_does_not_count(package, name):
    folder, fresh = package
    before = {module: fresh(module) for module in (WAVES, IMAGES, DEPTH, ATOMS)}
    place = folder.joinpath(*name.split(".")[1:])
    for path in place.glob("*.py") if place.is_dir() else [place.with_suffix(".py")]:
        path.write_text(path.read_text() + "\nSOMETHING_NEW = 1\n")
    assert all(fresh(module) == value for module, value in before.items())


def test_unknown_module():
    with pytest.raises(ModuleNotFoundError):
        code.code_hash("segdepth.no_such_module")


def test_multislice_knows_nothing_of_the_lens():
    """A new lens must not rerun the multislice, and labels must not rerun either."""
    needed = set(code.modules_of(WAVES))
    assert not needed & {"segdepth.simulation.optics", "segdepth.simulation.lens", "segdepth.simulation.detector"}
    assert not {module for module in needed if module.split(".")[1:2] in (["labels"], ["learning"], ["micrograph"])}


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (("config", "seeds", "splits", "store", "devices"), ("specimen", "simulation", "labels", "learning", "micrograph", "evaluation", "figures")),  # noqa: E501
        (("specimen", "simulation", "labels"), ("learning", "micrograph", "evaluation", "figures")),
        (("learning",), ("micrograph", "evaluation", "figures")),
    ],
)  # fmt: skip
def test_a_lower_layer_never_imports_a_higher_one(low, high):
    root = Path(segdepth.__file__).parent
    for part in low:
        place = root / part
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]:
            module = ".".join(("segdepth", *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
            imported = {name.split(".")[1] for name in code._read(module)[1] if "." in name}
            assert not imported & set(high), f"{module} imports {sorted(imported & set(high))}"
