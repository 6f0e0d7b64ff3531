"""A rule's code hash, on a copy of the real package whose files are edited: what is reached counts, nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import segdepth
from segdepth.store.code_hash import PLUMBING, Target, code_hash, reached

SOURCE = Path(segdepth.__file__).parent
FIGURE = "segdepth.figures.fig6_confusion"
RULES = {
    **{
        command: (command,)
        for command in (
            "plan-specimens", "build-specimens", "project-depth", "simulate-waves", "form-images",
            "record-micrograph", "study-convergence", "train-model", "evaluate-model", "estimate-ideal-observer",
            "export-model", "predict", "compare-micrograph", "tabulate-table1", "tabulate-networks", "plot-montage",
            "plot-training", "plot-convergence", "plot-benchmark",
        )
    },
    "plot-figure": ("plot-figure", FIGURE),
}  # fmt: skip
"""What each rule hashes."""


@pytest.fixture
def package(tmp_path) -> Path:
    """A copy of the package."""
    folder = tmp_path / "segdepth"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__", "bundled"))
    return folder


def hashes(folder: Path) -> dict[str, str]:
    """The hash of each rule, of the files as they are now."""
    copy = folder.parent / f"read-{len(list(folder.parent.iterdir()))}"
    shutil.copytree(folder, copy)  # a folder's files are read once
    return {rule: code_hash(*what, root=copy) for rule, what in RULES.items()}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new, 1))


def change(path: Path, name: str) -> None:
    """Change the definition ``name``: one more line in a function or a class, another value of a constant."""
    if path.suffix != ".py":
        path.write_text(path.read_text().replace("1", "2", 1))
        return
    text = path.read_text()
    head = re.search(rf"^(?:async )?(?:def|class) {name}\b", text, re.MULTILINE)
    if head:
        import ast

        node = next(node for node in ast.parse(text).body if getattr(node, "name", None) == name)
        lines = text.splitlines()
        first = node.body[0]
        lines.insert(first.lineno - 1, f"{' ' * first.col_offset}ADDED = 1")
        text = "\n".join(lines) + "\n"
    else:
        text, times = re.subn(rf"^{name}\b([^=]*)= ", rf"{name}\1= None or ", text, count=1, flags=re.MULTILINE)
        assert times == 1, f"{path} has no {name}"
    path.write_text(text)


def test_hash_is_sixteen_hex_digits_and_repeats():
    found = {rule: code_hash(*what) for rule, what in RULES.items()}
    assert all(re.fullmatch("[0-9a-f]{16}", value) for value in found.values())
    assert len(set(found.values())) == len(RULES)
    assert found == {rule: code_hash(*what) for rule, what in RULES.items()}


def test_hashing_imports_nothing_of_the_package():
    code = (
        "import sys; from segdepth.store.code_hash import code_hash; code_hash('train-model')\n"
        "print(sorted(name for name in sys.modules if name.startswith('segdepth')), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['segdepth', 'segdepth.store', 'segdepth.store.code_hash'] False"


MULTISLICE = {"simulate-waves", "estimate-ideal-observer", "study-convergence"}
LENS = {
    "form-images", "record-micrograph", "train-model", "estimate-ideal-observer", "study-convergence",
    "compare-micrograph",
}  # fmt: skip
CRYSTAL = {"plan-specimens", "build-specimens"}
CASES: list[tuple[str, str, set[str]]] = [
    ("crystals/projection.py", "project", CRYSTAL),
    ("crystals/data/CeO2.json", "", CRYSTAL),
    ("specimen/plan.py", "plan_row", {"plan-specimens"}),
    ("specimen/surfaces.py", "sawtooth", {"build-specimens", "estimate-ideal-observer"}),
    ("simulation/potential.py", "SlicedPotential", MULTISLICE),
    ("simulation/aberrations.py", "aberration_function", LENS),
    ("simulation/optics.py", "ImageFormer", LENS),
    ("labels/projection.py", "project_counts", {"project-depth"}),
    ("networks/unet.py", "UNet", {"train-model", "evaluate-model", "export-model", "predict"}),
    ("learning/loss.py", "weighted_cross_entropy", {"train-model"}),
    ("evaluation/calibration.py", "_errors", {"evaluate-model"}),
    ("evaluation/table1.py", "as_latex", {"tabulate-table1"}),
    ("micrograph/electrons/vacuum.py", "search_vacuum", {"predict", "compare-micrograph"}),
    ("figures/fig6_confusion.py", "draw", {"plot-figure"}),
    ("steps/form_images.py", "form_images", {"form-images"}),
    ("config/beam.py", "Beam", MULTISLICE),
    ("config/imaging.py", "Imaging", LENS | {"evaluate-model", "export-model", "plot-montage"}),
    (
        "config/labels.py",
        "Labels",  # a network's card has its labels, which are checked when it is read
        {"project-depth", "train-model", "evaluate-model", "estimate-ideal-observer", "predict", "export-model"},
    ),
    ("config/model.py", "Training", {"train-model"}),
    ("config/tables.py", "Table", {"tabulate-networks"}),
    ("config/root.py", "Config", set()),
    ("cli/simulation.py", "simulate_waves", {"simulate-waves"}),
    ("cli/micrographs.py", "predict", {"predict"}),
]
"""File, definition, and the rules that an edit of it reruns."""


@pytest.mark.parametrize(("file", "name", "rules"), CASES, ids=[f"{file}:{name}" for file, name, _ in CASES])
def test_a_change_reruns_the_right_rules_and_no_others(package, file, name, rules):
    before = {rule: code_hash(*what) for rule, what in RULES.items()}
    change(package / file, name)
    after = {rule: code_hash(*what, root=package) for rule, what in RULES.items()}
    assert {rule for rule in RULES if before[rule] != after[rule]} == rules


def test_comments_docstrings_layout_and_texts_do_not_count(package):
    before = hashes(package)
    for path in package.rglob("*.py"):
        text = path.read_text()
        text = re.sub(r'^"""(\w)', r'"""In other words: \1', text, count=1)
        text = re.sub(r"^(from __future__ import annotations)$", r"# a comment\n\n\1  # another", text, flags=re.M)
        text = re.sub(r'(help|description)="', r'\1="in other words: ', text)
        path.write_text(text)
    assert hashes(package) == before


def test_docstrings_may_come_and_go(package):
    before = hashes(package)
    path = package / "simulation" / "electron.py"
    edit(path, path.read_text().split('"""')[3], "gone")
    path.write_text(path.read_text().replace('"""gone"""', "", 1))
    assert hashes(package) == before


def test_strings_that_are_values_count(package):
    before = hashes(package)
    edit(package / "store" / "zarr_store.py", 'LAYOUT_NAME = "segdepth_layout"', 'LAYOUT_NAME = "another"')
    assert hashes(package)["simulate-waves"] != before["simulate-waves"]


def test_an_import_inside_a_function_counts(package):
    path = package / "steps" / "simulate_waves.py"
    edit(path, "    check_target(", "    from ..labels.rings import SOMETHING\n\n    check_target(SOMETHING, ")
    rings = package / "labels" / "rings.py"
    rings.write_text(rings.read_text() + "\n\nSOMETHING = 1\n")
    before = hashes(package)
    rings.write_text(rings.read_text().replace("SOMETHING = 1", "SOMETHING = 2"))
    after = hashes(package)
    assert {rule for rule in RULES if before[rule] != after[rule]} == {"simulate-waves"}


def test_what_runs_on_import_counts(package):
    """A statement that defines nothing, in a module that is only imported for it."""
    path = package / "steps" / "simulate_waves.py"
    edit(
        path, "from pathlib import Path\n", "from pathlib import Path\n\nimport segdepth.simulation.switches  # noqa\n"
    )
    switches = package / "simulation" / "switches.py"
    switches.write_text("import numpy\n\nnumpy.seterr(all='raise')\n")
    before = hashes(package)
    switches.write_text("import numpy\n\nnumpy.seterr(all='ignore')\n")
    assert hashes(package)["simulate-waves"] != before["simulate-waves"]


def test_what_registers_itself_counts(package):
    path = package / "steps" / "simulate_waves.py"
    path.write_text(
        path.read_text() + "\n\nKNOWN = []\n\n\ndef known(found):\n    KNOWN.append(found)\n    return found\n\n\n"
        "@known\ndef one():\n    return 1\n"
    )
    before = hashes(package)
    edit(path, "    return 1\n", "    return 2\n")
    after = hashes(package)
    assert {rule for rule in RULES if before[rule] != after[rule]} == {"simulate-waves"}


def test_a_name_from_another_package_counts(package):
    before = hashes(package)
    edit(package / "simulation" / "electron.py", "import math\n", "import cmath as math\n")
    assert hashes(package)["simulate-waves"] != before["simulate-waves"]


def test_a_new_layout_of_stores_reruns_everything(package):
    before = hashes(package)
    edit(package / "store" / "manifest.py", "LAYOUT = ", "LAYOUT = 1 + ")
    after = hashes(package)
    assert all(before[rule] != after[rule] for rule in RULES)


@pytest.mark.parametrize("name", sorted(PLUMBING))
def test_plumbing_does_not_count(package, name):
    before = hashes(package)
    path = package.joinpath(*name.split(".")[1:]).with_suffix(".py")
    path.write_text(path.read_text() + "\n\nSOMETHING_NEW = print(1)\n")
    assert hashes(package) == before


def test_unknown_commands_and_modules():
    for wrong in ("no-such-command", "segdepth.no_such_module"):
        with pytest.raises(LookupError):
            code_hash(wrong)


def test_tables_of_waves_depend_on_the_multislice_and_on_no_fit():
    needed = reached("segdepth.fitting.wave_table")
    assert Target("segdepth.simulation.potential", "SlicedPotential") in needed
    assert Target("segdepth.simulation.scattering", "parametrization") in needed
    assert Target("segdepth.crystals.elements", "ATOMIC_NUMBER") in needed
    rooms = {target.module.removeprefix("segdepth.") for target in needed}
    assert {room for room in rooms if room.startswith("fitting")} == {"fitting.wave_table"}
    assert not {room for room in rooms if room.split(".")[0] in ("cli", "steps", "micrograph", "networks")}


def test_multislice_knows_nothing_of_the_lens():
    """A new lens must not rerun the multislice, and labels must not rerun either."""
    needed = {target.module.removeprefix("segdepth.") for target in reached("simulate-waves") if target.name != ""}
    assert not needed & {"simulation.optics", "simulation.lens_values", "simulation.detector", "config.imaging"}
    assert not {room for room in needed if room.split(".")[0] in ("labels", "learning", "micrograph", "evaluation")}
    assert Target("segdepth.config.beam", "Beam") in reached("simulate-waves")
